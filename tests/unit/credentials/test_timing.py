import pytest

from sidecar.clock import Instant
from sidecar.credentials.timing import hold, quiet_seconds, renew_at_remaining
from tests.helpers.values import grant


@pytest.mark.parametrize(
    ("life", "due"), [(43_200, 14_400), (3_600, 1_200), (1_800, 1_200), (1_799, 899.5), (900, 450), (120, 60)]
)
def test_a_set_is_renewed_at_twenty_minutes_or_a_third_or_half_of_a_short_life(life: float, due: float) -> None:
    assert renew_at_remaining(life, lambda: 0.0) == due


@pytest.mark.parametrize("life", [43_200, 3_600, 1_800, 900, 120])
def test_jitter_is_early_only_and_leaves_some_of_the_life(life: float) -> None:
    earliest = renew_at_remaining(life, lambda: 0.999)
    assert renew_at_remaining(life, lambda: 0.0) < earliest < life


def test_serving_stops_half_a_minute_before_expiry_by_either_clock() -> None:
    held = hold(grant(life=3_600.0, wall=1_000.0, mono=50.0))
    assert held.servable(Instant(wall=4_569.9, mono=3_619.9))
    assert not held.servable(Instant(wall=4_570.0, mono=50.0))
    assert not held.servable(Instant(wall=1_000.0, mono=3_620.0))


def test_remaining_life_is_the_shorter_by_the_two_clocks() -> None:
    held = hold(grant(life=3_600.0, wall=1_000.0, mono=50.0))
    assert held.remaining(Instant(wall=1_100.0, mono=60.0)) == 3_500
    assert held.remaining(Instant(wall=900.0, mono=60.0)) == 3_590


@pytest.mark.parametrize(("life", "quiet"), [(43_200, 60), (3_600, 60), (900, 15)])
def test_a_rotation_is_quiet_for_a_minute_after_a_success_less_for_short_lives(life: float, quiet: float) -> None:
    assert quiet_seconds(life) == quiet
