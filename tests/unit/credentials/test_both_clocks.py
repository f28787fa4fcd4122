"""The life of a set by two clocks: the earlier one decides, whichever it is."""

import pytest

from sidecar.credentials.lifecycle import look_after, step
from sidecar.credentials.states import Action, Event, Granted, State, Tick, TicketSeen
from tests.helpers.clock import FakeClock
from tests.helpers.values import grant, token


def fresh(clock: FakeClock, life: float = 3_600.0) -> State:
    state = State()
    for event in (TicketSeen(token()), Granted(grant(life=life, wall=clock.wall, mono=clock.mono))):
        state, _ = happens(state, event, clock)
    return state


def happens(state: State, event: Event, clock: FakeClock) -> tuple[State, tuple[Action, ...]]:
    return step(state, event, clock.now(), lambda: 0.0)


def test_a_wall_clock_set_back_delays_no_renewal() -> None:
    clock = FakeClock()
    state = fresh(clock)
    clock.step_wall(-86_400)
    clock.advance(2_399)
    assert happens(state, Tick(), clock)[1] == ()
    clock.advance(1)
    assert happens(state, Tick(), clock)[1] == (Action.START,)


def test_a_wall_clock_set_back_lets_no_set_be_served_longer() -> None:
    clock = FakeClock()
    state = fresh(clock)
    clock.step_wall(-86_400)
    clock.advance(3_570)
    assert Action.WITHDRAW in happens(state, Tick(), clock)[1]


def test_a_machine_that_slept_renews_and_withdraws_by_the_wall_clock() -> None:
    """The monotonic clock of Linux stands still while the machine is suspended."""
    clock = FakeClock()
    state = fresh(clock)
    clock.step_wall(3_000)
    clock.advance(60)
    assert happens(state, Tick(), clock)[1] == (Action.START,)
    clock.step_wall(600)
    assert happens(state, Tick(), clock)[1] == (Action.WITHDRAW, Action.START)


@pytest.mark.parametrize("step_seconds", [0.0, 86_400.0, -86_400.0])
def test_it_looks_at_both_clocks_every_quarter_of_a_minute(step_seconds: float) -> None:
    clock = FakeClock()
    state = fresh(clock)
    clock.step_wall(step_seconds)
    assert look_after(state, clock.now()) <= 15
