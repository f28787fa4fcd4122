"""The laws of the credential lifecycle, for random sequences of events and jumps of either clock."""

from dataclasses import replace

from hypothesis import given, settings, strategies as st

from sidecar.clock import Instant
from sidecar.credentials.backoff import Draw
from sidecar.credentials.lifecycle import TABLE, seconds_until_due, step
from sidecar.credentials.states import (
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
from sidecar.errors import Failure, Outcome, Retry
from tests.helpers.clock import FakeClock
from tests.helpers.values import assume_role_result, token

EXCHANGING = {Phase.ACQUIRING, Phase.REFRESHING}
SEEN: set[tuple[Phase, type[Event], Phase]] = set()

KINDS = (
    *("tick", "input", "succeeded", "succeeded", "failed", "failed", "failed", "refresh", "refresh", "loaded") * 3,
    *("changed", "changed back", "withdrawn"),
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.sampled_from((0.0, 1.0, 10.0, 70.0, 600.0, 2_400.0)) | st.floats(0, 4_000),  # seconds that pass before
        st.sampled_from((0.0, 0.0, 0.0, 0.0, 0.0, -7_200.0, -60.0, 60.0, 7_200.0)),  # step of the wall clock
        st.sampled_from((3_600.0, 43_200.0, 900.0, 120.0, 31.0, 29.0)),  # lifetime
        st.sampled_from(tuple(Retry)),
        st.floats(0, 0.999),
    ),
    min_size=10,
    max_size=60,
)


def always(number: float) -> Draw:
    return lambda: number


def event_of(kind: str, state: ProfileState, number: int, lifetime: float, retry: Retry, clock: FakeClock) -> Event:
    """Return the event; one that cannot happen in this phase is a tick instead."""
    made = replace(
        assume_role_result(number, lifetime=lifetime, wall=clock.wall, mono=clock.mono), settings=state.settings
    )
    back = state.held.result.settings if state.held else f"settings {number}"
    events: dict[str, Event] = {
        "input": InputChanged(token(f"token.{number}.x")),
        "refresh": RefreshRequested(),
        "changed": SettingsChanged(f"settings {number}", keep=True),
        "changed back": SettingsChanged(back, keep=True),
        "withdrawn": SettingsChanged(f"settings {number}", keep=False),
    }
    if state.phase is Phase.WAITING:
        events["loaded"] = Loaded(made)
    if state.phase in EXCHANGING:
        events["succeeded"] = Succeeded(made)
        events["failed"] = Failed(Failure(Outcome.UNREACHABLE, retry, "hint"))
    return events.get(kind, Tick())


def assert_wait_is_short_enough(before: ProfileState, state: ProfileState, now: Instant) -> None:
    """After a failure the wait is limited by the time left to serve."""
    if state.failure is None or state.failures == before.failures or state.phase in EXCHANGING:
        return
    left = min(state.held.stop_mono - now.mono, state.held.stop_at - now.wall) if state.held else 0.0
    longest = {Retry.TRANSIENT: 8.0, Retry.THROTTLED: 60.0}.get(state.failure.retry, 300.0)
    if left > 0:
        longest = max(left / 4, 1.0 if state.failure.retry in {Retry.TRANSIENT, Retry.THROTTLED} else 15.0)
    assert 0.2 - 1e-6 <= state.attempt_mono - now.mono <= longest + 1e-6


@settings(max_examples=800, deadline=None)
@given(EVENTS)
def laws_hold(events: list[tuple[str, float, float, float, Retry, float]]) -> None:
    clock = FakeClock()
    state = ProfileState()
    serving = None
    for number, (kind, pause, jump, lifetime, retry, draw) in enumerate(events, start=1):
        clock.advance(pause)
        clock.step_wall(jump)
        now = clock.now()
        event = event_of(kind, state, number, lifetime, retry, clock)
        before = state
        state, actions = step(state, event, now, always(draw))
        SEEN.add((before.phase, type(event), state.phase))

        ended = isinstance(event, Succeeded | Failed)
        assert (Action.START in actions) <= (before.phase not in EXCHANGING or ended), "one exchange at a time"
        assert (Action.START in actions) <= (state.phase in EXCHANGING)
        for action in actions:
            if action is Action.PUBLISH:
                assert state.held is not None
                assert state.held.servable(now), "only servable credentials are served"
                serving = state.held
            elif action is Action.WITHDRAW:
                assert serving is not None
                if kind != "withdrawn":
                    assert not serving.servable(now), "servable credentials were withdrawn"
                serving = None
        if isinstance(event, Tick | Failed):
            assert serving is None or serving.servable(now)
        if before.held is not None and before.held.servable(now) and kind != "withdrawn":
            assert state.held is not None, "valid credentials are never lost"
            assert (
                before.has_previous_settings
                or state.held.result.credentials.expires_at >= before.held.result.credentials.expires_at
            )
        if isinstance(event, InputChanged) and (
            before.phase in {Phase.RETRYING, Phase.STALE} or before.has_previous_settings
        ):
            assert Action.START in actions or before.phase in EXCHANGING, (
                "neither a backoff nor previous credentials delay it"
            )
        assert_wait_is_short_enough(before, state, now)
        assert 0 <= seconds_until_due(state, now) <= 15
        if isinstance(event, Tick):
            assert seconds_until_due(state, now) > 0, "no busy loop"


def test_the_laws_hold_for_sequences_that_reach_every_row_of_the_table() -> None:
    """Laws prove nothing for a row that no sequence reaches."""
    # Sequences are drawn at random, and a run does not always reach the rarest row.
    for _ in range(5):
        laws_hold()
        if {(phase, event) for phase, event, _ in SEEN} == set(TABLE):
            break
    assert {(phase, event) for phase, event, _ in SEEN} == set(TABLE)
