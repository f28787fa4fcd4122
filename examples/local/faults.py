"""The faults that the local AWS can inject, at run time and from any thread."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """One kind of fault. The value is its name in the JSON of the control path."""

    DOWN = "down"
    """Close the connection without a response."""
    SERVICE_UNAVAILABLE = "service_unavailable"
    """Respond 503 ServiceUnavailable."""
    SLOW = "slow"
    """Wait `seconds` before the request is processed."""
    THROTTLE = "throttle"
    """Respond 400 Throttling."""
    IDP_COMMUNICATION_ERROR = "idp_communication_error"
    """Respond 400 IDPCommunicationError; AssumeRoleWithWebIdentity only."""
    REGION_DISABLED = "region_disabled"
    """Respond 403 RegionDisabledException, as AWS does when the account has disabled the region."""
    POLICY_TOO_LARGE = "policy_too_large"
    """Respond 400 PackedPolicyTooLarge; how STS packs policies is not public, so the size is not computed here."""
    DENIED = "denied"
    """Respond 403 AccessDenied although the trust policy allows the call, without naming the policy that denies it."""
    DENIED_BY_RCP = "denied_by_rcp"
    """Respond 403 AccessDenied and name a resource control policy, as AWS does within one organization."""
    DENIED_BY_ENDPOINT_POLICY = "denied_by_endpoint_policy"
    """Respond 403 AccessDenied and name a VPC endpoint policy."""
    DENIED_BY_SCP = "denied_by_scp"
    """Respond 403 AccessDenied to a signed request, and name a service control policy."""
    DENIED_BY_BOUNDARY = "denied_by_boundary"
    """Respond 403 AccessDenied to a signed request, and name a permissions boundary."""
    DENIED_BY_SESSION_POLICY = "denied_by_session_policy"
    """Respond 403 AccessDenied to a signed request, and name a session policy."""
    STALE_JWKS = "stale_jwks"
    """Use the key set (JWKS) last fetched from the issuer, if there is one, instead of fetching it."""
    EXPIRED_CREDENTIALS = "expired_credentials"
    """Succeed with an Expiration an hour ago."""
    EMPTY_SECRET = "empty_secret"  # noqa: S105 - the name of a fault
    """Succeed with an empty SecretAccessKey."""
    MISSING_FIELD = "missing_field"
    """Succeed without a SessionToken element."""
    FAR_EXPIRY = "far_expiry"
    """Succeed with an Expiration in the year 9999."""
    GARBAGE = "garbage"
    """Respond 200 with an HTML page, as a captive portal does."""
    TRUNCATED = "truncated"
    """Respond 200 with the first half of the XML."""


class Scope(StrEnum):
    """The calls that a fault applies to. The value is its name in the JSON of the control path."""

    WEB_IDENTITY = "web_identity"
    STS = "sts"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Fault:
    """One active fault.

    Attributes:
        kind: what happens.
        scope: the calls that it applies to.
        seconds: the delay of `SLOW`; other faults ignore it.
        times: the number of calls that it applies to before it ends; None means until cleared.
    """

    kind: FaultKind
    scope: Scope = Scope.STS
    seconds: float = 0.0
    times: int | None = None

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> "Fault":
        """Return the fault that a JSON object describes, with the attribute names as keys.

        Raises:
            ValueError: an unknown key, kind or scope, or `seconds` or `times` is not a number.
        """
        unknown = set(fields) - {"kind", "scope", "seconds", "times"}
        if unknown:
            message = f"unknown keys: {', '.join(sorted(unknown))}"
            raise ValueError(message)
        seconds, times = fields.get("seconds", 0.0), fields.get("times")
        if not isinstance(seconds, int | float) or not (times is None or isinstance(times, int)):
            message = "seconds must be a number and times an integer or null"
            raise ValueError(message)
        return cls(
            FaultKind(str(fields.get("kind"))), Scope(str(fields.get("scope", Scope.STS))), float(seconds), times
        )


class Faults:
    """The active faults, at most one of each kind; setting a kind again replaces it. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[FaultKind, Fault] = {}

    def set(self, kind: FaultKind, *, scope: Scope = Scope.STS, seconds: float = 0.0, times: int | None = None) -> None:
        """Activate a fault; the arguments are the attributes of `Fault`."""
        self.replace([*self.active(), Fault(kind, scope, seconds, times)])

    def replace(self, faults: Iterable[Fault]) -> None:
        """Replace all active faults by these."""
        replacement = {fault.kind: fault for fault in faults}
        with self._lock:
            self._faults = replacement

    def clear(self, kind: FaultKind | None = None) -> None:
        """Deactivate one kind of fault, or all of them."""
        with self._lock:
            if kind is None:
                self._faults = {}
            else:
                self._faults.pop(kind, None)

    def active(self) -> tuple[Fault, ...]:
        """Return the active faults."""
        with self._lock:
            return tuple(self._faults.values())

    def hits(self, *, service: str, operation: str) -> dict[FaultKind, Fault]:
        """Return the faults that apply to this call, and count the call for each of them."""
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


def corruption(faults: Mapping[FaultKind, object]) -> str | None:
    """Return the outcome of a response that a fault corrupted, or None."""
    corrupting = (
        FaultKind.GARBAGE,
        FaultKind.TRUNCATED,
        FaultKind.EXPIRED_CREDENTIALS,
        FaultKind.FAR_EXPIRY,
        FaultKind.EMPTY_SECRET,
        FaultKind.MISSING_FIELD,
    )
    return next((f"fault:{kind}" for kind in corrupting if kind in faults), None)
