"""While AWS answers, no client ever sees a set with less life than it wants."""

from hypothesis import given, settings, strategies as st

from sidecar.credentials.lifecycle import look_after, step
from sidecar.credentials.states import Action, Granted, State, Tick, TicketSeen
from tests.helpers.clock import FakeClock
from tests.helpers.values import grant, token

# botocore, .NET and Java v1 ask on every call below this.
WANTED_SECONDS = 900.0


@settings(max_examples=50, deadline=None)
@given(
    life=st.floats(1_800, 43_200),
    draw=st.floats(0, 0.999),
    exchange_seconds=st.floats(0, 70),  # the start of the child and one attempt, at their limits
)
def test_a_life_of_half_an_hour_or_more_never_falls_under_fifteen_minutes(
    life: float, draw: float, exchange_seconds: float
) -> None:
    clock = FakeClock()
    state, _ = step(State(), TicketSeen(token()), clock.now(), lambda: draw)
    number, least = 0, life
    end = clock.mono + 2.5 * life
    while clock.mono < end:
        number += 1
        asked = clock.now()
        clock.advance(exchange_seconds)
        granted = Granted(grant(number, life=life, wall=asked.wall, mono=asked.mono))
        state, actions = step(state, granted, clock.now(), lambda: draw)
        assert actions == (Action.PUBLISH,)
        while Action.START not in actions:
            # A millisecond at least: less than that is lost in the digits of a wall clock.
            clock.advance(max(0.001, look_after(state, clock.now())))
            state, actions = step(state, Tick(), clock.now(), lambda: draw)
        assert state.held is not None
        least = min(least, state.held.remaining(clock.now()) - exchange_seconds)
    assert least >= WANTED_SECONDS
