"""Runs the lifecycle of each profile: waits, starts exchanges, publishes credentials.

At most one child process runs at a time, for all profiles that are due: under a CPU quota of 0.1, five processes at
once take five times as long each and slow the endpoint down.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sidecar.clock import Clock
from sidecar.credentials.backoff import Draw
from sidecar.credentials.fingerprint import fingerprints, survives
from sidecar.credentials.interfaces import Exchanger, Observer, Withdrawal
from sidecar.credentials.lifecycle import seconds_until_due, step
from sidecar.credentials.states import (
    Action,
    Event,
    Failed,
    InputChanged,
    Loaded,
    ProfileState,
    RefreshRequested,
    SettingsChanged,
    Succeeded,
    Tick,
)
from sidecar.credentials.store import Store
from sidecar.errors import Failure, Outcome, Retry
from sidecar.model import AssumeRoleRequest, AssumeRoleResult, Profile, Token

__all__ = ("Refresher",)


class Refresher:
    """Keeps the credentials of each profile in the store fresh.

    All methods must be called on the event loop's thread.

    Args:
        profiles: at least one; names are unique.
        store: has these profiles.
        exchanger: does the exchanges.
        clock: gives the time.
        draw: randomness for jitter.
        observer: receives the events.
        refresh_on_rotation: exchange a rotated token before the credentials are due.
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
        self._refresh_on_rotation = refresh_on_rotation
        self._states = {name: self._new_state(settings) for name, settings in fingerprints(self._profiles).items()}
        # Profiles whose exchange is running, and whether its result will be used.
        self._requested: dict[str, bool] = {}
        self._token: Token | None = None
        self._store = store
        self._exchanger = exchanger
        self._clock = clock
        self._draw = draw
        self._observer = observer
        # Insertion order is the order in which profiles are exchanged.
        self._due: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._exchange_task: asyncio.Task[None] | None = None

    def _new_state(self, settings: str) -> ProfileState:
        return ProfileState(refresh_on_rotation=self._refresh_on_rotation, settings=settings)

    def state(self, profile: str) -> ProfileState:
        """Return the state of a profile.

        Raises:
            KeyError: no such profile.
        """
        return self._states[profile]

    def token_seen(self, token: Token) -> None:
        """Use a new token from now on, for all profiles that are not chained to another."""
        self._token = token
        for name, profile in self._profiles.items():
            if not profile.source:
                self._step(name, InputChanged(token))
        for name in self._profiles:
            self._pass_on(name)
        self._wake.set()

    def load(self, results: Mapping[str, AssumeRoleResult]) -> list[str]:
        """Load the credentials from before a restart; call it once and before the first token.

        Return the profiles whose credentials are not served: they have expired, or are of previous settings that
        ``on_change`` withdraws.
        """
        surviving = [name for name, result in results.items() if survives(result, self._profiles[name])]
        for name in surviving:
            self._step(name, Loaded(results[name]))
        self._report_previous_settings(surviving)
        return [name for name in results if self._states[name].held is None]

    def refresh(self) -> None:
        """Start an exchange for each profile now, due or not; after the running exchange if there is one."""
        for name in self._profiles:
            self._step(name, RefreshRequested())
        self._wake.set()

    def set_profiles(self, profiles: Sequence[Profile]) -> None:
        """Replace the profiles; the store must have the new ones already.

        For a profile whose settings changed an exchange starts at once. Its current credentials are served until then
        (make before break), unless its ``on_change`` withdraws them; a later change of ``on_change`` can withdraw them
        too. A profile changes with its source.
        """
        previous, self._profiles = self._profiles, {profile.name: profile for profile in profiles}
        states, settings = self._states, fingerprints(self._profiles)
        self._states = {name: states.get(name, self._new_state(value)) for name, value in settings.items()}
        self._report_withdrawn(previous, states)
        keep = {name: self._survives(name) for name in settings}
        stays = {name for name in states if name in settings and states[name].settings == settings[name] and keep[name]}
        changed = [name for name in settings if name not in stays]
        self._due = {name: None for name in self._due if name in stays}
        # The result of a running exchange is dropped if its profile has changed or was removed.
        self._requested = {name: used and name in stays for name, used in self._requested.items()}
        for name in changed:
            self._step(name, SettingsChanged(settings[name], keep=keep[name]))
        for name in changed:
            if not self._profiles[name].source and self._token is not None:
                self._step(name, InputChanged(self._token))
        for name in self._profiles:
            self._pass_on(name)
        self._report_previous_settings(n for n in self._profiles if n not in stays or not previous[n].served)
        self._wake.set()

    def _survives(self, name: str) -> bool:
        held = self._states[name].held
        return held is None or survives(held.result, self._profiles[name])

    def _report_withdrawn(self, previous: Mapping[str, Profile], states: Mapping[str, ProfileState]) -> None:
        for name, profile in previous.items():
            after = self._profiles.get(name)
            if states[name].shown and profile.served and (after is None or not after.served):
                self._observer.withdrawn(name, states[name], Withdrawal.NOT_SERVED if after else Withdrawal.REMOVED)

    def _report_previous_settings(self, names: Iterable[str]) -> None:
        for name in names:
            state = self._states[name]
            if self._profiles[name].served and state.has_previous_settings and state.shown:
                self._observer.previous_settings_served(name, state, self._clock.now())

    async def run(self) -> None:
        """Refresh credentials until cancelled; then cancel the running exchange and wait for its end.

        Raises:
            Exception: a bug; the daemon must end, since no credentials would be refreshed any more.
        """
        try:
            while True:
                self._wake.clear()
                for name in self._profiles:
                    self._step(name, Tick())
                self._start_exchange()
                now = self._clock.now()
                await self._sleep(min(seconds_until_due(state, now) for state in self._states.values()))
        finally:
            if self._exchange_task is not None:
                self._exchange_task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._exchange_task

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
                self._pass_on(name)
            else:
                self._store.publish(name, None)
                expired = not isinstance(event, SettingsChanged) or event.keep
                self._observer.withdrawn(name, state, Withdrawal.EXPIRED if expired else Withdrawal.ROLE_CHANGED)

    def _pass_on(self, source: str) -> None:
        """Give the new credentials to the profiles chained to this one; never credentials of previous settings."""
        state = self._states[source]
        # No exchange is possible before the first token: credentials loaded before it are passed on when it comes.
        if self._token is None or state.held is None or state.has_previous_settings:
            return
        for name, profile in self._profiles.items():
            # The same credentials are published again when a stepped clock is stepped back.
            if profile.source == source and self._states[name].exchange_input is not state.held.result:
                self._step(name, InputChanged(state.held.result))

    def _start_exchange(self) -> None:
        if self._exchange_task is not None and self._exchange_task.done():
            task, self._exchange_task = self._exchange_task, None
            task.result()
        if self._due and self._exchange_task is None:
            self._exchange_task = asyncio.create_task(self._run_exchange(), name="exchange")
            # Without this the loop would sleep on and not notice an exchange that a bug ended.
            self._exchange_task.add_done_callback(lambda _: self._wake.set())

    async def _run_exchange(self) -> None:
        # A result can make chained profiles due: the same child process exchanges them.
        async with self._exchanger.open() as exchange:
            while requests := self._next_requests():
                began_mono = self._clock.now().mono
                async with contextlib.aclosing(exchange(requests)) as results:
                    async for name, result in results:
                        ended_mono = self._clock.now().mono
                        if self._requested.pop(name):
                            self._exchange_ended(name, result, ended_mono - began_mono)
                        began_mono = ended_mono

    def _next_requests(self) -> Sequence[AssumeRoleRequest]:
        """Return the requests of all profiles that are due; a chained profile without a usable source fails at once."""
        names, self._due = tuple(self._due), {}
        requests = []
        for name in names:
            request = self._request(self._profiles[name])
            if request is None:
                self._exchange_ended(name, _NO_SOURCE, 0.0)
            else:
                requests.append(request)
                self._requested[name] = True
        if requests:
            self._observer.exchange_started([request.profile.name for request in requests])
        return requests

    def _request(self, profile: Profile) -> AssumeRoleRequest | None:
        if self._token is None:
            return None
        if not profile.source:
            return AssumeRoleRequest(profile, self._token)
        held = self._states[profile.source].held
        if held is None or not held.servable(self._clock.now()):
            return None
        return AssumeRoleRequest(profile, self._token, held.result.credentials)

    def _exchange_ended(self, name: str, result: AssumeRoleResult | Failure, seconds: float) -> None:
        before = self._states[name]
        if isinstance(result, AssumeRoleResult):
            # The results of exchanges with previous settings were dropped by the caller.
            result = replace(result, settings=before.settings)
        self._step(name, Succeeded(result) if isinstance(result, AssumeRoleResult) else Failed(result))
        self._observer.exchange_ended(name, result, seconds, self._clock.now(), before=before, after=self._states[name])
        self._wake.set()


_NO_SOURCE = Failure(
    Outcome.SOURCE_UNAVAILABLE,
    Retry.TRANSIENT,
    "the source_profile has no valid credentials: fix the failure of that profile first",
)
