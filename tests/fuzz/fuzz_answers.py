"""The output of the exchange process: each request has one valid result or one failure."""

import asyncio
import atexit
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from sidecar.errors import Failure
from sidecar.exchange import client
from sidecar.exchange.process import Worker
from sidecar.model import AssumeRoleResult
from tests.fuzz.engine import fuzz
from tests.fuzz.properties import CLOCK, REQUESTS, result_is_good

__all__ = ("check", "results_of")


class EndedProcess:
    """A process that has written its output and ended, with the attributes that ``Worker`` uses."""

    def __init__(self, output: bytes) -> None:
        self.stdin = self
        self.stdout = asyncio.StreamReader(limit=131_072)
        self.stdout.feed_data(b'{"ready": true}\n' + output)
        self.stdout.feed_eof()

    def write(self, data: bytes) -> None:
        """Ignore a request."""


class Script:
    """Replaces ``start_worker``: a real process for each input would make fuzzing a hundred times slower."""

    output = b""

    @contextlib.asynccontextmanager
    async def start(self, command: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[Worker]:  # noqa: ARG002 - the signature of start_worker
        yield Worker(cast("Any", EndedProcess(self.output)))


SCRIPT = Script()
LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)


async def results() -> list[tuple[str, AssumeRoleResult | Failure]]:
    async with client.ExchangeClient(CLOCK, {}).open() as exchange:
        return [result async for result in exchange(REQUESTS)]


def results_of(output: bytes) -> list[AssumeRoleResult | Failure]:
    """Return the results of ``REQUESTS`` from this output of the process, after its line that it is ready."""
    SCRIPT.output = output
    names: dict[str, Any] = vars(client)
    real, names["start_worker"] = names["start_worker"], SCRIPT.start
    try:
        found = LOOP.run_until_complete(results())
    finally:
        names["start_worker"] = real
    assert [name for name, _ in found] == [request.profile.name for request in REQUESTS], "one result for each request"
    return [result for _, result in found]


def check(data: bytes) -> None:
    """Use ``data`` as the output of the process, and check the results."""
    for request, result in zip(REQUESTS, results_of(data), strict=True):
        result_is_good(request, result)


if __name__ == "__main__":
    fuzz("answers")
