"""The wait before the next attempt after a failure. Pure: randomness is an argument.

Three schedules, one for each ``Retry``. All but the propagation steps have jitter: pods that fail together
must not retry together ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter).
"""

from collections.abc import Callable

from sidecar.errors import Retry
from sidecar.limits import (
    DOUBLINGS_MAX,
    PERMANENT_CAP_SECONDS,
    PERMANENT_FIRST_SECONDS,
    PROPAGATION_STEPS_SECONDS,
    TRANSIENT_CAP_SECONDS,
    TRANSIENT_FIRST_SECONDS,
    TRANSIENT_MIN_SECONDS,
)

__all__ = ("Draw", "delay")

Draw = Callable[[], float]
"""Returns a random number in [0, 1)."""


def delay(retry: Retry, failures: int, *, ever_held: bool, draw: Draw) -> float:
    """Return the seconds until the next attempt.

    Args:
        retry: the schedule.
        failures: number of attempts in a row that failed, with the last one; at least 1.
        ever_held: whether this profile has had credentials of its settings.
        draw: the random source.
    """
    if retry is Retry.TRANSIENT:
        ceiling = min(TRANSIENT_CAP_SECONDS, TRANSIENT_FIRST_SECONDS * 2.0 ** min(failures - 1, DOUBLINGS_MAX))
        return max(TRANSIENT_MIN_SECONDS, ceiling * draw())
    if retry is Retry.PROPAGATION and not ever_held and failures <= len(PROPAGATION_STEPS_SECONDS):
        return PROPAGATION_STEPS_SECONDS[failures - 1]
    ceiling = min(PERMANENT_CAP_SECONDS, PERMANENT_FIRST_SECONDS * 2.0 ** min(failures - 1, DOUBLINGS_MAX))
    return PERMANENT_FIRST_SECONDS + (ceiling - PERMANENT_FIRST_SECONDS) * draw()
