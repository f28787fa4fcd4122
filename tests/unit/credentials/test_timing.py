import pytest

from sidecar.clock import Instant
from sidecar.credentials.timing import hold, quiet_seconds, refresh_at_remaining, seconds_left
from tests.helpers.values import assume_role_result


@pytest.mark.rule("SDK 19", "Kubernetes D4")
@pytest.mark.parametrize(
    ("lifetime", "due"), [(43_200, 14_400), (3_600, 1_200), (1_800, 1_200), (1_799, 899.5), (900, 450), (120, 60)]
)
def test_a_refresh_is_due_at_20_minutes_or_a_third_or_half_of_a_short_lifetime(lifetime: float, due: float) -> None:
    assert refresh_at_remaining(lifetime, lambda: 0.0) == due


@pytest.mark.rule("SDK 19")
@pytest.mark.parametrize("lifetime", [43_200, 3_600, 1_800, 900, 120])
def test_jitter_is_early_only_and_leaves_a_part_of_the_lifetime(lifetime: float) -> None:
    earliest = refresh_at_remaining(lifetime, lambda: 0.999)
    assert refresh_at_remaining(lifetime, lambda: 0.0) < earliest < lifetime


@pytest.mark.mutant(
    "only the monotonic clock decides", "only the wall clock decides", "credentials are served until they expire"
)
def test_serving_stops_30_seconds_before_expiration_by_either_clock() -> None:
    held = hold(assume_role_result(lifetime=3_600.0, wall=1_000.0, mono=50.0))
    assert held.servable(Instant(wall=4_569.9, mono=3_619.9))
    assert not held.servable(Instant(wall=4_570.0, mono=50.0))
    assert not held.servable(Instant(wall=1_000.0, mono=3_620.0))


@pytest.mark.rule("SDK 23")
def test_the_remaining_lifetime_is_the_shorter_one_of_the_two_clocks() -> None:
    held = hold(assume_role_result(lifetime=3_600.0, wall=1_000.0, mono=50.0))
    assert held.remaining(Instant(wall=1_100.0, mono=60.0)) == 3_500
    assert held.remaining(Instant(wall=900.0, mono=60.0)) == 3_590


@pytest.mark.rule("SDK 23")
def test_the_time_left_to_serve_ends_when_serving_stops_by_the_earlier_of_the_two_clocks() -> None:
    held = hold(assume_role_result(lifetime=3_600.0, wall=1_000.0, mono=50.0))
    assert seconds_left(held, Instant(wall=1_100.0, mono=60.0)) == 3_470
    assert seconds_left(held, Instant(wall=900.0, mono=3_600.0)) == 20
    assert seconds_left(held, Instant(wall=9_000.0, mono=60.0)) == 0
    assert seconds_left(None, Instant(wall=0.0, mono=0.0)) == 0


@pytest.mark.parametrize(("lifetime", "quiet"), [(43_200, 60), (3_600, 60), (900, 15)])
def test_a_rotation_is_not_exchanged_for_a_minute_after_a_success_less_for_short_lifetimes(
    lifetime: float, quiet: float
) -> None:
    assert quiet_seconds(lifetime) == quiet
