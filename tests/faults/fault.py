"""The description of a fault: how it begins and ends, the log line that reports it, and its effect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from tests.faults.case import Case

__all__ = ("Fault", "LogLine", "Recovery", "do_nothing")

Action = Callable[[Case], object]


class Recovery(Enum):
    """The event that starts the next exchange after the fault has ended."""

    BACKOFF = "the daemon's retry"
    REFRESH = "SIGHUP"
    HEALED = "a new token, with which the fault ends"


@dataclass(frozen=True, slots=True)
class LogLine:
    """The event and some fields of a log line."""

    event: str
    fields: Mapping[str, object] = field(default_factory=dict)


def do_nothing(_case: Case) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        name: the name in the table.
        inject: begins the fault.
        heal: ends the fault.
        prepare: makes the settings and parts that the fault needs, before the daemon starts.
        logged: the line that reports the fault after an exchange; None if the daemon cannot log meanwhile.
        logged_first: the same if the daemon has no credentials yet; None if it is the line of `logged`.
        first_blocked: the daemon cannot get its first credentials during the fault.
        refresh_blocked: no refresh succeeds during the fault.
        new_token: the fault is another token in the token file.
        running: the fault needs a daemon that already listens.
        recovery: what starts the next exchange, if the daemon had credentials.
        first_recovery: the same if it had none; None if it is that of `recovery`.
        wait_for_effect: waits until the fault has taken effect, if no line reports it.
        prevents_start: the daemon does not start during the fault; the test starts it again afterwards.
        unresponsive: the daemon cannot respond during the fault.
    """

    name: str
    inject: Action
    heal: Action
    prepare: Action = do_nothing
    logged: LogLine | None = None
    logged_first: LogLine | None = None
    first_blocked: bool = True
    refresh_blocked: bool = True
    new_token: bool = False
    running: bool = False
    recovery: Recovery = Recovery.BACKOFF
    first_recovery: Recovery | None = None
    wait_for_effect: Action = do_nothing
    prevents_start: bool = False
    unresponsive: bool = False
