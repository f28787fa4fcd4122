"""Runs the life of every profile: waits, has tokens exchanged, publishes.

One exchange is in flight at a time, for all profiles that are due: under a CPU quota of 0.1, five processes at
once take five times as long each and slow the endpoint down.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from sidecar.clock import Clock, Instant
from sidecar.credentials.backoff import Draw
from sidecar.credentials.lifecycle import look_after, step
from sidecar.credentials.states import Action, Event, Failed, Granted, State, Tick, TokenSeen
from sidecar.credentials.store import Store
from sidecar.errors import Failure
from sidecar.model import Grant, Order, Profile, Token

__all__ = ("Exchanger", "Keeper", "Observer")


class Exchanger(Protocol):
    """Turns orders into results."""

    def exchange(self, orders: Sequence[Order]) -> AsyncGenerator[tuple[str, Grant | Failure]]:
        """Yield exactly one result for each order, by profile name, as it comes.

        Closing the generator, or cancelling, ends whatever it started. Nothing else is raised.
        """
        ...


class Observer(Protocol):
    """Hears what the keeper does; for logs and metrics. Must not raise."""

    def exchange_started(self, profiles: Sequence[str]) -> None:
        """One exchange begins for these profiles."""

    def exchange_ended(self, profile: str, result: Grant | Failure, seconds: float, state: State, now: Instant) -> None:
        """A profile has its result, after so many seconds; ``state`` is what came of it."""

    def withdrawn(self, profile: str, state: State) -> None:
        """A profile has nothing to serve any more."""


class Keeper:
    """Keeps one fresh set for each profile in the store.

    All methods belong to the event loop's thread.

    Args:
        profiles: at least one; names are unique.
        store: has these profiles.
        exchanger: does the exchanges.
        clock: tells the time.
        draw: randomness for jitter.
        observer: hears what happens.
        refresh_on_rotation: exchange for a rotated token though no set is due.
    """

    def __init__(
        self,
        profiles: Sequence[Profile],
        store: Store,
        exchanger: Exchanger,
        *,
        clock: Clock,
        draw: Draw,
        observer: Observer,
        refresh_on_rotation: bool = True,
    ) -> None:
        self._profiles = {profile.name: profile for profile in profiles}
        self._states = {name: State(refresh_on_rotation=refresh_on_rotation) for name in self._profiles}
        self._store = store
        self._exchanger = exchanger
        self._clock = clock
        self._draw = draw
        self._observer = observer
        # Insertion order is the order in which profiles are exchanged.
        self._due: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._flight: asyncio.Task[None] | None = None

    def state(self, profile: str) -> State:
        """Return where a profile is.

        Raises:
            KeyError: no such profile.
        """
        return self._states[profile]

    def token_seen(self, token: Token) -> None:
        """Take a new token; every profile pays with it."""
        for name in self._profiles:
            self._step(name, TokenSeen(token))
        self._wake.set()

    async def run(self) -> None:
        """Keep the sets fresh until cancelled; then the exchange in flight is ended first.

        Raises:
            Exception: what a bug raises; the daemon must end, since nothing would be renewed any more.
        """
        try:
            while True:
                self._wake.clear()
                for name in self._profiles:
                    self._step(name, Tick())
                self._take_off()
                now = self._clock.now()
                await self._sleep(min(look_after(state, now) for state in self._states.values()))
        finally:
            if self._flight is not None:
                self._flight.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._flight

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _step(self, name: str, event: Event) -> None:
        now = self._clock.now()
        state, actions = step(self._states[name], event, now, self._draw)
        self._states[name] = state
        for action in actions:
            if action is Action.START:
                self._due[name] = None
            elif action is Action.PUBLISH:
                self._store.publish(name, state.held)
            else:
                self._store.publish(name, None)
                self._observer.withdrawn(name, state)

    def _take_off(self) -> None:
        if self._flight is not None and self._flight.done():
            flight, self._flight = self._flight, None
            flight.result()
        if self._due and self._flight is None:
            names, self._due = tuple(self._due), {}
            self._flight = asyncio.create_task(self._fly(names), name="exchange")
            # Without this the loop would sleep on while a flight that ended by a bug goes unnoticed.
            self._flight.add_done_callback(lambda _: self._wake.set())

    async def _fly(self, names: Sequence[str]) -> None:
        self._observer.exchange_started(names)
        orders = [
            Order(self._profiles[name], token) for name in names if (token := self._states[name].token) is not None
        ]
        began = self._clock.now().mono
        async with contextlib.aclosing(self._exchanger.exchange(orders)) as results:
            async for name, result in results:
                self._step(name, Granted(result) if isinstance(result, Grant) else Failed(result))
                now = self._clock.now()
                self._observer.exchange_ended(name, result, now.mono - began, self._states[name], now)
                began = now.mono
                self._wake.set()
