"""The only reader of time.

Wall time is what AWS and the clients compare expiry with; it can be stepped in either direction. Monotonic
time cannot be stepped, but means nothing to anyone else. So every decision about remaining life takes both,
and names say which they hold: ``..._at`` is wall, ``deadline`` and ``..._mono`` are monotonic.
"""

import time
from typing import NamedTuple, Protocol

__all__ = ("Clock", "Instant", "SystemClock")


class Instant(NamedTuple):
    """One moment on both clocks; a tuple, since one is made for every request.

    Attributes:
        wall: seconds since 1970-01-01T00:00:00Z.
        mono: seconds of the monotonic clock.
    """

    wall: float
    mono: float


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> Instant:
        """Return the present moment; never raises."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> Instant:
        """Return the present moment; never raises."""
        return Instant(time.time(), time.monotonic())  # noqa: TID251 - the one place that reads time
