"""What the exchange process says: each order has one result, a grant that keeps its promises or a failure."""

import asyncio
import atexit
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from sidecar.errors import Failure
from sidecar.exchange import client
from sidecar.exchange.process import Worker
from sidecar.model import Grant
from tests.fuzz.engine import fuzz
from tests.fuzz.promises import CLOCK, ORDERS, result_is_good

__all__ = ("check", "judged")


class Said:
    """A process that has said everything and ended, as far as ``Worker`` looks at one."""

    def __init__(self, said: bytes) -> None:
        self.stdin = self
        self.stdout = asyncio.StreamReader(limit=131_072)
        self.stdout.feed_data(b'{"ready": true}\n' + said)
        self.stdout.feed_eof()

    def write(self, data: bytes) -> None:
        """Take an order."""


class Script:
    """Stands in for ``start_worker``: a real process for each input would make fuzzing a hundred times slower."""

    said = b""

    @contextlib.asynccontextmanager
    async def start(self, command: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[Worker]:  # noqa: ARG002 - the signature of what it stands in for
        yield Worker(cast("Any", Said(self.said)))


SCRIPT = Script()
LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)


async def results() -> list[tuple[str, Grant | Failure]]:
    rounds = iter([ORDERS])
    exchange = client.ExchangeClient(CLOCK, {}).exchange(lambda: next(rounds, ()))
    return [result async for result in exchange]


def judged(said: bytes) -> list[Grant | Failure]:
    """Return the result of each of ``ORDERS``, where this is all that the process says after it is ready."""
    SCRIPT.said = said
    names: dict[str, Any] = vars(client)
    real, names["start_worker"] = names["start_worker"], SCRIPT.start
    try:
        found = LOOP.run_until_complete(results())
    finally:
        names["start_worker"] = real
    assert [name for name, _ in found] == [order.profile.name for order in ORDERS], "one result for each order"
    return [result for _, result in found]


def check(data: bytes) -> None:
    """Judge ``data`` as the words of the process."""
    for order, result in zip(ORDERS, judged(data), strict=True):
        result_is_good(order, result)


if __name__ == "__main__":
    fuzz("answers")
