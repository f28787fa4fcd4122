"""Each row of the table, by the events that lead to it."""

from dataclasses import replace
from itertools import product

import pytest

from sidecar.credentials.lifecycle import TABLE, seconds_until_due, step
from sidecar.credentials.states import (
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
from tests.helpers.state_driver import (
    DENIED,
    PUBLISH,
    START,
    TRANSIENT,
    WITHDRAW,
    StateDriver,
    fresh,
    refreshing,
    stale,
)
from tests.helpers.values import assume_role_result, token


def test_without_a_token_no_exchange_starts() -> None:
    driver = StateDriver()
    assert driver.tick(3_600) == ()
    assert driver.state.phase is Phase.WAITING


def test_the_first_token_is_exchanged_at_once() -> None:
    driver = StateDriver()
    assert driver.token() == (START,)
    assert driver.state.phase is Phase.ACQUIRING


def test_new_credentials_are_served() -> None:
    driver = StateDriver()
    driver.token()
    assert driver.succeed() == (PUBLISH,)
    assert (driver.state.phase, driver.state.failures, driver.state.shown) == (Phase.FRESH, 0, True)


def test_time_alone_does_not_start_a_second_exchange() -> None:
    driver = StateDriver()
    driver.token()
    assert driver.tick(3_600) == ()
    assert driver.state.phase is Phase.ACQUIRING


def test_a_failure_before_the_first_credentials_is_retried_after_its_delay() -> None:
    driver = StateDriver()
    driver.token()
    assert driver.fail() == ()
    assert driver.state.phase is Phase.RETRYING
    assert [driver.tick(0.4), driver.tick(0.2)] == [(), (START,)]


def test_delays_grow_with_each_failure_and_start_again_after_a_success() -> None:
    driver = StateDriver()
    driver.token()
    waits = []
    for _ in range(4):
        driver.fail()
        waits.append(seconds_until_due(driver.state, driver.clock.now()))
        driver.tick(waits[-1])
    assert waits == [0.5, 1.0, 2.0, 4.0]
    driver.succeed()
    assert driver.state.failures == 0


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_after_an_outage_a_refresh_starts_while_the_credentials_can_still_be_served(draw: float) -> None:
    driver = refreshing()
    driver.draw = draw
    assert driver.state.held is not None
    back = driver.state.held.stop_mono - 55
    while driver.clock.mono < back:
        driver.fail()
        while START not in driver.tick(seconds_until_due(driver.state, driver.clock.now())):
            pass
    assert driver.state.held.stop_mono - driver.clock.mono > 55 - 55 / 4
    driver.fail()
    assert driver.tick(55 / 4) == (START,), "after one more failure"


@pytest.mark.parametrize("draw", [0.5, 0.999])
def test_after_a_long_outage_a_daemon_that_holds_nothing_has_credentials_within_8_seconds(draw: float) -> None:
    driver = StateDriver(draw=draw)
    driver.token()
    for _ in range(300):
        driver.fail()
        assert driver.tick(8) == (START,)
    assert driver.succeed() == (PUBLISH,)


def test_denials_are_retried_quickly_only_before_the_first_credentials() -> None:
    driver = StateDriver()
    driver.token()
    driver.fail(DENIED)
    assert [driver.tick(1.9), driver.tick(0.2)] == [(), (START,)]
    held = stale(DENIED)
    assert held.tick(59) == ()
    assert held.tick(60) == (START,)


@pytest.mark.rule("SDK 22", "Kubernetes D4")
def test_a_new_token_ends_a_backoff_at_once() -> None:
    driver = StateDriver()
    driver.token()
    driver.fail(DENIED)
    assert driver.token() == (START,)
    assert driver.state.exchange_input == token("token.2.x")
    held = stale(DENIED)
    assert held.token() == (START,)
    assert held.state.phase is Phase.REFRESHING


@pytest.mark.rule("SDK 22")
@pytest.mark.mutant("a token that comes during an exchange starts a second one")
def test_a_token_that_came_during_a_failing_exchange_is_exchanged_at_once() -> None:
    driver = StateDriver()
    driver.token()
    assert driver.token() == ()
    assert driver.fail(DENIED) == (START,)
    held = refreshing()
    held.token()
    assert held.fail(DENIED) == (START,)
    assert held.state.phase is Phase.REFRESHING
    assert held.fail(DENIED) == (), "the same token is not exchanged again at once"


def test_credentials_are_refreshed_when_a_third_of_the_lifetime_remains() -> None:
    driver = fresh()
    assert driver.state.refresh_remaining == 1_380
    assert [driver.tick(2_219), driver.tick(2)] == [(), (START,)]
    assert driver.state.phase is Phase.REFRESHING
    assert driver.state.shown


@pytest.mark.rule("SDK 23")
@pytest.mark.mutant("a wall clock stepped forward does not make a refresh due")
def test_a_step_of_the_wall_clock_makes_a_refresh_due() -> None:
    driver = fresh()
    driver.clock.advance(100)
    driver.clock.step_wall(2_300)
    assert driver.tick() == (START,)


@pytest.mark.mutant("the timer has no minimum interval between two exchanges")
def test_two_timer_exchanges_are_a_minute_apart_for_any_lifetime() -> None:
    driver = fresh(lifetime=100)
    assert [driver.tick(59), driver.tick(1)] == [(), (START,)]


def test_new_credentials_replace_the_current_ones() -> None:
    driver = refreshing()
    assert driver.succeed() == (PUBLISH,)
    assert driver.state.held is not None
    assert driver.state.held.result.credentials.access_key_id.endswith("3")


@pytest.mark.rule("SDK 21")
@pytest.mark.mutant("a failed refresh withdraws the credentials")
def test_after_a_failed_refresh_the_current_credentials_are_served() -> None:
    driver = stale(DENIED)
    assert driver.state.phase is Phase.STALE
    assert driver.state.shown
    assert driver.tick(600) == (START,)
    assert driver.state.shown


@pytest.mark.rule("SDK 21")
@pytest.mark.mutant("credentials are served until they expire")
def test_credentials_are_withdrawn_30_seconds_before_they_expire() -> None:
    driver = stale()
    driver.tick(10)
    driver.fail(Failure(Outcome.ACCESS_DENIED, Retry.PERMANENT, "hint"))
    assert driver.tick(1_159.9)[-1:] != (WITHDRAW,)
    assert WITHDRAW in driver.tick(0.2)
    assert driver.state.held is None


def test_credentials_that_expire_during_an_exchange_are_withdrawn_and_the_exchange_continues() -> None:
    driver = refreshing()
    assert driver.tick(1_170) == (WITHDRAW,)
    assert driver.state.phase is Phase.ACQUIRING
    assert driver.succeed() == (PUBLISH,)


def test_expired_credentials_are_withdrawn_at_the_latest_when_the_exchange_fails() -> None:
    driver = refreshing()
    driver.clock.advance(1_170)
    assert driver.fail() == (WITHDRAW,)
    assert driver.state.phase is Phase.RETRYING
    again = refreshing()
    again.token()
    again.clock.advance(1_170)
    assert again.fail() == (WITHDRAW, START)
    assert again.state.phase is Phase.ACQUIRING


def test_credentials_that_expired_during_a_long_sleep_are_withdrawn_and_replaced() -> None:
    driver = fresh()
    assert driver.tick(10_000) == (WITHDRAW, START)
    assert driver.state.phase is Phase.ACQUIRING


@pytest.mark.mutant("a wall clock stepped forward drops the credentials permanently")
def test_a_wall_clock_stepped_forward_and_back_loses_no_credentials() -> None:
    driver = stale(DENIED)
    driver.clock.step_wall(7_200)
    assert driver.tick() == (WITHDRAW,)
    assert driver.state.held is not None
    driver.clock.step_wall(-7_200)
    assert driver.tick() == (PUBLISH,)


@pytest.mark.rule("Kubernetes D4")
def test_a_rotation_is_exchanged_within_ten_seconds() -> None:
    driver = fresh()
    driver.tick(1_000)
    assert driver.token() == ()
    assert driver.tick(4.9) == ()
    assert driver.tick(0.2) == (START,)


@pytest.mark.rule("Kubernetes D4")
@pytest.mark.mutant("a rotation right after a success is exchanged")
def test_a_rotation_soon_after_a_success_is_not_exchanged() -> None:
    driver = fresh()
    driver.tick(59)
    driver.token()
    assert driver.tick(11) == ()
    assert driver.state.exchange_input == token("token.3.x"), "but its token is used from now on"


@pytest.mark.rule("Kubernetes D4")
def test_exchanges_on_rotation_can_be_turned_off() -> None:
    driver = fresh(refresh_on_rotation=False)
    driver.tick(1_000)
    driver.token()
    assert driver.tick(11) == ()


def test_expired_credentials_in_a_result_count_as_a_failure() -> None:
    driver = StateDriver()
    driver.token()
    assert driver.succeed(lifetime=30) == ()
    assert driver.state.phase is Phase.RETRYING
    assert driver.state.failure is not None
    assert driver.state.failure.outcome is Outcome.INVALID_RESPONSE


@pytest.mark.mutant("credentials that expire earlier replace those that expire later")
def test_credentials_that_expire_earlier_do_not_replace_the_current_ones() -> None:
    driver = refreshing()
    assert driver.succeed(lifetime=600) == ()
    assert driver.state.phase is Phase.STALE
    assert driver.state.held is not None
    assert driver.state.held.remaining(driver.clock.now()) == 1_200
    waiting = refreshing()
    waiting.token()
    assert waiting.succeed(lifetime=600) == (START,)
    gone = refreshing()
    gone.clock.advance(1_171)
    assert gone.succeed(lifetime=30) == (WITHDRAW,)
    assert gone.state.phase is Phase.RETRYING


def test_credentials_without_a_token_are_served_until_they_expire() -> None:
    driver = fresh()
    driver.state = replace(driver.state, exchange_input=None)
    assert driver.tick(3_000) == ()
    assert driver.tick(570) == (WITHDRAW,)
    assert driver.state.phase is Phase.WAITING


def test_the_first_token_after_loaded_credentials_is_no_rotation() -> None:
    driver = fresh()
    driver.state = replace(driver.state, exchange_input=None)
    driver.tick(1_000)
    driver.token()
    assert driver.tick(11) == ()


def test_a_requested_refresh_waits_only_for_an_input_and_a_running_exchange() -> None:
    assert StateDriver().happens(RefreshRequested()) == ()
    driver = fresh()
    assert driver.happens(RefreshRequested()) == (START,)
    assert driver.state.phase is Phase.REFRESHING
    assert driver.happens(RefreshRequested()) == ()
    assert stale(DENIED).happens(RefreshRequested()) == (START,)
    retrying = StateDriver()
    retrying.token()
    retrying.fail(DENIED)
    assert retrying.happens(RefreshRequested()) == (START,)
    assert retrying.state.phase is Phase.ACQUIRING
    assert retrying.happens(RefreshRequested()) == ()
    assert retrying.fail(DENIED) == (START,), "the running exchange may have started too early"
    assert retrying.fail(DENIED) == ()
    without_input = fresh()
    without_input.state = replace(without_input.state, exchange_input=None)
    assert without_input.happens(RefreshRequested()) == without_input.tick(1) == ()
    assert seconds_until_due(without_input.state, without_input.clock.now()) > 0, (
        "no tick is due before there is an input"
    )
    assert (without_input.token(), without_input.tick(0)) == ((), (START,))


def test_credentials_from_before_a_restart_are_served_and_refreshed_when_due() -> None:
    driver = StateDriver()
    old = assume_role_result(lifetime=3_600.0, wall=driver.clock.wall - 2_000, mono=driver.clock.mono - 2_000)
    assert driver.happens(Loaded(old)) == (PUBLISH,)
    assert driver.state.phase is Phase.FRESH
    driver.token()
    assert driver.tick(215) == ()
    assert driver.tick(6) == (START,)


@pytest.mark.mutant("expired credentials are loaded from the state volume")
def test_expired_credentials_from_before_a_restart_are_not_loaded() -> None:
    driver = StateDriver()
    old = assume_role_result(lifetime=3_600.0, wall=driver.clock.wall - 3_571, mono=driver.clock.mono - 3_571)
    assert driver.happens(Loaded(old)) == ()
    assert driver.state.phase is Phase.WAITING


def test_a_reverted_change_does_not_move_the_refresh() -> None:
    driver = fresh()
    for settings in ("changed", ""):
        assert driver.happens(SettingsChanged(settings, keep=True)) == ()
    assert driver.token() == ()
    assert [driver.tick(2_219), driver.tick(2)] == [(), (START,)]


@pytest.mark.parametrize("restart", [False, True])
def test_denials_are_retried_quickly_after_a_change_of_settings_too(*, restart: bool) -> None:
    driver = StateDriver() if restart else fresh()
    driver.happens(SettingsChanged("changed", keep=True))
    if restart:
        driver.happens(Loaded(assume_role_result()))
    assert driver.token() == (START,)
    driver.fail(DENIED)
    assert driver.state.phase is Phase.STALE
    assert [driver.tick(1.9), driver.tick(0.2)] == [(), (START,)]


def test_the_next_tick_is_not_later_than_the_next_due_time() -> None:
    driver = fresh()
    assert seconds_until_due(driver.state, driver.clock.now()) == 15
    driver.tick(2_215)
    assert seconds_until_due(driver.state, driver.clock.now()) == 5
    driver.tick(5)
    assert driver.state.phase is Phase.REFRESHING
    assert seconds_until_due(driver.state, driver.clock.now()) == 15
    driver.tick(1_345)
    assert seconds_until_due(driver.state, driver.clock.now()) == 5


@pytest.mark.parametrize(
    ("phase", "event"),
    [
        pair
        for pair in product(
            Phase,
            (
                InputChanged(token()),
                Succeeded(assume_role_result()),
                Failed(TRANSIENT),
                Tick(),
                RefreshRequested(),
                Loaded(assume_role_result()),
            ),
        )
        if (pair[0], type(pair[1])) not in TABLE
    ],
)
def test_what_the_table_does_not_list_raises_and_names_both(phase: Phase, event: Event) -> None:
    with pytest.raises(LookupError, match=rf"{type(event).__name__}.*{phase}"):
        step(ProfileState(phase=phase), event, FakeClock().now(), lambda: 0.5)
