"""Each row of the table, by the story that leads to it."""

from dataclasses import replace
from itertools import product

import pytest

from sidecar.credentials.lifecycle import TABLE, look_after, step
from sidecar.credentials.states import Event, Failed, Granted, Loaded, Phase, Renew, State, Tick, TicketSeen
from sidecar.errors import Failure, Outcome, Retry
from tests.helpers.clock import FakeClock
from tests.helpers.story import DENIED, PUBLISH, START, TRANSIENT, WITHDRAW, Story, fresh, keeping, renewing
from tests.helpers.values import grant, token


def test_nothing_happens_without_a_token() -> None:
    story = Story()
    assert story.tick(3_600) == ()
    assert story.state.phase is Phase.WAITING


def test_the_first_token_is_exchanged_at_once() -> None:
    story = Story()
    assert story.token() == (START,)
    assert story.state.phase is Phase.ACQUIRING


def test_a_granted_set_is_served() -> None:
    story = Story()
    story.token()
    assert story.granted() == (PUBLISH,)
    assert (story.state.phase, story.state.failures, story.state.shown) == (Phase.FRESH, 0, True)


def test_time_alone_does_not_start_a_second_exchange() -> None:
    story = Story()
    story.token()
    assert story.tick(3_600) == ()
    assert story.state.phase is Phase.ACQUIRING


def test_a_failure_before_the_first_set_is_tried_again_after_its_delay() -> None:
    story = Story()
    story.token()
    assert story.failed() == ()
    assert story.state.phase is Phase.RETRYING
    assert [story.tick(0.4), story.tick(0.2)] == [(), (START,)]


def test_delays_grow_with_each_failure_and_start_anew_after_a_success() -> None:
    story = Story()
    story.token()
    waits = []
    for _ in range(4):
        story.failed()
        waits.append(look_after(story.state, story.clock.now()))
        story.tick(waits[-1])
    assert waits == [0.5, 1.0, 2.0, 4.0]
    story.granted()
    assert story.state.failures == 0


def test_iam_propagation_is_waited_out_quickly_only_before_the_first_set() -> None:
    story = Story()
    story.token()
    story.failed(DENIED)
    assert [story.tick(1.9), story.tick(0.2)] == [(), (START,)]
    held = keeping(DENIED)
    assert held.tick(59) == ()
    assert held.tick(60) == (START,)


def test_a_new_token_ends_a_backoff_at_once() -> None:
    story = Story()
    story.token()
    story.failed(DENIED)
    assert story.token() == (START,)
    assert story.state.ticket == token("token.2.x")
    held = keeping(DENIED)
    assert held.token() == (START,)
    assert held.state.phase is Phase.RENEWING


def test_a_token_that_came_during_a_failing_exchange_is_tried_at_once() -> None:
    story = Story()
    story.token()
    assert story.token() == ()
    assert story.failed(DENIED) == (START,)
    held = renewing()
    held.token()
    assert held.failed(DENIED) == (START,)
    assert held.state.phase is Phase.RENEWING
    assert held.failed(DENIED) == (), "the same token is not tried at once again"


def test_a_set_is_renewed_when_a_third_remains() -> None:
    story = fresh()
    assert story.state.renew_remaining == 1_380
    assert [story.tick(2_219), story.tick(2)] == [(), (START,)]
    assert story.state.phase is Phase.RENEWING
    assert story.state.shown


def test_a_step_of_the_wall_clock_makes_a_renewal_due() -> None:
    story = fresh()
    story.clock.advance(100)
    story.clock.step_wall(2_300)
    assert story.tick() == (START,)


def test_two_timer_exchanges_are_a_minute_apart_whatever_is_granted() -> None:
    story = fresh(life=100)
    assert [story.tick(59), story.tick(1)] == [(), (START,)]


def test_a_renewed_set_replaces_the_old_one() -> None:
    story = renewing()
    assert story.granted() == (PUBLISH,)
    assert story.state.held is not None
    assert story.state.held.grant.credentials.access_key_id.endswith("3")


def test_a_failed_renewal_takes_nothing_away() -> None:
    story = keeping(DENIED)
    assert story.state.phase is Phase.KEEPING
    assert story.state.shown
    assert story.tick(600) == (START,)
    assert story.state.shown


def test_a_set_is_withdrawn_half_a_minute_before_it_expires() -> None:
    story = keeping()
    story.tick(10)
    story.failed(Failure(Outcome.ACCESS_DENIED, Retry.PERMANENT, "hint"))
    assert story.tick(1_159.9)[-1:] != (WITHDRAW,)
    assert WITHDRAW in story.tick(0.2)
    assert story.state.held is None


def test_a_set_that_runs_out_during_an_exchange_is_withdrawn_and_the_exchange_goes_on() -> None:
    story = renewing()
    assert story.tick(1_170) == (WITHDRAW,)
    assert story.state.phase is Phase.ACQUIRING
    assert story.granted() == (PUBLISH,)


def test_a_set_that_ran_out_unseen_is_withdrawn_when_the_exchange_fails() -> None:
    story = renewing()
    story.clock.advance(1_170)
    assert story.failed() == (WITHDRAW,)
    assert story.state.phase is Phase.RETRYING
    again = renewing()
    again.token()
    again.clock.advance(1_170)
    assert again.failed() == (WITHDRAW, START)
    assert again.state.phase is Phase.ACQUIRING


