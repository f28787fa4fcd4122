"""Steps of the node's wall clock: credentials that are expired by it are withdrawn, and served again after a step back.

The launcher adds the step where the daemon reads the time; AWS and the test have the right time.
"""

import random

import pytest

from examples.local.faults import FaultKind
from tests.faults.case import Case
from tests.faults.watch import CLOCK, DATE_SECONDS, STOP_SECONDS

TWO_HOURS = 7_200.0
LOOK_SECONDS = 15.0
"""The maximum time until credentials that were withdrawn because of a step are served again."""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def stepped(case: Case) -> Case:
    """A daemon that has credentials, and whose clock ``step_clock`` steps."""
    case.switch("clock")
    case.start_with_credentials()
    return case


def _down(case: Case) -> None:
    case.world.aws.faults.set(FaultKind.DOWN)


def test_a_step_forward_withdraws_the_credentials_at_once_and_a_step_back_restores_them(stepped: Case) -> None:
    (key,) = stepped.watch.keys()
    _down(stepped)
    stepped.step_clock(TWO_HOURS)
    stepped.watch.until(lambda sample: sample.status == 503, "the withdrawal", 1.0)
    stepped.watch.drop_promise()
    stepped.watch.more(20)
    stepped.step_clock(0.0)
    back = stepped.watch.until(lambda sample: sample.status == 200, "the credentials", LOOK_SECONDS + 1)
    assert back.key == key


def test_a_step_back_after_the_withdrawal_was_logged_restores_the_credentials(stepped: Case) -> None:
    (key,) = stepped.watch.keys()
    _down(stepped)
    stepped.step_clock(TWO_HOURS)
    stepped.wait_for_line("credentials_withdrawn")
    stepped.watch.drop_promise()
    stepped.step_clock(0.0)
    back = stepped.watch.until(lambda sample: sample.status == 200, "the credentials", LOOK_SECONDS + 1)
    assert back.key == key


def test_exchanges_with_a_wrong_clock_fail_and_are_few(stepped: Case) -> None:
    stepped.step_clock(TWO_HOURS)
    stepped.watch.until(lambda sample: sample.status == 503, "the withdrawal", 1.0)
    stepped.watch.drop_promise()
    stepped.refresh()
    line = stepped.wait_for_line("exchange_failed")
    assert (line["outcome"], line["aws_code"]) == ("invalid_response", "AlreadyExpired")
    assert "clock" in line["fix"]
    before = len(stepped.world.aws.calls())
    stepped.watch.more(40)
    assert len(stepped.world.aws.calls()) - before <= 6
    stepped.step_clock(0.0)
    stepped.refresh()
    stepped.watch.until(lambda sample: sample.status == 200, "credentials", LOOK_SECONDS + 1)


def test_a_step_back_changes_nothing(stepped: Case) -> None:
    calls = len(stepped.world.aws.calls())
    keys = stepped.watch.keys()
    stepped.step_clock(-TWO_HOURS)
    stepped.watch.more(40)
    stepped.step_clock(0.0)
    stepped.watch.more(10)
    assert stepped.watch.keys() == keys
    assert {sample.status for sample in stepped.watch.samples[-40:]} == {200}
    assert len(stepped.world.aws.calls()) == calls


def test_a_step_back_does_not_extend_the_lifetime(case: Case) -> None:
    case.switch("clock")
    case.world.aws.max_lifetime_seconds = 36
    case.start_with_credentials()
    promise = case.watch.promise
    _down(case)
    case.step_clock(-TWO_HOURS)
    assert promise is not None
    end = case.watch.until(lambda sample: sample.status == 503, "the withdrawal", 20.0)
    assert end.asked_at <= promise.expires_at - STOP_SECONDS + DATE_SECONDS + 0.2


def test_a_step_forward_by_less_than_the_lifetime_changes_nothing(stepped: Case) -> None:
    keys = stepped.watch.keys()
    _down(stepped)
    stepped.step_clock(3_000.0)
    stepped.watch.more(40)
    assert stepped.watch.keys() == keys
    assert {sample.status for sample in stepped.watch.samples[-40:]} == {200}


def test_many_clock_steps_lose_no_credentials(stepped: Case) -> None:
    draw = random.Random(7)
    (key,) = stepped.watch.keys()
    _down(stepped)
    for _ in range(25):
        stepped.step_clock(draw.uniform(-3 * TWO_HOURS, 3 * TWO_HOURS))
        stepped.watch.more(1)
        stepped.watch.drop_promise()
    stepped.step_clock(0.0)
    back = stepped.watch.until(lambda sample: sample.status == 200, "the credentials", LOOK_SECONDS + 1)
    assert back.key == key
    stepped.watch.more(10)
    assert {sample.status for sample in stepped.watch.samples[-10:]} == {200}


def test_a_restart_with_a_clock_ahead_serves_no_credentials_that_are_expired_by_it(stepped: Case) -> None:
    stepped.settle()
    stepped.kill()
    _down(stepped)
    stepped.step_clock(TWO_HOURS)
    stepped.start()
    stepped.wait_for_line("exchange_failed")
    stepped.watch.more(10)
    assert not stepped.watch.keys()
    stepped.world.aws.faults.clear()
    stepped.step_clock(0.0)
    stepped.watch.until(lambda sample: sample.status == 200, "credentials")


def test_a_restart_with_a_clock_behind_serves_the_same_credentials(stepped: Case) -> None:
    keys = stepped.watch.keys()
    began = CLOCK.now().mono
    stepped.settle()
    stepped.kill()
    _down(stepped)
    stepped.step_clock(-TWO_HOURS)
    stepped.start()
    stepped.watch.until(lambda sample: sample.status == 200, "the credentials")
    assert stepped.watch.keys() == keys
    assert CLOCK.now().mono - began < 20.0
