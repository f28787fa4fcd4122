"""The types of the credential lifecycle: phases, events, actions and the state. Pure; no logic."""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from sidecar.errors import Failure
from sidecar.model import AssumeRoleResult, ExchangeInput, Held

__all__ = (
    "NEVER",
    "Action",
    "Event",
    "Failed",
    "InputChanged",
    "Loaded",
    "Phase",
    "ProfileState",
    "RefreshRequested",
    "SettingsChanged",
    "Succeeded",
    "Tick",
)  # fmt: skip

NEVER: Final = float("inf")
"""A time that is never reached."""


class Phase(StrEnum):
    """The phase of a profile."""

    WAITING = "waiting"
    """No exchange input has come yet; no credentials are held."""
    ACQUIRING = "acquiring"
    """No credentials are held; an exchange is running."""
    RETRYING = "retrying"
    """No credentials are held and the last exchange failed; waits for the next one."""
    FRESH = "fresh"
    """Credentials are held and the last exchange succeeded."""
    REFRESHING = "refreshing"
    """Credentials are held and an exchange is running."""
    STALE = "stale"
    """Credentials are held but the last exchange failed; waits for the next one."""


class Action(Enum):
    """What the caller has to do, in the order given."""

    START = "start an exchange with state.exchange_input"
    PUBLISH = "serve state.held"
    WITHDRAW = "withdraw the credentials"


@dataclass(frozen=True, slots=True)
class InputChanged:
    """There is a new token, or for a chained profile there are new credentials of its source."""

    exchange_input: ExchangeInput


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The running exchange returned credentials."""

    result: AssumeRoleResult


@dataclass(frozen=True, slots=True)
class Failed:
    """The running exchange failed."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: check what is due and what has expired."""


@dataclass(frozen=True, slots=True)
class RefreshRequested:
    """A person requests a refresh now, whether it is due or not."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Credentials from before a restart were found; ``result`` has their remaining lifetime."""

    result: AssumeRoleResult


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The settings changed. The caller drops the result of a running exchange, and sends ``InputChanged`` again.

    Attributes:
        settings: fingerprint of the new settings.
        keep: True serves the current credentials until there are new ones; False withdraws them.
    """

    settings: str
    keep: bool


Event = InputChanged | Succeeded | Failed | Tick | RefreshRequested | Loaded | SettingsChanged


@dataclass(frozen=True, slots=True)
class ProfileState:
    """The state of one profile.

    Attributes:
        phase: its phase.
        exchange_input: the newest token, or the newest credentials of the source.
        held: the newest credentials.
        shown: whether ``held`` is being served.
        refresh_remaining: a refresh is due when this many seconds remain.
        attempt_mono: the time of the next attempt after a failure or a rotation; infinity if none is planned.
        success_mono: when the last exchange succeeded.
        failures: number of exchanges in a row that failed.
        failure: the last failure, until the next success.
        input_pending: an input or a request to refresh came during an exchange: if that fails, the next starts at once.
        ever_held: whether credentials of these settings were held.
        refresh_on_rotation: whether a new token starts an exchange before the credentials are due.
        settings: fingerprint of the settings in force.
    """

    phase: Phase = Phase.WAITING
    exchange_input: ExchangeInput | None = None
    held: Held | None = None
    shown: bool = False
    refresh_remaining: float = 0.0
    attempt_mono: float = NEVER
    success_mono: float = -NEVER
    failures: int = 0
    failure: Failure | None = None
    input_pending: bool = False
    ever_held: bool = False
    refresh_on_rotation: bool = True
    settings: str = ""

    @property
    def has_previous_settings(self) -> bool:
        """Whether the credentials held were requested with previous settings, not with those in force."""
        return self.held is not None and self.held.result.settings != self.settings
