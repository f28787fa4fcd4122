"""The lifecycle of one profile's credentials: one table of (phase, event) -> next phase and actions. Pure.

Its laws:

1. Credentials are withdrawn when they are no longer servable by one of the clocks, or by ``SettingsChanged`` without
   ``keep``; a failure does not withdraw them. They are dropped when they have expired by the monotonic clock: a wall
   clock that was stepped can be stepped back.
2. At most one exchange is running: there is no START while one is.
3. A new exchange input never waits for a backoff to end.
4. Credentials replace others of the same settings only if they do not expire earlier.
5. If the clocks are not stepped, the next attempt after a failure starts before the credentials are withdrawn: of a
   transient failure if they can be served for a second more, of another one if for ``PERMANENT_MIN_SECONDS``.
6. An event that the table does not list for a phase raises: the caller has a bug.

All code that changes a state is in this file, and nothing here reads a clock, draws a random number by itself, or
does I/O: time and randomness are arguments. ``docs/design/lifecycle.md`` is generated from the table.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, cast

from sidecar.clock import Instant
from sidecar.credentials.backoff import Draw, delay
from sidecar.credentials.states import (
    NEVER,
    Action,
    Event,
    Failed,
    InputChanged,
    Loaded,
    Phase,
    ProfileState,
    RefreshRequested,
    SettingsChanged,
    Succeeded,
    Tick,
)
from sidecar.credentials.timing import hold, quiet_seconds, refresh_at_remaining, seconds_left
from sidecar.errors import Failure, Outcome, Retry
from sidecar.limits import ROTATION_SPREAD_SECONDS, TICK_MAX_SECONDS, TIMER_FLOOR_SECONDS
from sidecar.model import ExchangeInput, Held

__all__ = ("TABLE", "Row", "seconds_until_due", "step")

Transition = tuple[ProfileState, tuple[Action, ...]]
_Handler = Callable[[ProfileState, Event, Instant, Draw], Transition]


def seconds_until_due(state: ProfileState, now: Instant) -> float:
    """Return the seconds until the next ``Tick`` is needed, at most ``TICK_MAX_SECONDS``."""
    waits = [TICK_MAX_SECONDS]
    if state.held is not None:
        waits.append(state.held.stop_mono - now.mono)
        if state.shown:
            waits.append(state.held.stop_at - now.wall)
        if state.phase is Phase.FRESH and state.exchange_input is not None:
            due = state.held.remaining(now) - state.refresh_remaining
            waits.append(max(due, state.success_mono + TIMER_FLOOR_SECONDS - now.mono))
    if state.exchange_input is not None and state.phase in {Phase.FRESH, Phase.RETRYING, Phase.STALE}:
        waits.append(state.attempt_mono - now.mono)
    return max(0.0, min(waits))


def _start(state: ProfileState, phase: Phase, *actions: Action) -> Transition:
    return replace(state, phase=phase, attempt_mono=NEVER, input_pending=False), (*actions, Action.START)


def _input(event: Event) -> ExchangeInput:
    return cast("InputChanged", event).exchange_input


def _first_input(state: ProfileState, event: Event, _now: Instant, _draw: Draw) -> Transition:
    return _start(replace(state, exchange_input=_input(event)), Phase.ACQUIRING)


def _input_during_exchange(state: ProfileState, event: Event, _now: Instant, _draw: Draw) -> Transition:
    return replace(state, exchange_input=_input(event), input_pending=True), ()


def _input_after_failure(state: ProfileState, event: Event, _now: Instant, _draw: Draw) -> Transition:
    target = Phase.ACQUIRING if state.phase is Phase.RETRYING else Phase.REFRESHING
    return _start(replace(state, exchange_input=_input(event)), target)


def _input_while_fresh(state: ProfileState, event: Event, now: Instant, draw: Draw) -> Transition:
    rotated = state.exchange_input is not None
    state = replace(state, exchange_input=_input(event))
    if state.has_previous_settings:
        return _start(state, Phase.REFRESHING)
    if state.held is None or not rotated or not state.refresh_on_rotation:
        return state, ()
    if now.mono - state.success_mono < quiet_seconds(state.held.result.lifetime_seconds):
        return state, ()
    spread = now.mono + ROTATION_SPREAD_SECONDS * draw()
    return replace(state, attempt_mono=min(state.attempt_mono, spread)), ()


def _succeeded(state: ProfileState, event: Event, now: Instant, draw: Draw) -> Transition:
    result = cast("Succeeded", event).result
    held = hold(result)
    if not held.servable(now):
        return _fail(state, _unusable("AlreadyExpired"), now, draw)
    old = state.held
    if old is not None and not state.has_previous_settings and old.servable(now) and _end(old) > _end(held):
        return _fail(state, _unusable("ShorterThanHeld"), now, draw)
    return (
        replace(
            state,
            phase=Phase.FRESH,
            held=held,
            shown=True,
            refresh_remaining=refresh_at_remaining(result.lifetime_seconds, draw),
            attempt_mono=NEVER,
            success_mono=now.mono,
            failures=0,
            failure=None,
            input_pending=False,
            ever_held=True,
        ),
        (Action.PUBLISH,),
    )


def _end(held: Held) -> int:
    return held.result.credentials.expires_at


def _unusable(code: str) -> Failure:
    hint = "STS returned credentials that cannot be used: check this node's clock and the STS endpoint"
    return Failure(Outcome.INVALID_RESPONSE, Retry.TRANSIENT, hint, code)


def _failed(state: ProfileState, event: Event, now: Instant, draw: Draw) -> Transition:
    return _fail(state, cast("Failed", event).failure, now, draw)


def _fail(state: ProfileState, failure: Failure, now: Instant, draw: Draw) -> Transition:
    state, actions = _show(state, now)
    failures = state.failures + 1
    state = replace(state, failures=failures, failure=failure)
    if state.input_pending:
        return _start(state, Phase.ACQUIRING if state.held is None else Phase.REFRESHING, *actions)
    left = seconds_left(state.held, now)
    wait = delay(failure.retry, failures, ever_held=state.ever_held, seconds_left=left, draw=draw)
    phase = Phase.RETRYING if state.held is None else Phase.STALE
    return replace(state, phase=phase, attempt_mono=now.mono + wait), actions


def _show(state: ProfileState, now: Instant) -> Transition:
    """Publish or withdraw the credentials by the two clocks; nothing else withdraws what has expired."""
    if state.held is None:
        return state, ()
    servable = state.held.servable(now)
    actions: tuple[Action, ...] = ()
    if servable != state.shown:
        actions = (Action.PUBLISH if servable else Action.WITHDRAW,)
    return replace(state, held=state.held if now.mono < state.held.stop_mono else None, shown=servable), actions


def _refresh(state: ProfileState, _event: Event, now: Instant, _draw: Draw) -> Transition:
    if state.exchange_input is None:
        return replace(state, attempt_mono=now.mono), ()  # starts as soon as there is an input
    return _start(state, Phase.ACQUIRING if state.held is None else Phase.REFRESHING)


def _refresh_during_exchange(state: ProfileState, _event: Event, _now: Instant, _draw: Draw) -> Transition:
    # The running exchange may have started before the change that this request follows: if it fails, try once more.
    return replace(state, input_pending=True), ()


def _loaded(state: ProfileState, event: Event, now: Instant, draw: Draw) -> Transition:
    result = cast("Loaded", event).result
    held = hold(result)
    if not held.servable(now):
        return state, ()
    due = refresh_at_remaining(result.lifetime_seconds, draw)
    state = replace(state, phase=Phase.FRESH, held=held, shown=True, refresh_remaining=due)
    return replace(state, ever_held=not state.has_previous_settings), (Action.PUBLISH,)


def _changed(state: ProfileState, event: Event, now: Instant, _draw: Draw) -> Transition:
    changed = cast("SettingsChanged", event)
    after = ProfileState(refresh_on_rotation=state.refresh_on_rotation, settings=changed.settings)
    if not changed.keep:
        return after, (Action.WITHDRAW,) if state.shown else ()
    state, actions = _show(state, now)
    if state.held is None:
        return after, actions
    after = replace(
        after,
        phase=Phase.FRESH,
        held=state.held,
        shown=state.shown,
        refresh_remaining=state.refresh_remaining,
        success_mono=state.success_mono,
    )
    # A change of settings often comes with a change in IAM: `delay` then waits for its propagation, not for minutes.
    return replace(after, ever_held=not after.has_previous_settings), actions


def _nothing(state: ProfileState, _event: Event, _now: Instant, _draw: Draw) -> Transition:
    return state, ()


def _tick_during_exchange(state: ProfileState, _event: Event, now: Instant, _draw: Draw) -> Transition:
    state, actions = _show(state, now)
    return replace(state, phase=Phase.REFRESHING if state.held else Phase.ACQUIRING), actions


def _tick_waiting(state: ProfileState, _event: Event, now: Instant, _draw: Draw) -> Transition:
    state, actions = _show(state, now)
    if now.mono >= state.attempt_mono and state.exchange_input is not None:
        return _start(state, Phase.REFRESHING if state.held else Phase.ACQUIRING, *actions)
    return replace(state, phase=Phase.STALE if state.held else Phase.RETRYING), actions


def _tick_fresh(state: ProfileState, _event: Event, now: Instant, _draw: Draw) -> Transition:
    state, actions = _show(state, now)
    if state.exchange_input is None:
        return (state, actions) if state.held else (replace(state, phase=Phase.WAITING), actions)
    if state.held is None:
        return _start(state, Phase.ACQUIRING, *actions)
    due = state.held.remaining(now) <= state.refresh_remaining
    rested = now.mono - state.success_mono >= TIMER_FLOOR_SECONDS
    if (due and rested) or now.mono >= state.attempt_mono:
        return _start(state, Phase.REFRESHING, *actions)
    return state, actions


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the handler of the event, and the phases that may follow."""

    handle: _Handler
    targets: tuple[Phase, ...]


