"""What the daemon answers to the kubelet, asked of a daemon that was built but not started, by a clock of ours."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.config import resolve
from sidecar.credentials.timing import hold
from sidecar.daemon import Daemon
from sidecar.log import make_logger
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN, grant

PROFILES = f"""
[profile reader]
role_arn = {ROLE_ARN}
source_profile = base

[profile base]
role_arn = {ROLE_ARN}
serve = false
"""


def with_daemon(story: Callable[[Daemon, FakeClock], None], profiles: str = "") -> None:
    """Tell a story of a daemon, which needs an event loop to be built."""
    environment = {"AWS_OIDC_SIDECAR_PROFILES_FILE": "/profiles"} if profiles else {"AWS_ROLE_ARN": ROLE_ARN}
    settings = resolve({}, environment, lambda _: profiles)
    clock = FakeClock()

    async def main() -> None:
        logger = make_logger("info", clock, io.StringIO())
        story(Daemon(settings, lambda: settings, {}, clock, logger), clock)

    asyncio.run(main())


def test_it_is_ready_as_long_as_an_unexpired_set_is_held() -> None:
    def story(daemon: Daemon, clock: FakeClock) -> None:
        assert not daemon._readiness()[0]
        daemon._store.publish("default", hold(grant()))
        assert daemon._readiness() == (True, "ready")
        # The keeper has not looked yet; the clock alone makes it unready.
        clock.advance(3_570)
        ready, why = daemon._readiness()
        assert not ready
        assert why.startswith("default: no unexpired credentials")

    with_daemon(story)


def test_a_wall_clock_stepped_ahead_makes_it_unready_and_stepped_back_ready_again() -> None:
    def story(daemon: Daemon, clock: FakeClock) -> None:
        daemon._store.publish("default", hold(grant()))
        clock.step_wall(86_400)
        assert not daemon._readiness()[0]
        clock.step_wall(-86_400)
        assert daemon._readiness()[0]

    with_daemon(story)


def test_the_start_gate_opens_with_the_first_set_and_stays_open() -> None:
    def story(daemon: Daemon, clock: FakeClock) -> None:
        assert not daemon._startup()[0]
        daemon._store.publish("default", hold(grant()))
        assert daemon._startup()[0]
        clock.advance(3_600)
        assert not daemon._readiness()[0]
        assert daemon._startup() == (True, "started")

    with_daemon(story)


def test_readiness_asks_for_what_is_served_and_not_for_a_mere_source() -> None:
    def story(daemon: Daemon, _: FakeClock) -> None:
        daemon._store.publish("base", hold(grant(1)))
        ready, why = daemon._readiness()
        assert not ready
        assert why.startswith("reader: ")
        daemon._store.publish("base", None)
        daemon._store.publish("reader", hold(grant(2)))
        assert daemon._readiness()[0]

    with_daemon(story, PROFILES)


def test_each_profile_that_is_served_has_an_auth_token_file_before_anything_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that finds no file goes on unsigned (C++) or hangs (CRT), and the start gate is asked over a port."""
    (tmp_path / "profiles" / "default").mkdir(parents=True)
    environment = {
        "AWS_ROLE_ARN": ROLE_ARN,
        "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(tmp_path),
        "AWS_OIDC_SIDECAR_ENDPOINT_PORT": "0",
        "AWS_OIDC_SIDECAR_ADMIN_PORT": "0",
        "AWS_OIDC_SIDECAR_ADMIN_ADDRESS": "127.0.0.1",
    }
    settings = resolve({}, environment, lambda _: "")
    file_was_there: list[bool] = []

    async def main() -> None:
        clock = FakeClock()
        daemon = Daemon(settings, lambda: settings, {}, clock, make_logger("info", clock, io.StringIO()))
        loop = asyncio.get_running_loop()
        add = loop.add_reader

        def add_reader(*arguments: Any) -> None:  # noqa: ANN401 - passed on
            file_was_there.append((tmp_path / "profiles" / "default" / "auth-token").exists())
            add(*arguments)

        monkeypatch.setattr(loop, "add_reader", add_reader)  # every listener goes by it
        monkeypatch.setattr(daemon._log, "info", lambda *_, **__: daemon._stop.set())
        assert await daemon.run() == 0

    asyncio.run(main())
    assert len(file_was_there) >= 2, "one listener for credentials, one for health"
    assert all(file_was_there)
