"""The life of one profile's credentials: one table of (phase, event) -> next phase and actions. Pure.

Its laws, whatever happens:

1. A set is withdrawn only when it stops being servable, by either clock; never because something failed. It is
   dropped only when the monotonic clock says so: a wall clock that was stepped may be stepped back.
2. At most one exchange is in flight: START is never given while one is.
3. A new ticket never waits for a backoff to end.
4. A set replaces another only if it lives at least as long.
5. An event that the table does not list for a phase raises: it means that the caller is wrong.

Everything that changes a state is in this file, and nothing here reads a clock, draws a number by itself, or
does I/O: time and randomness are arguments. ``docs/design/lifecycle.md`` is drawn from the table.
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
    Granted,
    Loaded,
    Phase,
    Renew,
    State,
    Tick,
    TicketSeen,
)
from sidecar.credentials.timing import hold, quiet_seconds, renew_at_remaining
from sidecar.errors import Failure, Outcome, Retry
from sidecar.limits import LOOK_SECONDS, ROTATION_SPREAD_SECONDS, TIMER_FLOOR_SECONDS
from sidecar.model import Held, Ticket

__all__ = ("TABLE", "Row", "look_after", "step")

Step = tuple[State, tuple[Action, ...]]
_Handler = Callable[[State, Event, Instant, Draw], Step]


def look_after(state: State, now: Instant) -> float:
    """Return after how many seconds the next ``Tick`` is needed, at most ``LOOK_SECONDS``."""
    waits = [LOOK_SECONDS]
    if state.held is not None:
        waits.append(state.held.stop_mono - now.mono)
        if state.shown:
            waits.append(state.held.stop_at - now.wall)
        if state.phase is Phase.FRESH and state.ticket is not None:
            due = state.held.remaining(now) - state.renew_remaining
            waits.append(max(due, state.success_mono + TIMER_FLOOR_SECONDS - now.mono))
    if state.ticket is not None and state.phase in {Phase.FRESH, Phase.RETRYING, Phase.KEEPING}:
        waits.append(state.attempt_mono - now.mono)
    return max(0.0, min(waits))


def _start(state: State, phase: Phase, *actions: Action) -> Step:
    return replace(state, phase=phase, attempt_mono=NEVER, ticket_waits=False), (*actions, Action.START)


def _ticket(event: Event) -> Ticket:
    return cast("TicketSeen", event).ticket


def _first_ticket(state: State, event: Event, _now: Instant, _draw: Draw) -> Step:
    return _start(replace(state, ticket=_ticket(event)), Phase.ACQUIRING)


def _ticket_in_flight(state: State, event: Event, _now: Instant, _draw: Draw) -> Step:
    return replace(state, ticket=_ticket(event), ticket_waits=True), ()


def _ticket_after_failure(state: State, event: Event, _now: Instant, _draw: Draw) -> Step:
    target = Phase.ACQUIRING if state.phase is Phase.RETRYING else Phase.RENEWING
    return _start(replace(state, ticket=_ticket(event)), target)


def _ticket_while_fresh(state: State, event: Event, now: Instant, draw: Draw) -> Step:
    rotated = state.ticket is not None
    state = replace(state, ticket=_ticket(event))
    if state.held is None or not rotated or not state.refresh_on_rotation:
        return state, ()
    if now.mono - state.success_mono < quiet_seconds(state.held.grant.life_seconds):
        return state, ()
    spread = now.mono + ROTATION_SPREAD_SECONDS * draw()
    return replace(state, attempt_mono=min(state.attempt_mono, spread)), ()


def _granted(state: State, event: Event, now: Instant, draw: Draw) -> Step:
    grant = cast("Granted", event).grant
    held = hold(grant)
    if not held.servable(now):
        return _fail(state, _useless("AlreadyExpired"), now, draw)
    old = state.held
    if old is not None and old.servable(now) and _ends_at(old) > _ends_at(held):
        return _fail(state, _useless("ShorterThanHeld"), now, draw)
    return (
        replace(
            state,
            phase=Phase.FRESH,
            held=held,
            shown=True,
            renew_remaining=renew_at_remaining(grant.life_seconds, draw),
            attempt_mono=NEVER,
            success_mono=now.mono,
            failures=0,
            failure=None,
            ticket_waits=False,
            ever_held=True,
        ),
        (Action.PUBLISH,),
    )


def _ends_at(held: Held) -> int:
    return held.grant.credentials.expires_at


def _useless(code: str) -> Failure:
    hint = "STS granted a set that cannot be used: compare this node's clock with the time, and the STS endpoint"
    return Failure(Outcome.BAD_ANSWER, Retry.TRANSIENT, hint, code)


def _failed(state: State, event: Event, now: Instant, draw: Draw) -> Step:
    return _fail(state, cast("Failed", event).failure, now, draw)


def _fail(state: State, failure: Failure, now: Instant, draw: Draw) -> Step:
    state, actions = _show(state, now)
    failures = state.failures + 1
    state = replace(state, failures=failures, failure=failure)
    if state.ticket_waits:
        return _start(state, Phase.ACQUIRING if state.held is None else Phase.RENEWING, *actions)
    wait = delay(failure.retry, failures, ever_held=state.ever_held, draw=draw)
    phase = Phase.RETRYING if state.held is None else Phase.KEEPING
    return replace(state, phase=phase, attempt_mono=now.mono + wait), actions


def _show(state: State, now: Instant) -> Step:
    """Serve the set while it may be served; the one place that takes a set away."""
    if state.held is None:
        return state, ()
    servable = state.held.servable(now)
    actions: tuple[Action, ...] = ()
    if servable != state.shown:
        actions = (Action.PUBLISH if servable else Action.WITHDRAW,)
    return replace(state, held=state.held if now.mono < state.held.stop_mono else None, shown=servable), actions


def _renew(state: State, _event: Event, now: Instant, _draw: Draw) -> Step:
    if state.ticket is None:
        return replace(state, attempt_mono=now.mono), ()  # as soon as there is one
    return _start(state, Phase.ACQUIRING if state.held is None else Phase.RENEWING)


def _renew_in_flight(state: State, _event: Event, _now: Instant, _draw: Draw) -> Step:
    # What is in flight may have been asked before whatever made somebody want this: if it fails, ask once more.
    return replace(state, ticket_waits=True), ()


def _loaded(state: State, event: Event, now: Instant, draw: Draw) -> Step:
    grant = cast("Loaded", event).grant
    held = hold(grant)
    if not held.servable(now):
        return state, ()
    due = renew_at_remaining(grant.life_seconds, draw)
    return replace(state, phase=Phase.FRESH, held=held, shown=True, renew_remaining=due, ever_held=True), (
        Action.PUBLISH,
    )


def _nothing(state: State, _event: Event, _now: Instant, _draw: Draw) -> Step:
    return state, ()


def _tick_in_flight(state: State, _event: Event, now: Instant, _draw: Draw) -> Step:
    state, actions = _show(state, now)
    return replace(state, phase=Phase.RENEWING if state.held else Phase.ACQUIRING), actions


def _tick_waiting(state: State, _event: Event, now: Instant, _draw: Draw) -> Step:
    state, actions = _show(state, now)
    if now.mono >= state.attempt_mono and state.ticket is not None:
        return _start(state, Phase.RENEWING if state.held else Phase.ACQUIRING, *actions)
    return replace(state, phase=Phase.KEEPING if state.held else Phase.RETRYING), actions


def _tick_fresh(state: State, _event: Event, now: Instant, _draw: Draw) -> Step:
    state, actions = _show(state, now)
    if state.ticket is None:
        return (state, actions) if state.held else (replace(state, phase=Phase.WAITING), actions)
    if state.held is None:
        return _start(state, Phase.ACQUIRING, *actions)
    due = state.held.remaining(now) <= state.renew_remaining
    rested = now.mono - state.success_mono >= TIMER_FLOOR_SECONDS
    if (due and rested) or now.mono >= state.attempt_mono:
        return _start(state, Phase.RENEWING, *actions)
    return state, actions


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what handles the event, and every phase it may lead to."""

    handle: _Handler
    targets: tuple[Phase, ...]


