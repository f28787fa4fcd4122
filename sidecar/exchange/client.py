"""Runs exchanges in a worker process and checks its answers.

boto3 costs 42 MB and 0.2 s of CPU for a moment every half hour. A child process gives the memory back when it ends, can
be killed when it hangs, and reads a new CA bundle at its start.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from sidecar.clock import Clock, Instant
from sidecar.errors import Failure, Outcome
from sidecar.exchange.classify import local_failure
from sidecar.exchange.messages import parse_result, request_line
from sidecar.exchange.process import COMMAND, Worker, start_worker, worker_environment
from sidecar.limits import STS_ATTEMPT_SECONDS, WORKER_READY_SECONDS
from sidecar.model import AssumeRoleRequest, AssumeRoleResult

__all__ = ("ExchangeClient",)

Result = tuple[str, AssumeRoleResult | Failure]
_Exchange = Callable[[Sequence[AssumeRoleRequest]], AsyncGenerator[Result]]


class ExchangeClient:
    """Exchanges tokens for credentials, in one child process for all profiles that are due.

    Args:
        clock: gives the time at which a call began.
        environment: variables of the daemon; the worker gets the ones that it needs.
        cluster: part of session names that are made from the token; may be "".
        command: starts the worker.
        ready_seconds: maximum time for the worker's imports.
        attempt_seconds: maximum time for one profile after that.
    """

    def __init__(
        self,
        clock: Clock,
        environment: Mapping[str, str],
        cluster: str = "",
        command: Sequence[str] = COMMAND,
        *,
        ready_seconds: float = WORKER_READY_SECONDS,
        attempt_seconds: float = STS_ATTEMPT_SECONDS,
    ) -> None:
        self._clock = clock
        self._environment = worker_environment(environment)
        self._cluster = cluster
        self._command = tuple(command)
        self._ready_seconds = ready_seconds
        self._attempt_seconds = attempt_seconds

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[_Exchange]:
        """Return a function like ``interfaces.Exchange`` for the block; its child process ends with the block.

        It yields the profile's name and the result of each request when the result is there: exactly one for each
        request, whatever the child does. A child that fails or hangs is replaced. It raises only ``CancelledError``.
        """
        child = _Child(self._command, self._environment, self._ready_seconds)

        async def exchange(requests: Sequence[AssumeRoleRequest]) -> AsyncGenerator[Result]:
            left = list(requests)
            while left:
                failure = local_failure(Outcome.WORKER_FAILED)
                try:
                    worker = await child.ready()
                    worker.send({"requests": [request_line(one, self._cluster) for one in left]})
                    while left:
                        result = await self._answer(worker, left[0])
                        yield left.pop(0).profile.name, result
                except TimeoutError:
                    failure = local_failure(Outcome.TIMEOUT)
                # OSError: no process could start, or a broken pipe; the others: a line that does not fit the protocol.
                except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
                    failure = local_failure(Outcome.WORKER_FAILED, type(error).__name__)
                if not left:
                    return
                # A hang fails the request whose result was awaited; a child that did not start fails all that are left.
                hung = 1 if child.is_ready and failure.outcome is Outcome.TIMEOUT else len(left)
                await child.end()
                for request in left[:hung]:
                    yield request.profile.name, failure
                left = left[hung:]

        try:
            yield exchange
        finally:
            await child.end()

    async def _answer(self, worker: Worker, request: AssumeRoleRequest) -> AssumeRoleResult | Failure:
        requested_mono = self._clock.now().mono
        async with asyncio.timeout(self._attempt_seconds):
            answer = await worker.receive()
        if answer["profile"] != request.profile.name:
            raise ValueError
        return parse_result(request, answer, Instant(self._clock.now().wall, requested_mono))


class _Child:
    """The worker process; the first request starts it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], ready_seconds: float) -> None:
        self._command, self._environment, self._ready_seconds = command, environment, ready_seconds
        self._running = contextlib.AsyncExitStack()
        self._worker: Worker | None = None

    @property
    def is_ready(self) -> bool:
        return self._worker is not None

    async def ready(self) -> Worker:
        if self._worker is None:
            worker = await self._running.enter_async_context(start_worker(self._command, self._environment))
            async with asyncio.timeout(self._ready_seconds):
                await worker.receive()
            self._worker = worker
        return self._worker

    async def end(self) -> None:
        self._worker = None
        await self._running.aclose()
