"""The answers to the probes of the kubelet, by a daemon that was built but not started, with a fake clock."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.credentials.timing import hold
from sidecar.daemon import Daemon
from sidecar.settings.resolve import resolve
from sidecar.telemetry.log import make_logger
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN, assume_role_result

PROFILES = f"""
[profile reader]
role_arn = {ROLE_ARN}
source_profile = base

[profile base]
role_arn = {ROLE_ARN}
serve = false
"""


def with_daemon(scenario: Callable[[Daemon, FakeClock], None], profiles: str = "") -> None:
    """Run a scenario with a daemon; its constructor needs an event loop."""
    environment = {"AWS_OIDC_SIDECAR_PROFILES_FILE": "/profiles"} if profiles else {"AWS_ROLE_ARN": ROLE_ARN}
    settings = resolve({}, environment, lambda _: profiles)
    clock = FakeClock()

    async def main() -> None:
        logger = make_logger("info", clock, io.StringIO())
        scenario(Daemon(settings, lambda: settings, {}, clock, logger), clock)

    asyncio.run(main())


@pytest.mark.rule("SDK 24")
@pytest.mark.mutant("ready with expired credentials")
def test_the_daemon_is_ready_while_unexpired_credentials_are_held() -> None:
    def scenario(daemon: Daemon, clock: FakeClock) -> None:
        assert not daemon._health.ready()[0]
        daemon._store.publish("default", hold(assume_role_result()))
        assert daemon._health.ready() == (True, "ready")
        # The refresher has not checked the time yet; the clock alone makes the daemon unready.
        clock.advance(3_570)
        ready, reason = daemon._health.ready()
        assert not ready
        assert reason.startswith("default: no unexpired credentials")

    with_daemon(scenario)


def test_a_wall_clock_stepped_forward_makes_the_daemon_unready_until_it_is_stepped_back() -> None:
    def scenario(daemon: Daemon, clock: FakeClock) -> None:
        daemon._store.publish("default", hold(assume_role_result()))
        clock.step_wall(86_400)
        assert not daemon._health.ready()[0]
        clock.step_wall(-86_400)
        assert daemon._health.ready()[0]

    with_daemon(scenario)


@pytest.mark.rule("SDK 24", "Kubernetes D6")
@pytest.mark.mutant("the startup probe fails in an outage after the start")
def test_the_startup_probe_succeeds_with_the_first_credentials_and_afterwards() -> None:
    def scenario(daemon: Daemon, clock: FakeClock) -> None:
        assert not daemon._health.started()[0]
        daemon._store.publish("default", hold(assume_role_result()))
        assert daemon._health.started()[0]
        clock.advance(3_600)
        assert not daemon._health.ready()[0]
        assert daemon._health.started() == (True, "started")

    with_daemon(scenario)


def test_readiness_checks_served_profiles_only() -> None:
    def scenario(daemon: Daemon, _: FakeClock) -> None:
        daemon._store.publish("base", hold(assume_role_result(1)))
        ready, reason = daemon._health.ready()
        assert not ready
        assert reason.startswith("reader: ")
        daemon._store.publish("base", None)
        daemon._store.publish("reader", hold(assume_role_result(2)))
        assert daemon._health.ready()[0]

    with_daemon(scenario, PROFILES)


@pytest.mark.rule("SDK 7")
def test_each_served_profile_has_an_auth_token_file_before_a_port_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that finds no file sends unsigned requests (C++) or hangs (CRT); the startup probe needs a port."""
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

        monkeypatch.setattr(loop, "add_reader", add_reader)  # each listener calls it
        monkeypatch.setattr(daemon._log, "info", lambda *_, **__: daemon._stop.set())
        assert await daemon.run() == 0

    asyncio.run(main())
    assert len(file_was_there) >= 2, "one listener for credentials, one for health"
    assert all(file_was_there)
