"""Requests of clients to a running daemon, with an exchanger that counts how often it is used."""

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
from sidecar.model import AssumeRoleRequest, AssumeRoleResult
from sidecar.settings.resolve import resolve
from sidecar.telemetry.log import make_logger
from tests.helpers.clock import FakeClock
from tests.helpers.peer import Peer, request
from tests.helpers.values import ROLE_ARN, jwt_bytes


class FailingExchanger:
    """Implements ``Exchanger``: each exchange fails, and the next attempt is minutes later."""

    def __init__(self) -> None:
        self.opened = 0
        self.failed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[Exchange]:
        self.opened += 1
        yield self._exchange
        self.failed.set()

    async def _exchange(
        self, requests: Sequence[AssumeRoleRequest]
    ) -> AsyncGenerator[tuple[str, AssumeRoleResult | Failure]]:
        for each in requests:
            yield each.profile.name, Failure(Outcome.ACCESS_DENIED, Retry.PERMANENT, "fix the trust policy")


@pytest.mark.rule("SDK 18")
@pytest.mark.mutant("a request that gets 503 starts an exchange")
def test_requests_that_get_503_start_no_exchange(tmp_path: Path) -> None:
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

    async def main() -> None:
        clock = FakeClock()
        daemon = Daemon(settings, lambda: settings, {}, clock, make_logger("info", clock, stream))
        daemon._refresher._exchanger = exchanger = FailingExchanger()
        running = asyncio.create_task(daemon.run())
        async with asyncio.timeout(20):
            await exchanger.failed.wait()
            (started,) = (
                line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == "started"
            )
            peer = await Peer.connect(started["endpoint_port"])
            auth = f"Authorization: {(tmp_path / 'profiles/default/auth-token').read_text()}"
            for _ in range(8):
                assert (await peer.ask(request("/v1/credentials/default", auth))).status == 503
            # Enough turns of the loop for an exchange that a request had started.
            for _ in range(100):
                await asyncio.sleep(0)
            assert exchanger.opened == 1
            await peer.close()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    asyncio.run(main())
