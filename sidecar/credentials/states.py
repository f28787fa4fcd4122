"""The vocabulary of the life of credentials: phases, events, actions and the state. Pure; no logic."""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from sidecar.errors import Failure
from sidecar.model import Grant, Held, Ticket

__all__ = (
    "NEVER", "Action", "Event", "Failed", "Granted", "Loaded", "Phase", "Renew", "State", "Tick", "TicketSeen",
)  # fmt: skip

NEVER: Final = float("inf")
"""A time that does not come."""


class Phase(StrEnum):
    """Where a profile is."""

    WAITING = "waiting"
    """No ticket has ever come; nothing held."""
    ACQUIRING = "acquiring"
    """Nothing held, an exchange is in flight."""
    RETRYING = "retrying"
    """Nothing held, the last exchange failed; waits for the next."""
    FRESH = "fresh"
    """A set is held and the last exchange succeeded."""
    RENEWING = "renewing"
    """A set is held and an exchange is in flight."""
    KEEPING = "keeping"
    """A set is held though the last exchange failed; waits for the next."""


class Action(Enum):
    """What the caller has to do, in the order given."""

    START = "start an exchange with state.ticket"
    PUBLISH = "serve state.held"
    WITHDRAW = "serve nothing any more"


@dataclass(frozen=True, slots=True)
class TicketSeen:
    """There is another token than before, or for a chained profile another set of its source."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Granted:
    """The exchange in flight gave a set."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Failed:
    """The exchange in flight gave none."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: look at what is due and at what has run out."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Somebody wants a new set now, due or not."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A set from before a restart was found; it is as good as when it was granted."""

    grant: Grant


Event = TicketSeen | Granted | Failed | Tick | Renew | Loaded


@dataclass(frozen=True, slots=True)
class State:
    """All there is to know of one profile.

    Attributes:
        phase: where it is.
        ticket: the newest token read, or set of the source.
        held: the newest set.
        shown: ``held`` is being served.
        renew_remaining: the set is due when this many seconds remain.
        attempt_mono: not before this time does a waiting profile try again; infinity when only an event helps.
        success_mono: when the last exchange succeeded.
        failures: how many exchanges in a row have failed.
        failure: the last failure, until the next success.
        ticket_waits: a ticket or a wish to renew came during an exchange: if that fails, ask again at once.
        ever_held: a set was held once.
        refresh_on_rotation: exchange for a new ticket though the set is not due.
    """

    phase: Phase = Phase.WAITING
    ticket: Ticket | None = None
    held: Held | None = None
    shown: bool = False
    renew_remaining: float = 0.0
    attempt_mono: float = NEVER
    success_mono: float = -NEVER
    failures: int = 0
    failure: Failure | None = None
    ticket_waits: bool = False
    ever_held: bool = False
    refresh_on_rotation: bool = True
