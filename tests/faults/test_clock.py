"""The wall clock of the node is stepped: what it calls expired is not served, and a step forth and back loses nothing.

The step is made where the daemon reads the time, by the launcher; AWS and the test keep the right time.
"""

import random

import pytest

from examples.local.faults import FaultKind
from tests.faults.case import Case
from tests.faults.watch import CLOCK, DATE_SECONDS, STOP_SECONDS

TWO_HOURS = 7_200.0
LOOK_SECONDS = 15.0
"""So long may it take until a set that was withdrawn for a step comes back."""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def stepped(case: Case) -> Case:
    """A daemon that holds a set, and whose clock obeys ``step_clock``."""
    case.switch("clock")
    case.start_with_set()
    return case


def _down(case: Case) -> None:
    case.world.aws.faults.set(FaultKind.DOWN)


def test_a_step_forth_ends_serving_at_once_and_a_step_back_brings_the_same_set(stepped: Case) -> None:
    (key,) = stepped.watch.keys()
    _down(stepped)
    stepped.step_clock(TWO_HOURS)
    stepped.watch.until(lambda sample: sample.status == 503, "the end of serving", 1.0)
    stepped.watch.forgive()
    stepped.watch.more(20)
    stepped.step_clock(0.0)
    back = stepped.watch.until(lambda sample: sample.status == 200, "the set", LOOK_SECONDS + 1)
    assert back.key == key


def test_a_step_forth_and_back_after_it_was_noticed_loses_nothing_either(stepped: Case) -> None:
    (key,) = stepped.watch.keys()
    _down(stepped)
    stepped.step_clock(TWO_HOURS)
    stepped.told("credentials_withdrawn")
    stepped.watch.forgive()
    stepped.step_clock(0.0)
    back = stepped.watch.until(lambda sample: sample.status == 200, "the set", LOOK_SECONDS + 1)
    assert back.key == key


def test_an_exchange_while_the_clock_is_wrong_gives_nothing_and_no_storm(stepped: Case) -> None:
    stepped.step_clock(TWO_HOURS)
    stepped.watch.until(lambda sample: sample.status == 503, "the end of serving", 1.0)
    stepped.watch.forgive()
    stepped.renew()
    line = stepped.told("exchange_failed")
    assert (line["class"], line["aws_code"]) == ("bad_answer", "AlreadyExpired")
    assert "clock" in line["next_step"]
    before = len(stepped.world.aws.calls())
    stepped.watch.more(40)
    assert len(stepped.world.aws.calls()) - before <= 6
    stepped.step_clock(0.0)
    stepped.renew()
    stepped.watch.until(lambda sample: sample.status == 200, "a set", LOOK_SECONDS + 1)


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


def test_a_step_back_does_not_extend_a_life(case: Case) -> None:
    case.switch("clock")
    case.world.aws.grant_seconds = 36
    case.start_with_set()
    promise = case.watch.promise
    _down(case)
    case.step_clock(-TWO_HOURS)
    assert promise is not None
    end = case.watch.until(lambda sample: sample.status == 503, "the end of the set", 20.0)
    assert end.asked_at <= promise.expires_at - STOP_SECONDS + DATE_SECONDS + 0.2


def test_a_step_forth_by_less_than_the_life_leaves_the_set(stepped: Case) -> None:
    keys = stepped.watch.keys()
    _down(stepped)
    stepped.step_clock(3_000.0)
    stepped.watch.more(40)
    assert stepped.watch.keys() == keys
    assert {sample.status for sample in stepped.watch.samples[-40:]} == {200}


def test_a_clock_that_flaps_loses_no_set(stepped: Case) -> None:
    draw = random.Random(7)
    (key,) = stepped.watch.keys()
    _down(stepped)
    for _ in range(25):
        stepped.step_clock(draw.uniform(-3 * TWO_HOURS, 3 * TWO_HOURS))
        stepped.watch.more(1)
        stepped.watch.forgive()
    stepped.step_clock(0.0)
    back = stepped.watch.until(lambda sample: sample.status == 200, "the set", LOOK_SECONDS + 1)
    assert back.key == key
    stepped.watch.more(10)
    assert {sample.status for sample in stepped.watch.samples[-10:]} == {200}


def test_a_restart_while_the_clock_is_ahead_serves_nothing_that_it_calls_expired(stepped: Case) -> None:
    stepped.settle()
    stepped.kill()
    _down(stepped)
    stepped.step_clock(TWO_HOURS)
    stepped.start()
    stepped.told("exchange_failed")
    stepped.watch.more(10)
    assert not stepped.watch.keys()
    stepped.world.aws.faults.clear()
    stepped.step_clock(0.0)
    stepped.watch.until(lambda sample: sample.status == 200, "a set")


def test_a_restart_while_the_clock_is_behind_serves_the_same_set(stepped: Case) -> None:
    keys = stepped.watch.keys()
    began = CLOCK.now().mono
    stepped.settle()
    stepped.kill()
    _down(stepped)
    stepped.step_clock(-TWO_HOURS)
    stepped.start()
    stepped.watch.until(lambda sample: sample.status == 200, "the set")
    assert stepped.watch.keys() == keys
    assert CLOCK.now().mono - began < 20.0
