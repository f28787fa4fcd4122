import pytest

from sidecar.credentials.backoff import delay
from sidecar.errors import Retry


@pytest.mark.rule("SDK 22")
@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (1_000_000, 60)]
)
def test_transient_failures_double_up_to_a_minute_with_full_jitter(failures: int, ceiling: float) -> None:
    assert delay(Retry.TRANSIENT, failures, ever_held=True, draw=lambda: 0.5) == ceiling / 2
    assert delay(Retry.TRANSIENT, failures, ever_held=False, draw=lambda: 0.999) == pytest.approx(ceiling * 0.999)


def test_full_jitter_never_makes_a_busy_loop() -> None:
    assert delay(Retry.TRANSIENT, 1, ever_held=True, draw=lambda: 0.0) == 0.2


def test_a_denial_before_the_first_credentials_is_retried_while_iam_propagates() -> None:
    steps = [delay(Retry.PROPAGATION, number, ever_held=False, draw=lambda: 0.0) for number in range(1, 8)]
    assert steps == [2, 4, 8, 15, 30, 60, 60]


def test_a_denial_after_the_first_credentials_is_retried_slowly() -> None:
    assert delay(Retry.PROPAGATION, 1, ever_held=True, draw=lambda: 0.0) == 60


@pytest.mark.rule("SDK 22")
@pytest.mark.parametrize(("failures", "ceiling"), [(1, 60), (2, 120), (3, 240), (4, 300), (99, 300)])
def test_permanent_failures_wait_one_to_five_minutes(failures: int, ceiling: float) -> None:
    assert delay(Retry.PERMANENT, failures, ever_held=False, draw=lambda: 0.0) == 60
    assert delay(Retry.PERMANENT, failures, ever_held=False, draw=lambda: 1.0) == ceiling
