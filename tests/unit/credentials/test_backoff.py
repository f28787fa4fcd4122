import pytest

from sidecar.credentials.backoff import delay
from sidecar.errors import Retry

LONG = 3_600.0  # at this time left no wait is shortened


@pytest.mark.rule("SDK 22")
@pytest.mark.parametrize("retry", [Retry.TRANSIENT, Retry.THROTTLED])
@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (1_000_000, 60)]
)
def test_transient_failures_double_up_to_a_minute_with_full_jitter(retry: Retry, failures: int, ceiling: float) -> None:
    assert delay(retry, failures, ever_held=True, seconds_left=LONG, draw=lambda: 0.5) == ceiling / 2
    assert delay(retry, failures, ever_held=False, seconds_left=LONG, draw=lambda: 0.999) == pytest.approx(
        ceiling * 0.999
    )


@pytest.mark.parametrize("seconds_left", [0.0, 0.1, LONG])
def test_full_jitter_never_makes_a_busy_loop(seconds_left: float) -> None:
    assert delay(Retry.TRANSIENT, 1, ever_held=True, seconds_left=seconds_left, draw=lambda: 0.0) == 0.2


@pytest.mark.mutant("a daemon that holds nothing waits as long as one that does")
@pytest.mark.parametrize(("failures", "ceiling"), [(5, 8), (99, 8)])
def test_transient_failures_wait_at_most_8_seconds_while_nothing_is_held(failures: int, ceiling: float) -> None:
    assert delay(Retry.TRANSIENT, failures, ever_held=True, seconds_left=0, draw=lambda: 1.0) == ceiling


@pytest.mark.mutant("throttled pods that hold nothing retry as fast as after an outage")
def test_throttled_pods_that_hold_nothing_back_off_to_a_minute() -> None:
    assert delay(Retry.THROTTLED, 9, ever_held=False, seconds_left=0, draw=lambda: 1.0) == 60


@pytest.mark.parametrize(
    ("retry", "seconds_left", "least", "most"),
    [
        (Retry.TRANSIENT, 100, 0.2, 25),
        (Retry.TRANSIENT, 55, 0.2, 13.75),
        (Retry.TRANSIENT, 1, 0.2, 1),
        (Retry.THROTTLED, 55, 0.2, 13.75),
        (Retry.PERMANENT, 1_000, 60, 250),
        (Retry.PERMANENT, 100, 12.5, 25),
        (Retry.PERMANENT, 55, 7.5, 15),
        (Retry.PROPAGATION, 100, 12.5, 25),
    ],
)
def test_a_wait_is_at_most_a_quarter_of_the_time_left_to_serve(
    retry: Retry, seconds_left: float, least: float, most: float
) -> None:
    assert delay(retry, 99, ever_held=True, seconds_left=seconds_left, draw=lambda: 0.0) == least
    assert delay(retry, 99, ever_held=True, seconds_left=seconds_left, draw=lambda: 1.0) == most


def test_a_denial_before_the_first_credentials_is_retried_while_iam_propagates() -> None:
    steps = [
        delay(Retry.PROPAGATION, number, ever_held=False, seconds_left=0, draw=lambda: 0.0) for number in range(1, 8)
    ]
    assert steps == [2, 4, 8, 15, 30, 60, 60]


def test_denials_of_changed_settings_are_retried_before_the_previous_credentials_are_withdrawn() -> None:
    steps = [
        delay(Retry.PROPAGATION, number, ever_held=False, seconds_left=40, draw=lambda: 0.0) for number in range(1, 6)
    ]
    assert steps == [2, 4, 8, 10, 10]


def test_a_denial_after_the_first_credentials_is_retried_slowly() -> None:
    assert delay(Retry.PROPAGATION, 1, ever_held=True, seconds_left=LONG, draw=lambda: 0.0) == 60


@pytest.mark.rule("SDK 22")
@pytest.mark.parametrize("seconds_left", [0.0, LONG])
@pytest.mark.parametrize(("failures", "ceiling"), [(1, 60), (2, 120), (3, 240), (4, 300), (99, 300)])
def test_permanent_failures_wait_one_to_five_minutes(failures: int, ceiling: float, seconds_left: float) -> None:
    assert delay(Retry.PERMANENT, failures, ever_held=False, seconds_left=seconds_left, draw=lambda: 0.0) == 60
    assert delay(Retry.PERMANENT, failures, ever_held=False, seconds_left=seconds_left, draw=lambda: 1.0) == ceiling
