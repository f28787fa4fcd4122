"""While AWS answers, the credentials that clients get never have less remaining lifetime than clients want."""

import pytest
from hypothesis import given, settings, strategies as st

from sidecar.credentials.lifecycle import seconds_until_due, step
from sidecar.credentials.states import Action, InputChanged, ProfileState, Succeeded, Tick
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
