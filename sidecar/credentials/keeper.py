"""Runs the life of every profile: waits, has tokens exchanged, publishes.

One exchange is in flight at a time, for all profiles that are due: under a CPU quota of 0.1, five processes at
once take five times as long each and slow the endpoint down.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from sidecar.clock import Clock, Instant
from sidecar.credentials.backoff import Draw
from sidecar.credentials.lifecycle import look_after, step
from sidecar.credentials.states import Action, Event, Failed, Granted, Loaded, Renew, State, Tick, TicketSeen
from sidecar.credentials.store import Store
from sidecar.errors import Failure, Outcome, Retry
from sidecar.model import Grant, Held, Order, Profile, Token

__all__ = ("Exchanger", "Keeper", "Observer")


class Exchanger(Protocol):
    """Turns orders into results."""

    def exchange(self, more: Callable[[], Sequence[Order]]) -> AsyncGenerator[tuple[str, Grant | Failure]]:
        """Yield exactly one result for each order, by profile name, as it comes.

        Closing the generator, or cancelling, ends whatever it started. Nothing else is raised.

        Args:
            more: gives the next orders, each time that all before have their results; none ends the exchange.
        """
        ...


class Observer(Protocol):
    """Hears what the keeper does; for logs and metrics. Must not raise."""

    def exchange_started(self, profiles: Sequence[str]) -> None:
        """One exchange begins for these profiles."""

    def exchange_ended(
        self, profile: str, result: Grant | Failure, seconds: float, now: Instant, *, before: State, after: State
    ) -> None:
        """A profile has its result, after so many seconds; the states are what it met and what came of it."""

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
        self._fresh = State(refresh_on_rotation=refresh_on_rotation)
        self._states = dict.fromkeys(self._profiles, self._fresh)
        self._asked: dict[str, Profile] = {}
        self._token: Token | None = None
        self._store = store
        self._exchanger = exchanger
        self._clock = clock
        self._draw = draw
        self._observer = observer
        # Insertion order is the order in which profiles are exchanged.
        self._due: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._flight: asyncio.Task[None] | None = None
        self._began_mono = 0.0

    def state(self, profile: str) -> State:
        """Return where a profile is.

        Raises:
            KeyError: no such profile.
        """
        return self._states[profile]

    def token_seen(self, token: Token) -> None:
        """Take a new token; every profile that is not chained to another pays with it."""
        self._token = token
        for name, profile in self._profiles.items():
            if not profile.source:
                self._step(name, TicketSeen(token))
        self._wake.set()

    def load(self, profile: str, grant: Grant) -> None:
        """Take a set from before a restart; only before the first token of this profile."""
        self._step(profile, Loaded(grant))

    def renew(self) -> None:
        """Exchange for every profile now, due or not, as soon as the exchange in flight is over."""
        for name in self._profiles:
            self._step(name, Renew())
        self._wake.set()

    def replace(self, profiles: Sequence[Profile]) -> None:
        """Have these profiles from now on; the store must have them too.

        A profile that is as it was keeps its set. One that changed starts anew at once, and what it held is withdrawn:
        a set of the former role must not be served under the new settings.
        """
        former, self._profiles = self._profiles, {profile.name: profile for profile in profiles}
        changed = [name for name, profile in self._profiles.items() if former.get(name) != profile]
        self._states = {name: self._states.get(name, self._fresh) for name in self._profiles}
        self._due = {name: None for name in self._due if name in self._profiles}
        for name in changed:
            if self._states[name].shown:
                self._store.publish(name, None)
            self._states[name] = self._fresh
            self._due.pop(name, None)
        for name in changed:
            source = self._profiles[name].source
            if not source and self._token is not None:
                self._step(name, TicketSeen(self._token))
            elif source and (held := self._states[source].held) is not None:
                self._step(name, TicketSeen(held.grant))
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
                self._pass_on(name, state.held)
            else:
                self._store.publish(name, None)
                self._observer.withdrawn(name, state)

    def _pass_on(self, source: str, held: Held | None) -> None:
        """Give the profiles that are chained to this one its new set to pay with."""
        for name, profile in self._profiles.items():
            # The same set comes again when a clock that was stepped is stepped back.
            if profile.source == source and held is not None and self._states[name].ticket is not held.grant:
                self._step(name, TicketSeen(held.grant))

    def _take_off(self) -> None:
        if self._flight is not None and self._flight.done():
            flight, self._flight = self._flight, None
            flight.result()
        if self._due and self._flight is None:
            self._flight = asyncio.create_task(self._fly(), name="exchange")
            # Without this the loop would sleep on while a flight that ended by a bug goes unnoticed.
            self._flight.add_done_callback(lambda _: self._wake.set())

    async def _fly(self) -> None:
        async with contextlib.aclosing(self._exchanger.exchange(self._next_orders)) as results:
            async for name, result in results:
                # What was asked for a profile that has changed or gone since is of no use to anyone.
                if self._asked.pop(name) == self._profiles.get(name):
                    self._ended(name, result)

    def _next_orders(self) -> Sequence[Order]:
        """Return the orders of all that is due now; a chained profile without a usable source fails at once."""
        names, self._due = tuple(self._due), {}
        self._began_mono = self._clock.now().mono
        orders = []
        for name in names:
            order = self._order(self._profiles[name])
            if order is None:
                self._ended(name, _NO_SOURCE)
            else:
                orders.append(order)
                self._asked[name] = order.profile
        if orders:
            self._observer.exchange_started([order.profile.name for order in orders])
        return orders

    def _order(self, profile: Profile) -> Order | None:
        if self._token is None:
            return None
        if not profile.source:
            return Order(profile, self._token)
        held = self._states[profile.source].held
        if held is None or not held.servable(self._clock.now()):
            return None
        return Order(profile, self._token, held.grant.credentials)

    def _ended(self, name: str, result: Grant | Failure) -> None:
        before = self._states[name]
        self._step(name, Granted(result) if isinstance(result, Grant) else Failed(result))
        now = self._clock.now()
        seconds = now.mono - self._began_mono
        self._observer.exchange_ended(name, result, seconds, now, before=before, after=self._states[name])
        self._began_mono = now.mono
        self._wake.set()


_NO_SOURCE = Failure(
    Outcome.SOURCE_UNAVAILABLE,
    Retry.TRANSIENT,
    "the source_profile has no credentials to sign with: see the failure of that profile",
)
