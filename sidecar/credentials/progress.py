"""Why a profile serves no credentials at a time, in words for people. Pure."""

from sidecar.clock import Instant
from sidecar.credentials.states import Phase, ProfileState

__all__ = ("why_none",)


def why_none(state: ProfileState, now: Instant) -> str:
    """Return what happened or happens with a profile that serves no credentials at ``now``, one line without secrets.

    Args:
        state: of the profile; the time may have passed an event since its last step.
        now: the time of the answer.
    """
    if state.failure is not None:
        return f"last exchange: {state.failure.outcome}; {state.failure.hint}"
    if state.phase in {Phase.ACQUIRING, Phase.REFRESHING}:
        return "an exchange with AWS is running; try again"
    if state.phase is Phase.WAITING:
        return "no exchange has started: there is no usable token, or the source_profile has no credentials"
    if state.held is not None and now.mono < state.held.stop_mono and now.wall >= state.held.stop_at:
        return (
            "they have expired by the clock of this node, but not by the time that has passed; check the clock of the"
            " node (NTP); the next exchange starts within about a minute"
        )
    return "the next exchange starts within seconds; try again"