_P = Phase
TABLE: Final[dict[tuple[Phase, type[Event]], Row]] = {
    (_P.WAITING, TicketSeen): Row(_first_ticket, (_P.ACQUIRING,)),
    (_P.WAITING, Tick): Row(_nothing, (_P.WAITING,)),
    (_P.WAITING, Renew): Row(_nothing, (_P.WAITING,)),
    (_P.WAITING, Loaded): Row(_loaded, (_P.WAITING, _P.FRESH)),
    (_P.ACQUIRING, TicketSeen): Row(_ticket_in_flight, (_P.ACQUIRING,)),
    (_P.ACQUIRING, Granted): Row(_granted, (_P.FRESH, _P.RETRYING, _P.ACQUIRING)),
    (_P.ACQUIRING, Failed): Row(_failed, (_P.RETRYING, _P.ACQUIRING)),
    (_P.ACQUIRING, Tick): Row(_tick_in_flight, (_P.ACQUIRING,)),
    (_P.ACQUIRING, Renew): Row(_renew_in_flight, (_P.ACQUIRING,)),
    (_P.RETRYING, TicketSeen): Row(_ticket_after_failure, (_P.ACQUIRING,)),
    (_P.RETRYING, Tick): Row(_tick_waiting, (_P.RETRYING, _P.ACQUIRING)),
    (_P.RETRYING, Renew): Row(_renew, (_P.ACQUIRING,)),
    (_P.FRESH, TicketSeen): Row(_ticket_while_fresh, (_P.FRESH,)),
    (_P.FRESH, Tick): Row(_tick_fresh, (_P.FRESH, _P.RENEWING, _P.ACQUIRING, _P.WAITING)),
    (_P.FRESH, Renew): Row(_renew, (_P.FRESH, _P.RENEWING, _P.ACQUIRING)),
    (_P.RENEWING, TicketSeen): Row(_ticket_in_flight, (_P.RENEWING,)),
    (_P.RENEWING, Granted): Row(_granted, (_P.FRESH, _P.KEEPING, _P.RETRYING, _P.RENEWING, _P.ACQUIRING)),
    (_P.RENEWING, Failed): Row(_failed, (_P.KEEPING, _P.RETRYING, _P.RENEWING, _P.ACQUIRING)),
    (_P.RENEWING, Tick): Row(_tick_in_flight, (_P.RENEWING, _P.ACQUIRING)),
    (_P.RENEWING, Renew): Row(_renew_in_flight, (_P.RENEWING,)),
    (_P.KEEPING, TicketSeen): Row(_ticket_after_failure, (_P.RENEWING,)),
    (_P.KEEPING, Tick): Row(_tick_waiting, (_P.KEEPING, _P.RETRYING, _P.RENEWING, _P.ACQUIRING)),
    (_P.KEEPING, Renew): Row(_renew, (_P.RENEWING, _P.ACQUIRING)),
}
"""Every (phase, event) that can happen; a test walks each row."""


def step(state: State, event: Event, now: Instant, draw: Draw) -> Step:
    """Return the next state and what has to be done, in order.

    Args:
        state: where the profile is.
        event: what happened.
        now: when.
        draw: the random source for jitter.

    Raises:
        LookupError: the table has no row for this phase and event, or the row's handler left its targets;
            either is a bug, and the message names both.
    """
    row = TABLE.get((state.phase, type(event)))
    if row is None:
        raise LookupError(f"no row for {type(event).__name__} in phase {state.phase}")
    after, actions = row.handle(state, event, now, draw)
    if after.phase not in row.targets:
        raise LookupError(f"{type(event).__name__} led from {state.phase} to {after.phase}")
    return after, actions
