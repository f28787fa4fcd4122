"""When a set is renewed, and from when it must not be served. Pure."""

from sidecar.credentials.backoff import Draw
from sidecar.limits import (
    RENEW_FLOOR_SECONDS,
    RENEW_JITTER_SHARE,
    ROTATION_QUIET_SECONDS,
    ROTATION_QUIET_SHARE,
    STOP_SERVING_SECONDS,
)
from sidecar.model import Grant, Held

__all__ = ("hold", "quiet_seconds", "renew_at_remaining")


def hold(grant: Grant) -> Held:
    """Return the grant with the times from which it must not be served."""
    return Held(
        grant=grant,
        stop_at=grant.credentials.expires_at - STOP_SERVING_SECONDS,
        stop_mono=grant.asked_mono + grant.life_seconds - STOP_SERVING_SECONDS,
    )


def renew_at_remaining(life_seconds: float, draw: Draw) -> float:
    """Return with how many seconds remaining a set of this life is to be renewed.

    Clients ask again at 15 minutes remaining, so a long life is renewed at 20 minutes or a third of it,
    whichever is earlier. A life under half an hour leaves no such room: half of it. Jitter is early only.
    """
    long = life_seconds >= 1.5 * RENEW_FLOOR_SECONDS
    due = max(RENEW_FLOOR_SECONDS, life_seconds / 3) if long else life_seconds / 2
    return due + RENEW_JITTER_SHARE * life_seconds * draw()


def quiet_seconds(life_seconds: float) -> float:
    """Return for how long after a success a rotation of the token proves nothing new."""
    return min(ROTATION_QUIET_SECONDS, ROTATION_QUIET_SHARE * life_seconds)
