"""What a fault is: how it begins and ends, how the daemon tells of it, and what may be expected meanwhile."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from tests.faults.case import Case

__all__ = ("Fault", "Told", "Wake", "nothing")

Do = Callable[[Case], object]


class Wake(Enum):
    """What brings the daemon back after the fault has ended."""

    BACKOFF = "its own retry"
    RENEW = "SIGHUP"
    HEALED = "the end of the fault itself: a new token"


@dataclass(frozen=True, slots=True)
class Told:
    """A log line that tells of the fault."""

    event: str
    fields: Mapping[str, object] = field(default_factory=dict)


def nothing(_case: Case) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: for the table.
        strike: begins it.
        heal: ends it.
        prepare: settings and parts that it needs, before the daemon starts.
        told: the line that tells of it once an exchange was attempted; None where nothing can be told meanwhile.
        told_first: the same where no set was ever held, if another.
        first_blocked: no first set can be had while it lasts.
        renewal_blocked: no renewal succeeds while it lasts.
        new_token: it comes as another token.
        running: it is done to a daemon that listens already.
        wake: what brings back the daemon, where a set was held.
        first_wake: the same where none was, if another.
        felt: waits until the fault has taken effect, where no line tells.
        refuses_start: the daemon does not start with it; whoever runs it starts it again.
        silent: the daemon cannot answer while it lasts.
    """

    name: str
    strike: Do
    heal: Do
    prepare: Do = nothing
    told: Told | None = None
    told_first: Told | None = None
    first_blocked: bool = True
    renewal_blocked: bool = True
    new_token: bool = False
    running: bool = False
    wake: Wake = Wake.BACKOFF
    first_wake: Wake | None = None
    felt: Do = nothing
    refuses_start: bool = False
    silent: bool = False
