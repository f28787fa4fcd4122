"""A reload by a daemon that was built but not started."""

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.daemon import Daemon
from sidecar.exits import Exit
from sidecar.model import Profile
from sidecar.settings.resolve import resolve
from sidecar.telemetry.log import make_logger
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN


class _Broken:
    """Implements ``ProfileHolder``, with a bug."""

    def set_profiles(self, profiles: Sequence[Profile]) -> None:
        raise ZeroDivisionError(len(profiles))


PROFILES = f"[profile reader]\nrole_arn = {ROLE_ARN}\n"


@pytest.mark.mutant("the daemon looks alive after an incomplete reload")
def test_an_incomplete_reload_ends_the_process(tmp_path: Path) -> None:
    environment = {
        "AWS_OIDC_SIDECAR_PROFILES_FILE": "/profiles",
        "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(tmp_path),
    }
    (tmp_path / "profiles" / "reader").mkdir(parents=True)
    settings = resolve({}, environment, lambda _: PROFILES)
    changed = resolve({}, environment, lambda _: PROFILES + "region = eu-west-1\n")
    stream = io.StringIO()

    async def main() -> int:
        clock = FakeClock()
        daemon = Daemon(settings, lambda: changed, {}, clock, make_logger("info", clock, stream))
        daemon._holders = (daemon._store, _Broken())
        daemon._reload()
        assert daemon._stop.is_set()
        return daemon._exit_status

    assert asyncio.run(main()) == Exit.BUG
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (line["event"], line["task"], line["error_type"]) == ("crashed", "reload", "ZeroDivisionError")
