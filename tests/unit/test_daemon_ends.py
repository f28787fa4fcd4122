"""If a part of the daemon ends by a bug, the process ends: a daemon that refreshes nothing must not look alive."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from sidecar.credentials.interfaces import Exchange
from sidecar.daemon import Daemon
from sidecar.errors import Failure, Outcome, Retry
from sidecar.exits import Exit
from sidecar.model import AssumeRoleRequest, AssumeRoleResult
from sidecar.settings.resolve import resolve
from sidecar.telemetry.log import make_logger
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN, jwt_bytes


class BrokenExchanger:
    """Implements ``Exchanger`` with a bug."""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[Exchange]:
        yield self._exchange

    async def _exchange(
        self, requests: Sequence[AssumeRoleRequest]
    ) -> AsyncGenerator[tuple[str, AssumeRoleResult | Failure]]:
        """Yield a result that was not requested: the KeyError that follows quotes the token."""
        for request in requests:
            yield request.token.raw, Failure(Outcome.TIMEOUT, Retry.TRANSIENT, "hint")


@pytest.mark.rule("Kubernetes D8")
def test_a_bug_ends_the_process_with_70_and_only_its_class_is_logged(tmp_path: Path) -> None:
    (tmp_path / "profiles" / "default").mkdir(parents=True)
    (tmp_path / "token").write_bytes(jwt_bytes())
    environment = {
        "AWS_ROLE_ARN": ROLE_ARN,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(tmp_path),
        "AWS_OIDC_SIDECAR_ENDPOINT_PORT": "0",
        "AWS_OIDC_SIDECAR_ADMIN_PORT": "0",
        "AWS_OIDC_SIDECAR_ADMIN_ADDRESS": "127.0.0.1",
    }
    settings = resolve({}, environment, lambda _: "")
    stream = io.StringIO()

    async def main() -> int:
        clock = FakeClock()
        daemon = Daemon(settings, lambda: settings, {}, clock, make_logger("debug", clock, stream))
        daemon._refresher._exchanger = BrokenExchanger()
        async with asyncio.timeout(10):
            return await daemon.run()

    assert asyncio.run(main()) == Exit.BUG
    crashed = [line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == "crashed"]
    assert [(line["task"], line["error_type"]) for line in crashed] == [("refresher", "KeyError")]
    assert jwt_bytes().decode() not in stream.getvalue()
