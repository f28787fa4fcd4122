"""The laws of the life of credentials, over any sequence of events and any jump of either clock."""

from hypothesis import given, settings, strategies as st

from sidecar.credentials.backoff import Draw
from sidecar.credentials.lifecycle import TABLE, look_after, step
from sidecar.credentials.states import Action, Event, Failed, Granted, Loaded, Phase, Renew, State, Tick, TicketSeen
from sidecar.errors import Failure, Outcome, Retry
from tests.helpers.clock import FakeClock
from tests.helpers.values import grant, token

FLYING = {Phase.ACQUIRING, Phase.RENEWING}
SEEN: set[tuple[Phase, type[Event], Phase]] = set()

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("tick", "ticket", "granted", "granted", "failed", "failed", "renew", "loaded")),
        st.sampled_from((0.0, 1.0, 10.0, 70.0, 600.0, 2_400.0)) | st.floats(0, 4_000),  # seconds that pass before
        st.sampled_from((0.0, 0.0, 0.0, 0.0, 0.0, -7_200.0, -60.0, 60.0, 7_200.0)),  # step of the wall clock
        st.sampled_from((3_600.0, 43_200.0, 900.0, 120.0, 31.0, 29.0)),  # life granted
        st.sampled_from(tuple(Retry)),
        st.floats(0, 0.999),
    ),
    min_size=10,
    max_size=60,
)


def always(number: float) -> Draw:
    return lambda: number


def event_of(kind: str, phase: Phase, number: int, life: float, retry: Retry, clock: FakeClock) -> Event:
    """Return the event; one that cannot happen in this phase is a tick instead."""
    made = grant(number, life=life, wall=clock.wall, mono=clock.mono)
    if kind == "ticket":
        return TicketSeen(token(f"token.{number}.x"))
    if kind == "renew":
        return Renew()
    if kind == "loaded" and phase is Phase.WAITING:
        return Loaded(made)
    if kind == "granted" and phase in FLYING:
        return Granted(made)
    if kind == "failed" and phase in FLYING:
        return Failed(Failure(Outcome.UNREACHABLE, retry, "hint"))
    return Tick()


@settings(max_examples=400, deadline=None)
@given(EVENTS)
def test_the_laws_hold(story: list[tuple[str, float, float, float, Retry, float]]) -> None:
    clock = FakeClock()
    state = State()
    serving = None
    for number, (kind, pause, jump, life, retry, draw) in enumerate(story, start=1):
        clock.advance(pause)
        clock.step_wall(jump)
        now = clock.now()
        event = event_of(kind, state.phase, number, life, retry, clock)
        before = state
        state, actions = step(state, event, now, always(draw))
        SEEN.add((before.phase, type(event), state.phase))

        ended = isinstance(event, Granted | Failed)
        assert (Action.START in actions) <= (before.phase not in FLYING or ended), "one exchange at a time"
        assert (Action.START in actions) <= (state.phase in FLYING)
        for action in actions:
            if action is Action.PUBLISH:
                assert state.held is not None
                assert state.held.servable(now), "only what is servable is served"
                serving = state.held
            elif action is Action.WITHDRAW:
                assert serving is not None
                assert not serving.servable(now), "nothing is taken away that could still be served"
                serving = None
        if isinstance(event, Tick | Failed):
            assert serving is None or serving.servable(now)
        if before.held is not None and before.held.servable(now):
            assert state.held is not None, "a valid set is never lost"
            assert state.held.grant.credentials.expires_at >= before.held.grant.credentials.expires_at
        if isinstance(event, TicketSeen) and before.phase in {Phase.RETRYING, Phase.KEEPING}:
            assert Action.START in actions, "a new token never waits for a backoff"
        assert 0 <= look_after(state, now) <= 15
        if isinstance(event, Tick):
            assert look_after(state, now) > 0, "no busy loop"


def test_the_stories_reached_every_row_of_the_table() -> None:
    """Runs after the one above: laws that hold on a path never walked prove nothing."""
    test_the_laws_hold()
    assert {(phase, event) for phase, event, _ in SEEN} == set(TABLE)
