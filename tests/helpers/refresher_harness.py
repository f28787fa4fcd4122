"""The refresher on a real event loop, with a fake clock and an exchanger whose results a test sets."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Self

import pytest

from sidecar.clock import Instant
from sidecar.credentials.interfaces import Exchange, Withdrawal
from sidecar.credentials.refresher import Refresher
from sidecar.credentials.states import Phase, ProfileState
from sidecar.credentials.store import Store
from sidecar.errors import Failure, Outcome, Retry
from sidecar.model import AssumeRoleRequest, AssumeRoleResult, Credentials, Profile
from tests.helpers.clock import FakeClock
from tests.helpers.values import assume_role_result, profile, token

__all__ = ("FAILURE", "ManualExchanger", "RecordingObserver", "RefresherHarness")

FAILURE = Failure(Outcome.ACCESS_DENIED, Retry.PERMANENT, "hint")
Result = tuple[str, AssumeRoleResult | Failure]


class ManualExchanger:
    """Implements ``Exchanger``; it yields the results that the test puts into ``results``, in their order."""

    def __init__(self) -> None:
        self.requests: list[Sequence[AssumeRoleRequest]] = []
        self.results: asyncio.Queue[Result] = asyncio.Queue()
        self.processes = 0
        self.at_once = 0
        self.running = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[Exchange]:
        self.processes += 1
        self.running += 1
        self.at_once = max(self.at_once, self.running)
        try:
            yield self._exchange
        finally:
            self.running -= 1

    async def _exchange(self, requests: Sequence[AssumeRoleRequest]) -> AsyncGenerator[Result]:
        self.requests.append(requests)
        for _ in requests:
            yield await self.results.get()


class RecordingObserver:
    """Implements ``Observer``; saves a line for each event."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def exchange_started(self, profiles: Sequence[str]) -> None:
        self.lines.append(f"started {' '.join(profiles)}")

    def exchange_ended(
        self,
        profile: str,
        result: AssumeRoleResult | Failure,
        seconds: float,
        now: Instant,
        *,
        before: ProfileState,
        after: ProfileState,
    ) -> None:
        assert seconds >= 0
        assert now.mono > 0
        assert before.phase in {Phase.ACQUIRING, Phase.REFRESHING}
        self.lines.append(f"{profile} {type(result).__name__} {after.phase}")

    def withdrawn(self, profile: str, state: ProfileState, reason: Withdrawal) -> None:
        assert state.failures >= 0
        self.lines.append(f"{profile} withdrawn {reason}")

    def previous_settings_served(self, profile: str, state: ProfileState, now: Instant) -> None:
        assert state.held is not None
        assert state.held.servable(now)
        self.lines.append(f"{profile} previous")


class RefresherHarness:
    """A refresher for these profiles; ``b<a`` is a profile b that is chained to a."""

    def __init__(self, *names: str) -> None:
        self.names = {name: source for name, _, source in (given.partition("<") for given in names)}
        self.clock = FakeClock()
        self.store = Store(self.names)
        self.exchanger = ManualExchanger()
        self.observer = RecordingObserver()
        self.refresher = Refresher(
            [replace(profile(name), source=source) for name, source in self.names.items()],
            self.store,
            self.exchanger,
            clock=self.clock,
            draw=lambda: 0.5,
            observer=self.observer,
        )
        self.task = asyncio.create_task(self.refresher.run())

    async def settle(self) -> None:
        """Let everything that is ready run."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def gives(self, name: str, number: int, lifetime: float = 3_600.0) -> None:
        await self.exchanger.results.put(
            (name, assume_role_result(number, lifetime=lifetime, wall=self.clock.wall, mono=self.clock.mono))
        )
        await self.settle()

    async def fails(self, name: str) -> None:
        await self.exchanger.results.put((name, FAILURE))
        await self.settle()

    async def hold(self) -> Self:
        """Give each profile credentials, with the numbers 1, 2 and so on."""
        self.refresher.token_seen(token())
        await self.settle()
        for number, name in enumerate(self.names, start=1):
            await self.gives(name, number)
        return self

    def replace(self, *profiles: Profile) -> None:
        """Change the profiles of the store and of the refresher, as the daemon does."""
        self.store.set_profiles(profiles)
        self.refresher.set_profiles(profiles)

    def load(self, *names: str) -> None:
        """Load credentials of the settings in force, with the numbers 1, 2 and so on."""
        results = {
            name: replace(assume_role_result(number), settings=self.refresher.state(name).settings)
            for number, name in enumerate(names, start=1)
        }
        assert self.refresher.load(results) == []

    def requested(self) -> list[str]:
        """Return the profiles of the requests that were sent last."""
        return [request.profile.name for request in self.exchanger.requests[-1]]

    def credentials(self, name: str) -> Credentials:
        """Return the credentials in the store for a profile; there must be some."""
        held = self.store.get(name)
        assert held is not None
        return held.result.credentials

    def serves(self, name: str) -> int:
        """Return the number of the credentials that the store holds for a profile."""
        return int(self.credentials(name).access_key_id.removeprefix("ASIAEXAMPLE"))

    async def stop(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task
        assert self.exchanger.running == 0, "an exchange outlived the refresher"
