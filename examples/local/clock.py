"""Wall time as an argument, and a clock that a test can move."""

import threading
import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns seconds since the Unix epoch."""


def system_clock() -> float:
    """Return the real wall time in seconds since the Unix epoch."""
    return time.time()  # noqa: TID251 - here the local world reads real time; the other parts take a Clock


class MovableClock:
    """Real time plus an offset that tests set. Safe to call and to move from any thread.

    Args:
        base: the clock that the offset is added to, in seconds since the Unix epoch.
    """

    def __init__(self, base: Clock = system_clock) -> None:
        self._base = base
        self._offset = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the moved wall time in seconds since the Unix epoch."""
        with self._lock:
            return self._base() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the clock by `seconds`; negative goes back, as a stepped system clock does."""
        with self._lock:
            self._offset += seconds

    def reset(self) -> None:
        """Return to the base clock."""
        with self._lock:
            self._offset = 0.0
