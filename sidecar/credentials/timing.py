"""When credentials are refreshed, and from when they must not be served. Pure."""

from sidecar.clock import Instant
from sidecar.credentials.backoff import Draw
from sidecar.limits import (
    REFRESH_FLOOR_SECONDS,
    REFRESH_JITTER_SHARE,
    ROTATION_QUIET_SECONDS,
    ROTATION_QUIET_SHARE,
    STOP_SERVING_SECONDS,
)
from sidecar.model import AssumeRoleResult, Held

__all__ = ("hold", "quiet_seconds", "refresh_at_remaining", "seconds_left")


def hold(result: AssumeRoleResult) -> Held:
    """Return the result with the times from which its credentials must not be served."""
    return Held(
        result=result,
        stop_at=result.credentials.expires_at - STOP_SERVING_SECONDS,
        stop_mono=result.requested_mono + result.lifetime_seconds - STOP_SERVING_SECONDS,
    )


def seconds_left(held: Held | None, now: Instant) -> float:
    """Return for how many seconds credentials can still be served, by the stricter of the two clocks; 0 for None."""
    return 0.0 if held is None else max(0.0, held.remaining(now) - STOP_SERVING_SECONDS)


def refresh_at_remaining(lifetime_seconds: float, draw: Draw) -> float:
    """Return at how many remaining seconds credentials of this lifetime are refreshed.

    Clients refresh at 15 minutes remaining. So credentials with a long lifetime are refreshed at 20 minutes or at a
    third of it, whichever is earlier, and those with a lifetime under half an hour at half of it. Jitter makes a
    refresh earlier, never later.
    """
    long = lifetime_seconds >= 1.5 * REFRESH_FLOOR_SECONDS
    due = max(REFRESH_FLOOR_SECONDS, lifetime_seconds / 3) if long else lifetime_seconds / 2
    return due + REFRESH_JITTER_SHARE * lifetime_seconds * draw()


def quiet_seconds(lifetime_seconds: float) -> float:
    """Return for how many seconds after a success a rotation of the token is not exchanged."""
    return min(ROTATION_QUIET_SECONDS, ROTATION_QUIET_SHARE * lifetime_seconds)
