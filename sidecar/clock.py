"""Reads the time for all modules but ``shim``; `make lint` finds others that read it.

AWS and the clients compare an expiration with wall time, which can be stepped in both directions. Monotonic time cannot
be stepped, but is valid in this process alone. So each decision about a remaining lifetime uses both, and names say
which one they hold: ``..._at`` is wall time, ``deadline`` and ``..._mono`` are monotonic.
"""

import time
from typing import NamedTuple, Protocol

__all__ = ("Clock", "Instant", "SystemClock")


class Instant(NamedTuple):
    """One time on both clocks; a tuple, since one is made for every request.

    Attributes:
        wall: seconds since 1970-01-01T00:00:00Z.
        mono: seconds of the monotonic clock.
    """

    wall: float
    mono: float


class Clock(Protocol):
    """Gives the current time."""

    def now(self) -> Instant:
        """Return the current time; never raises."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> Instant:
        """Return the current time; never raises."""
        return Instant(time.time(), time.monotonic())  # noqa: TID251 - the one place that reads time
