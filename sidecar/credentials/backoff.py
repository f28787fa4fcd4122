"""The wait before the next attempt after a failure. Pure: randomness is an argument.

One schedule for each ``Retry``, shortened by what is at stake: while credentials are held, a wait is at most a quarter
of the time for which they can still be served, so that several attempts come before they are withdrawn. All but the
propagation steps have jitter: pods that fail together must not retry together ("Exponential Backoff And Jitter", AWS
Architecture Blog, 2015: full jitter).
"""

from collections.abc import Callable

from sidecar.errors import Retry
from sidecar.limits import (
    DOUBLINGS_MAX,
    NOTHING_HELD_CAP_SECONDS,
    PERMANENT_CAP_SECONDS,
    PERMANENT_FIRST_SECONDS,
    PERMANENT_MIN_SECONDS,
    PROPAGATION_STEPS_SECONDS,
    TRANSIENT_CAP_SECONDS,
    TRANSIENT_FIRST_SECONDS,
    TRANSIENT_MIN_SECONDS,
    WAIT_SHARE_OF_TIME_LEFT,
)

__all__ = ("Draw", "delay")

Draw = Callable[[], float]
"""Returns a random number in [0, 1)."""


def delay(retry: Retry, failures: int, *, ever_held: bool, seconds_left: float, draw: Draw) -> float:
    """Return the seconds until the next attempt.

    Args:
        retry: the schedule.
        failures: number of attempts in a row that failed, with the last one; at least 1.
        ever_held: whether this profile has had credentials of its settings.
        seconds_left: for how long the current credentials can still be served; 0 if there are none.
        draw: the random source.
    """
    share = WAIT_SHARE_OF_TIME_LEFT * seconds_left if seconds_left > 0 else float("inf")
    doubled = 2.0 ** min(failures - 1, DOUBLINGS_MAX)
    if retry in {Retry.TRANSIENT, Retry.THROTTLED}:
        calm = seconds_left > 0 or retry is Retry.THROTTLED
        cap = TRANSIENT_CAP_SECONDS if calm else NOTHING_HELD_CAP_SECONDS
        ceiling = min(cap, TRANSIENT_FIRST_SECONDS * doubled, max(TRANSIENT_FIRST_SECONDS, share))
        return max(TRANSIENT_MIN_SECONDS, ceiling * draw())
    if retry is Retry.PROPAGATION and not ever_held and failures <= len(PROPAGATION_STEPS_SECONDS):
        return min(PROPAGATION_STEPS_SECONDS[failures - 1], max(PROPAGATION_STEPS_SECONDS[0], share))
    drawn = draw()
    ceiling = min(PERMANENT_CAP_SECONDS, PERMANENT_FIRST_SECONDS * doubled)
    wait = PERMANENT_FIRST_SECONDS + (ceiling - PERMANENT_FIRST_SECONDS) * drawn
    return min(wait, max(PERMANENT_MIN_SECONDS, share) * (1 + drawn) / 2)
