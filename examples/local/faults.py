"""What the local AWS can be told to do wrong, at run time and from any thread."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """One way to misbehave. The value is the name in the JSON control path."""

    DOWN = "down"
    """Close the connection without an answer."""
    REFUSE_5XX = "refuse_5xx"
    """Answer 503 ServiceUnavailable."""
    SLOW = "slow"
    """Wait `seconds` before the work begins."""
    THROTTLE = "throttle"
    """Answer 400 Throttling."""
    IDP_COMMUNICATION_ERROR = "idp_communication_error"
    """Answer 400 IDPCommunicationError; AssumeRoleWithWebIdentity only."""
    REGION_DISABLED = "region_disabled"
    """Answer 403 RegionDisabledException, as where an account has switched a region off."""
    POLICY_TOO_LARGE = "policy_too_large"
    """Answer 400 PackedPolicyTooLarge; how STS packs is not public, so nothing here can judge by size."""
    STALE_JWKS = "stale_jwks"
    """Use the key set last fetched from an issuer, where there is one, instead of fetching."""
    EXPIRED_SET = "expired_set"
    """Succeed with an Expiration an hour ago."""
    EMPTY_SECRET = "empty_secret"  # noqa: S105 - the name of a fault
    """Succeed with an empty SecretAccessKey."""
    MISSING_FIELD = "missing_field"
    """Succeed without a SessionToken element."""
    FAR_EXPIRY = "far_expiry"
    """Succeed with an Expiration in the year 9999."""
    GARBAGE = "garbage"
    """Answer 200 with an HTML page, as a captive portal does."""
    TRUNCATED = "truncated"
    """Answer 200 with the first half of the XML."""


class Scope(StrEnum):
    """Which calls a fault hits. The value is the name in the JSON control path."""

    WEB_IDENTITY = "web_identity"
    STS = "sts"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in force.

    Attributes:
        kind: what happens.
        scope: to which calls.
        seconds: for `SLOW` alone.
        times: how many calls it hits before it is over; None is until cleared.
    """

    kind: FaultKind
    scope: Scope = Scope.STS
    seconds: float = 0.0
    times: int | None = None

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> "Fault":
        """Return the fault that a JSON object describes, with the attribute names as keys.

        Raises:
            ValueError: an unknown key, kind or scope, or a number that is none.
        """
        unknown = set(fields) - {"kind", "scope", "seconds", "times"}
        if unknown:
            message = f"unknown keys: {', '.join(sorted(unknown))}"
            raise ValueError(message)
        seconds, times = fields.get("seconds", 0.0), fields.get("times")
        if not isinstance(seconds, int | float) or not (times is None or isinstance(times, int)):
            message = "seconds and times are numbers"
            raise ValueError(message)
        return cls(
            FaultKind(str(fields.get("kind"))), Scope(str(fields.get("scope", Scope.STS))), float(seconds), times
        )


class Faults:
    """The faults in force. At most one of each kind; setting a kind again replaces it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[FaultKind, Fault] = {}

    def set(self, kind: FaultKind, *, scope: Scope = Scope.STS, seconds: float = 0.0, times: int | None = None) -> None:
        """Put a fault in force; the arguments are the attributes of `Fault`."""
        self.replace([*self.active(), Fault(kind, scope, seconds, times)])

    def replace(self, faults: Iterable[Fault]) -> None:
        """Put exactly these faults in force."""
        replacement = {fault.kind: fault for fault in faults}
        with self._lock:
            self._faults = replacement

    def clear(self, kind: FaultKind | None = None) -> None:
        """Take one kind of fault back, or all of them."""
        with self._lock:
            if kind is None:
                self._faults = {}
            else:
                self._faults.pop(kind, None)

    def active(self) -> tuple[Fault, ...]:
        """Return the faults in force."""
        with self._lock:
            return tuple(self._faults.values())

    def strike(self, *, service: str, operation: str) -> dict[FaultKind, Fault]:
        """Return the faults that hit this call, and count the call against each of them."""
        with self._lock:
            hits = {
                kind: fault
                for kind, fault in self._faults.items()
                if fault.scope is Scope.ALL
                or (fault.scope is Scope.STS and service == "sts")
                or (fault.scope is Scope.WEB_IDENTITY and operation == "AssumeRoleWithWebIdentity")
            }
            for kind, fault in hits.items():
                if fault.times is not None:
                    self._faults[kind] = Fault(kind, fault.scope, fault.seconds, fault.times - 1)
                    if fault.times <= 1:
                        del self._faults[kind]
        return hits
