"""Limits the log lines of an event that anyone in the pod can repeat. Pure: time is an argument."""

from collections.abc import Hashable

__all__ = ("Repeats",)


class Repeats:
    """Counts the events of each cause; the first one is logged, and then at most one in each interval.

    Args:
        seconds: the interval, from a logged event to the next one.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[Hashable, int] = {}
        self._logged: dict[Hashable, float] = {}

    def count(self, cause: Hashable, now_mono: float) -> int:
        """Count an event. Return how many came since the last logged one, with this one; 0 if it is not to be logged.

        Args:
            cause: one of a limited number of causes, not a value that a client chooses: each is kept in memory.
            now_mono: the time of the event by the monotonic clock.
        """
        count = self._waiting.get(cause, 0) + 1
        logged = self._logged.get(cause)
        if logged is not None and now_mono - logged < self._seconds:
            self._waiting[cause] = count
            return 0
        self._logged[cause], self._waiting[cause] = now_mono, 0
        return count
