"""The keeper on a real event loop, with a fake clock and an exchanger that a test answers by hand."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace

import pytest

from sidecar.clock import Instant
from sidecar.credentials.keeper import Keeper
from sidecar.credentials.states import Phase, State
from sidecar.credentials.store import Store
from sidecar.errors import Failure, Outcome, Retry
from sidecar.model import Grant, Order
from tests.helpers.clock import FakeClock
from tests.helpers.values import grant, profile

__all__ = ("FAILURE", "HandExchanger", "KeeperWorld", "Notes")

FAILURE = Failure(Outcome.ACCESS_DENIED, Retry.PERMANENT, "hint")
Result = tuple[str, Grant | Failure]


class HandExchanger:
    """Implements ``Exchanger``; each exchange gives what the test puts, in its order."""

    def __init__(self) -> None:
        self.orders: list[Sequence[Order]] = []
        self.results: asyncio.Queue[Result] = asyncio.Queue()
        self.flights = 0
        self.at_once = 0
        self.open = 0

    async def exchange(self, more: Callable[[], Sequence[Order]]) -> AsyncGenerator[Result]:
        self.flights += 1
        self.open += 1
        self.at_once = max(self.at_once, self.open)
        try:
            while orders := more():
                self.orders.append(orders)
                for _ in orders:
                    yield await self.results.get()
        finally:
            self.open -= 1


class Notes:
    """Implements ``Observer``; remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def exchange_started(self, profiles: Sequence[str]) -> None:
        self.lines.append(f"started {' '.join(profiles)}")

    def exchange_ended(
        self, profile: str, result: Grant | Failure, seconds: float, now: Instant, *, before: State, after: State
    ) -> None:
        assert seconds >= 0
        assert now.mono > 0
        assert before.phase in {Phase.ACQUIRING, Phase.RENEWING}
        self.lines.append(f"{profile} {type(result).__name__} {after.phase}")

    def withdrawn(self, profile: str, state: State) -> None:
        self.lines.append(f"{profile} withdrawn {state.phase}")


class KeeperWorld:
    """A keeper for these profiles; ``b<a`` is a profile b that is chained to a."""

    def __init__(self, *names: str) -> None:
        self.names = {name: source for name, _, source in (given.partition("<") for given in names)}
        self.clock = FakeClock()
        self.store = Store(self.names)
        self.exchanger = HandExchanger()
        self.notes = Notes()
        self.keeper = Keeper(
            [replace(profile(name), source=source) for name, source in self.names.items()],
            self.store,
            self.exchanger,
            clock=self.clock,
            draw=lambda: 0.5,
            observer=self.notes,
        )
        self.task = asyncio.create_task(self.keeper.run())

    async def settle(self) -> None:
        """Let everything that is ready run."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def gives(self, name: str, number: int) -> None:
        await self.exchanger.results.put((name, grant(number, wall=self.clock.wall, mono=self.clock.mono)))
        await self.settle()

    async def stop(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task
        assert self.exchanger.open == 0, "an exchange outlived the keeper"
