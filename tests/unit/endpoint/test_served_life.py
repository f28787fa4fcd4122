from sidecar.endpoint.served_life import LifetimeHistogram
from sidecar.limits import SERVED_LIFE_BUCKETS_SECONDS


def test_a_lifetime_is_counted_in_all_buckets_that_it_does_not_exceed() -> None:
    lives = LifetimeHistogram()
    for seconds in (30.0, 900.0, 900.1, 50_000.0):
        lives.count(seconds)
    found = dict(lives.cumulated())
    assert found["60.0"] == 1
    assert found["900.0"] == 2
    assert found["1200.0"] == 3
    assert found["43200.0"] == 3
    assert found["+Inf"] == 4
    assert lives.total_seconds == 51_830.1


def test_buckets_rise() -> None:
    assert list(SERVED_LIFE_BUCKETS_SECONDS) == sorted(set(SERVED_LIFE_BUCKETS_SECONDS))
