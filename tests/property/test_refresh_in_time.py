"""Refreshes come in time: while AWS answers, and when it answers again after an outage."""

import random

import pytest
from hypothesis import given, settings, strategies as st

from sidecar.credentials.lifecycle import seconds_until_due, step
from sidecar.credentials.states import Action, Failed, InputChanged, ProfileState, Succeeded, Tick
from sidecar.errors import Failure, Outcome, Retry
from tests.helpers.clock import FakeClock
from tests.helpers.values import assume_role_result, token

# Below this, botocore, .NET and Java v1 request credentials on every call.
WANTED_SECONDS = 900.0


@pytest.mark.rule("SDK 19")
@settings(max_examples=50, deadline=None)
@given(
    lifetime=st.floats(1_800, 43_200),
    draw=st.floats(0, 0.999),
    exchange_seconds=st.floats(0, 70),  # the start of the child and one attempt, at their limits
)
def test_a_lifetime_of_half_an_hour_or_more_never_falls_under_15_minutes(
    lifetime: float, draw: float, exchange_seconds: float
) -> None:
    clock = FakeClock()
    state, _ = step(ProfileState(), InputChanged(token()), clock.now(), lambda: draw)
    number, least = 0, lifetime
    end = clock.mono + 2.5 * lifetime
    while clock.mono < end:
        number += 1
        sent = clock.now()
        clock.advance(exchange_seconds)
        result = Succeeded(assume_role_result(number, lifetime=lifetime, wall=sent.wall, mono=sent.mono))
        state, actions = step(state, result, clock.now(), lambda: draw)
        assert actions == (Action.PUBLISH,)
        while Action.START not in actions:
            # At least a millisecond: a shorter time is lost in the digits of a wall clock.
            clock.advance(max(0.001, seconds_until_due(state, clock.now())))
            state, actions = step(state, Tick(), clock.now(), lambda: draw)
        assert state.held is not None
        least = min(least, state.held.remaining(clock.now()) - exchange_seconds)
    assert least >= WANTED_SECONDS


@pytest.mark.mutant("the wait ignores the time left to serve")
@settings(max_examples=50, deadline=None)
@given(
    left=st.floats(25, 1_000),  # for which the credentials can be served when STS is back
    exchange_seconds=st.floats(0.1, 10),
    retry=st.sampled_from((Retry.TRANSIENT, Retry.THROTTLED)),
    seed=st.integers(0, 2**32),
)
def test_if_sts_is_back_25_seconds_before_credentials_are_withdrawn_they_are_refreshed_in_time(
    left: float, exchange_seconds: float, retry: Retry, seed: int
) -> None:
    clock, draw = FakeClock(), random.Random(seed).random
    state, _ = step(ProfileState(), InputChanged(token()), clock.now(), draw)
    state, _ = step(state, Succeeded(assume_role_result(wall=clock.wall, mono=clock.mono)), clock.now(), draw)
    assert state.held is not None
    back, number = state.held.stop_mono - left, 1
    while number == 1:
        actions: tuple[Action, ...] = ()
        while Action.START not in actions:
            clock.advance(max(0.001, seconds_until_due(state, clock.now())))
            state, actions = step(state, Tick(), clock.now(), draw)
            assert Action.WITHDRAW not in actions
        answered, sent = clock.mono >= back, clock.now()
        clock.advance(exchange_seconds)
        if answered:
            number += 1
            result = Succeeded(assume_role_result(number, wall=sent.wall, mono=sent.mono))
            state, actions = step(state, result, clock.now(), draw)
        else:
            state, actions = step(state, Failed(Failure(Outcome.TIMEOUT, retry, "hint")), clock.now(), draw)
        assert Action.WITHDRAW not in actions
    assert state.failures == 0
