"""Has a worker process exchange tokens for credentials, and judges what comes back.

boto3 costs 42 MB and 0.2 s of CPU for a moment every half hour. A child process gives the memory back, can be
killed when it hangs, and picks up a new CA bundle or proxy by being new.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from sidecar.clock import Clock, Instant
from sidecar.errors import Failure, Outcome
from sidecar.exchange.answers import judge, order_line
from sidecar.exchange.classify import local_failure
from sidecar.exchange.process import COMMAND, Worker, start_worker, worker_environment
from sidecar.limits import STS_ATTEMPT_SECONDS, WORKER_READY_SECONDS
from sidecar.model import Grant, Order

__all__ = ("ExchangeClient",)

Result = tuple[str, Grant | Failure]


class ExchangeClient:
    """Exchanges tokens for credentials, in one child process for all that is due.

    Args:
        clock: tells when a call began.
        environment: of the daemon; the worker gets the part that it needs.
        cluster: goes into session names that are made from the token; may be "".
        command: starts the worker.
        ready_seconds: how long a worker may take for its imports.
        attempt_seconds: how long it may take for one profile after that.
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

    async def exchange(self, more: Callable[[], Sequence[Order]]) -> AsyncGenerator[Result]:
        """Yield for each order its profile's name and what came of it, as it comes.

        Every order gets exactly one result, whatever the child does. Nothing is raised but cancellation. The
        child is dead when the iterator is closed, and on cancellation too.

        Args:
            more: gives the next orders, each time that all before have their results; none ends the exchange.
                What a result made due is so served by the same child.
        """
        left = list(more())
        while left:
            failure = local_failure(Outcome.WORKER_FAILED)
            ready = False
            try:
                async with start_worker(self._command, self._environment) as worker:
                    async with asyncio.timeout(self._ready_seconds):
                        await worker.receive()
                    ready = True
                    while left:
                        worker.send({"orders": [order_line(order, self._cluster) for order in left]})
                        while left:
                            result = await self._answer(worker, left[0])
                            name = left.pop(0).profile.name
                            yield name, result
                        left = list(more())
            except TimeoutError:
                failure = local_failure(Outcome.TIMEOUT)
            # OSError: no process to be had, or a broken pipe; the others: a line that is not ours.
            except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
                failure = local_failure(Outcome.WORKER_FAILED, type(error).__name__)
            # A hang is the fault of the one that was asked for; a child that did not even start, of none.
            hung = 1 if ready and failure.outcome is Outcome.TIMEOUT else len(left)
            for order in left[:hung]:
                yield order.profile.name, failure
            left = left[hung:]

    async def _answer(self, worker: Worker, order: Order) -> Grant | Failure:
        asked_mono = self._clock.now().mono
        async with asyncio.timeout(self._attempt_seconds):
            answer = await worker.receive()
        if answer["profile"] != order.profile.name:
            raise ValueError
        return judge(order, answer, Instant(self._clock.now().wall, asked_mono))
