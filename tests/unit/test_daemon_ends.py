"""A part of the daemon that ends by a bug takes the process along: what renews nothing must not look alive."""

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from sidecar.config import resolve
from sidecar.daemon import EXIT_BUG, Daemon
from sidecar.errors import Failure, Outcome, Retry
from sidecar.log import make_logger
from sidecar.model import Grant, Order
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN, jwt_bytes


class BrokenExchanger:
    """Implements ``Exchanger`` with a bug."""

    async def exchange(self, more: Callable[[], Sequence[Order]]) -> AsyncGenerator[tuple[str, Grant | Failure]]:
        """Give a result for what nobody asked for: the KeyError that follows quotes the token."""
        for order in more():
            yield order.token.raw, Failure(Outcome.TIMEOUT, Retry.TRANSIENT, "hint")


def test_a_bug_ends_the_process_with_70_and_is_told_by_its_class_alone(tmp_path: Path) -> None:
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
        daemon._keeper._exchanger = BrokenExchanger()
        async with asyncio.timeout(10):
            return await daemon.run()

    assert asyncio.run(main()) == EXIT_BUG
    crashed = [line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == "crashed"]
    assert [(line["task"], line["error_type"]) for line in crashed] == [("keeper", "KeyError")]
    assert jwt_bytes().decode() not in stream.getvalue()
