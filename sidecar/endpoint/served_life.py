"""A histogram of the remaining lifetime of served credentials, in half a microsecond for each request. Pure."""

from bisect import bisect_left

from sidecar.limits import SERVED_LIFE_BUCKETS_SECONDS

__all__ = ("LifetimeHistogram",)


class LifetimeHistogram:
    """A histogram of integers; it must be used in one thread."""

    __slots__ = ("_counts", "total_seconds")

    def __init__(self) -> None:
        self._counts = [0] * (len(SERVED_LIFE_BUCKETS_SECONDS) + 1)
        self.total_seconds = 0.0

    def count(self, seconds: float) -> None:
        """Count credentials that were served with this remaining lifetime."""
        self._counts[bisect_left(SERVED_LIFE_BUCKETS_SECONDS, seconds)] += 1
        self.total_seconds += seconds

    def cumulated(self) -> list[tuple[str, float]]:
        """Return the upper bound of each bucket and the count at or under it, in the form of Prometheus."""
        bounds = [*map(str, SERVED_LIFE_BUCKETS_SECONDS), "+Inf"]
        return [(bound, float(sum(self._counts[: number + 1]))) for number, bound in enumerate(bounds)]