def test_a_set_that_ran_out_in_a_long_sleep_is_withdrawn_and_replaced() -> None:
    story = fresh()
    assert story.tick(10_000) == (WITHDRAW, START)
    assert story.state.phase is Phase.ACQUIRING


def test_a_wall_clock_stepped_forth_and_back_loses_no_set() -> None:
    story = keeping(DENIED)
    story.clock.step_wall(7_200)
    assert story.tick() == (WITHDRAW,)
    assert story.state.held is not None
    story.clock.step_wall(-7_200)
    assert story.tick() == (PUBLISH,)


def test_a_rotation_is_exchanged_within_ten_seconds() -> None:
    story = fresh()
    story.tick(1_000)
    assert story.token() == ()
    assert story.tick(4.9) == ()
    assert story.tick(0.2) == (START,)


def test_a_rotation_soon_after_a_success_is_left_alone() -> None:
    story = fresh()
    story.tick(59)
    story.token()
    assert story.tick(11) == ()
    assert story.state.ticket == token("token.3.x"), "but its token is used from here on"


def test_rotations_can_be_left_to_the_timer() -> None:
    story = fresh(refresh_on_rotation=False)
    story.tick(1_000)
    story.token()
    assert story.tick(11) == ()


def test_a_set_that_is_already_worthless_counts_as_a_failure() -> None:
    story = Story()
    story.token()
    assert story.granted(life=30) == ()
    assert story.state.phase is Phase.RETRYING
    assert story.state.failure is not None
    assert story.state.failure.outcome is Outcome.BAD_ANSWER


def test_a_set_that_ends_before_the_held_one_does_not_replace_it() -> None:
    story = renewing()
    assert story.granted(life=600) == ()
    assert story.state.phase is Phase.KEEPING
    assert story.state.held is not None
    assert story.state.held.remaining(story.clock.now()) == 1_200
    waiting = renewing()
    waiting.token()
    assert waiting.granted(life=600) == (START,)
    gone = renewing()
    gone.clock.advance(1_171)
    assert gone.granted(life=30) == (WITHDRAW,)
    assert gone.state.phase is Phase.RETRYING


def test_a_set_without_a_token_is_kept_to_its_end() -> None:
    story = fresh()
    story.state = replace(story.state, ticket=None)
    assert story.tick(3_000) == ()
    assert story.tick(570) == (WITHDRAW,)
    assert story.state.phase is Phase.WAITING


def test_the_first_token_after_a_set_is_no_rotation() -> None:
    story = fresh()
    story.state = replace(story.state, ticket=None)
    story.tick(1_000)
    story.token()
    assert story.tick(11) == ()


def test_a_renewal_on_demand_waits_for_nothing_but_a_ticket_and_the_exchange_in_flight() -> None:
    assert Story().happens(Renew()) == ()
    story = fresh()
    assert story.happens(Renew()) == (START,)
    assert story.state.phase is Phase.RENEWING
    assert story.happens(Renew()) == ()
    assert keeping(DENIED).happens(Renew()) == (START,)
    retrying = Story()
    retrying.token()
    retrying.failed(DENIED)
    assert retrying.happens(Renew()) == (START,)
    assert retrying.state.phase is Phase.ACQUIRING
    assert retrying.happens(Renew()) == ()
    assert retrying.failed(DENIED) == (START,), "what was in flight may have been asked too early"
    assert retrying.failed(DENIED) == ()
    without_ticket = fresh()
    without_ticket.state = replace(without_ticket.state, ticket=None)
    assert without_ticket.happens(Renew()) == without_ticket.tick(1) == ()
    assert look_after(without_ticket.state, without_ticket.clock.now()) > 0, "nothing to do before there is a ticket"
    assert (without_ticket.token(), without_ticket.tick(0)) == ((), (START,))


def test_a_set_from_before_a_restart_is_served_and_renewed_when_it_is_due() -> None:
    story = Story()
    old = grant(life=3_600.0, wall=story.clock.wall - 2_000, mono=story.clock.mono - 2_000)
    assert story.happens(Loaded(old)) == (PUBLISH,)
    assert story.state.phase is Phase.FRESH
    story.token()
    assert story.tick(215) == ()
    assert story.tick(6) == (START,)


def test_a_set_from_before_a_restart_that_has_run_out_is_left_alone() -> None:
    story = Story()
    old = grant(life=3_600.0, wall=story.clock.wall - 3_571, mono=story.clock.mono - 3_571)
    assert story.happens(Loaded(old)) == ()
    assert story.state.phase is Phase.WAITING


def test_the_next_look_is_never_further_than_what_happens_next() -> None:
    story = fresh()
    assert look_after(story.state, story.clock.now()) == 15
    story.tick(2_215)
    assert look_after(story.state, story.clock.now()) == 5
    story.tick(5)
    assert story.state.phase is Phase.RENEWING
    assert look_after(story.state, story.clock.now()) == 15
    story.tick(1_345)
    assert look_after(story.state, story.clock.now()) == 5


@pytest.mark.parametrize(
    ("phase", "event"),
    [
        pair
        for pair in product(
            Phase, (TicketSeen(token()), Granted(grant()), Failed(TRANSIENT), Tick(), Renew(), Loaded(grant()))
        )
        if (pair[0], type(pair[1])) not in TABLE
    ],
)
def test_what_the_table_does_not_list_raises_and_names_both(phase: Phase, event: Event) -> None:
    with pytest.raises(LookupError, match=rf"{type(event).__name__}.*{phase}"):
        step(State(phase=phase), event, FakeClock().now(), lambda: 0.5)