_P = Phase
TABLE: Final[dict[tuple[Phase, type[Event]], Row]] = {
    (_P.WAITING, InputChanged): Row(_first_input, (_P.ACQUIRING,)),
    (_P.WAITING, Tick): Row(_nothing, (_P.WAITING,)),
    (_P.WAITING, RefreshRequested): Row(_nothing, (_P.WAITING,)),
    (_P.WAITING, Loaded): Row(_loaded, (_P.WAITING, _P.FRESH)),
    (_P.ACQUIRING, InputChanged): Row(_input_during_exchange, (_P.ACQUIRING,)),
    (_P.ACQUIRING, Succeeded): Row(_succeeded, (_P.FRESH, _P.RETRYING, _P.ACQUIRING)),
    (_P.ACQUIRING, Failed): Row(_failed, (_P.RETRYING, _P.ACQUIRING)),
    (_P.ACQUIRING, Tick): Row(_tick_during_exchange, (_P.ACQUIRING,)),
    (_P.ACQUIRING, RefreshRequested): Row(_refresh_during_exchange, (_P.ACQUIRING,)),
    (_P.RETRYING, InputChanged): Row(_input_after_failure, (_P.ACQUIRING,)),
    (_P.RETRYING, Tick): Row(_tick_waiting, (_P.RETRYING, _P.ACQUIRING)),
    (_P.RETRYING, RefreshRequested): Row(_refresh, (_P.ACQUIRING,)),
    (_P.FRESH, InputChanged): Row(_input_while_fresh, (_P.FRESH, _P.REFRESHING)),
    (_P.FRESH, Tick): Row(_tick_fresh, (_P.FRESH, _P.REFRESHING, _P.ACQUIRING, _P.WAITING)),
    (_P.FRESH, RefreshRequested): Row(_refresh, (_P.FRESH, _P.REFRESHING, _P.ACQUIRING)),
    (_P.REFRESHING, InputChanged): Row(_input_during_exchange, (_P.REFRESHING,)),
    (_P.REFRESHING, Succeeded): Row(_succeeded, (_P.FRESH, _P.STALE, _P.RETRYING, _P.REFRESHING, _P.ACQUIRING)),
    (_P.REFRESHING, Failed): Row(_failed, (_P.STALE, _P.RETRYING, _P.REFRESHING, _P.ACQUIRING)),
    (_P.REFRESHING, Tick): Row(_tick_during_exchange, (_P.REFRESHING, _P.ACQUIRING)),
    (_P.REFRESHING, RefreshRequested): Row(_refresh_during_exchange, (_P.REFRESHING,)),
    (_P.STALE, InputChanged): Row(_input_after_failure, (_P.REFRESHING,)),
    (_P.STALE, Tick): Row(_tick_waiting, (_P.STALE, _P.RETRYING, _P.REFRESHING, _P.ACQUIRING)),
    (_P.STALE, RefreshRequested): Row(_refresh, (_P.REFRESHING, _P.ACQUIRING)),
    **{(phase, SettingsChanged): Row(_changed, (_P.WAITING, _P.FRESH)) for phase in Phase},
}
"""All pairs of phase and event that can occur; a test runs each row."""


def step(state: ProfileState, event: Event, now: Instant, draw: Draw) -> Transition:
    """Return the next state and the actions of the caller, in order.

    Args:
        state: the state of the profile.
        event: what happened.
        now: when it happened.
        draw: the random source for jitter.

    Raises:
        LookupError: the table has no row for this phase and event, or the handler returned a phase that is not among
            the row's targets; both are bugs, and the message names phase and event.
    """
    row = TABLE.get((state.phase, type(event)))
    if row is None:
        raise LookupError(f"no row for {type(event).__name__} in phase {state.phase}")
    after, actions = row.handle(state, event, now, draw)
    if after.phase not in row.targets:
        raise LookupError(f"{type(event).__name__} led from {state.phase} to {after.phase}")
    return after, actions
