"""The lifetime of credentials by two clocks: the earlier end counts."""

import pytest

from sidecar.credentials.lifecycle import seconds_until_due, step
from sidecar.credentials.states import Action, Event, InputChanged, ProfileState, Succeeded, Tick
from tests.helpers.clock import FakeClock
from tests.helpers.values import assume_role_result, token


def fresh(clock: FakeClock, lifetime: float = 3_600.0) -> ProfileState:
    state = ProfileState()
    for event in (
        InputChanged(token()),
        Succeeded(assume_role_result(lifetime=lifetime, wall=clock.wall, mono=clock.mono)),
    ):
        state, _ = happens(state, event, clock)
    return state


def happens(state: ProfileState, event: Event, clock: FakeClock) -> tuple[ProfileState, tuple[Action, ...]]:
    return step(state, event, clock.now(), lambda: 0.0)


@pytest.mark.rule("SDK 23")
def test_a_wall_clock_set_back_delays_no_refresh() -> None:
    clock = FakeClock()
    state = fresh(clock)
    clock.step_wall(-86_400)
    clock.advance(2_399)
    assert happens(state, Tick(), clock)[1] == ()
    clock.advance(1)
    assert happens(state, Tick(), clock)[1] == (Action.START,)


@pytest.mark.rule("SDK 23")
def test_a_wall_clock_set_back_does_not_extend_serving() -> None:
    clock = FakeClock()
    state = fresh(clock)
    clock.step_wall(-86_400)
    clock.advance(3_570)
    assert Action.WITHDRAW in happens(state, Tick(), clock)[1]


@pytest.mark.rule("SDK 23")
def test_a_machine_that_slept_refreshes_and_withdraws_by_the_wall_clock() -> None:
    """The monotonic clock of Linux stands still while the machine is suspended."""
    clock = FakeClock()
    state = fresh(clock)
    clock.step_wall(3_000)
    clock.advance(60)
    assert happens(state, Tick(), clock)[1] == (Action.START,)
    clock.step_wall(600)
    assert happens(state, Tick(), clock)[1] == (Action.WITHDRAW, Action.START)


@pytest.mark.parametrize("step_seconds", [0.0, 86_400.0, -86_400.0])
def test_both_clocks_are_read_every_15_seconds(step_seconds: float) -> None:
    clock = FakeClock()
    state = fresh(clock)
    clock.step_wall(step_seconds)
    assert seconds_until_due(state, clock.now()) <= 15
