"""How long to wait after a failure. Pure: randomness is passed in.

Three schedules, one for each ``Retry``. All but the propagation steps carry jitter: pods that fail together
must not come back together ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter).
"""

from collections.abc import Callable

from sidecar.errors import Retry
from sidecar.limits import (
    PERMANENT_CAP_SECONDS,
    PERMANENT_FIRST_SECONDS,
    PROPAGATION_STEPS_SECONDS,
    TRANSIENT_CAP_SECONDS,
    TRANSIENT_FIRST_SECONDS,
)

__all__ = ("Draw", "delay")

Draw = Callable[[], float]
"""Gives a number in [0, 1)."""

# 2**6 seconds is past every cap; larger exponents would only overflow.
_MAX_DOUBLINGS = 6
# Full jitter may draw nearly nothing; this much at least keeps a fast failure from spinning.
_LEAST_SECONDS = 0.2


def delay(retry: Retry, failures: int, *, ever_held: bool, draw: Draw) -> float:
    """Return the seconds until the next attempt.

    Args:
        retry: the schedule.
        failures: how many attempts in a row have failed, this one included; at least 1.
        ever_held: whether this profile has had a set since the start.
        draw: the random source.
    """
    if retry is Retry.TRANSIENT:
        ceiling = min(TRANSIENT_CAP_SECONDS, TRANSIENT_FIRST_SECONDS * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))
        return max(_LEAST_SECONDS, ceiling * draw())
    if retry is Retry.PROPAGATION and not ever_held and failures <= len(PROPAGATION_STEPS_SECONDS):
        return PROPAGATION_STEPS_SECONDS[failures - 1]
    ceiling = min(PERMANENT_CAP_SECONDS, PERMANENT_FIRST_SECONDS * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))
    return PERMANENT_FIRST_SECONDS + (ceiling - PERMANENT_FIRST_SECONDS) * draw()
