"""The values that pass from the token file to the application. Pure.

``Token`` and ``Credentials`` hold the secrets. Both are frozen, are replaced whole and
never field by field, and leave every secret out of their ``repr``.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.clock import Instant

__all__ = (
    "AssumeRoleRequest",
    "AssumeRoleResult",
    "Credentials",
    "ExchangeInput",
    "Held",
    "OnChange",
    "Profile",
    "Token",
    "account_of",
)

_ACCOUNT = re.compile(r"[0-9]{12}")


@dataclass(frozen=True, slots=True)
class Token:
    """A projected ServiceAccount token and its claims (RFC 7519; not verified here).

    Attributes:
        raw: the compact JWT, as STS accepts it. Secret.
        issuer: ``iss``.
        subject: ``sub``, ``system:serviceaccount:<namespace>:<name>`` for a ServiceAccount.
        audience: ``aud``, always as a tuple.
        expires_at: ``exp``, wall seconds.
        issued_at: ``iat``, wall seconds; 0 if the token has none.
        not_before: ``nbf``, wall seconds; 0 if the token has none.
        key_id: ``kid`` of the header; "" if it has none.
        namespace: ``kubernetes.io.namespace``; "" outside Kubernetes.
        pod: ``kubernetes.io.pod.name``; "" if the token is not bound to a pod.
    """

    raw: str = field(repr=False)
    issuer: str
    subject: str
    audience: tuple[str, ...]
    expires_at: float
    issued_at: float = 0.0
    key_id: str = ""
    namespace: str = ""
    pod: str = ""
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary credentials from STS.

    Attributes:
        access_key_id: identifies the credentials in CloudTrail; left out of the ``repr`` too.
        secret_access_key: secret.
        session_token: secret.
        expires_at: expiration in whole wall seconds, as STS gave it.
        role_arn: the role of the request.
        account_id: field 5 of the assumed role's ARN.
    """

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: int
    role_arn: str
    account_id: str


@dataclass(frozen=True, slots=True)
class AssumeRoleResult:
    """Credentials and their lifetime.

    Attributes:
        credentials: the credentials.
        lifetime_seconds: from issue to expiration, by the clock of STS if its answer had a time: a wrong clock on this
            node must not make it longer.
        requested_mono: monotonic time before the call: ``requested_mono + lifetime_seconds`` is never after the
            expiration.
        settings: fingerprint of the settings that these credentials were requested with; the refresher sets it.
    """

    credentials: Credentials
    lifetime_seconds: float
    requested_mono: float
    settings: str = ""


class OnChange(StrEnum):
    """What happens to the credentials of a profile when its settings change."""

    KEEP = "keep"
    """They are served until there are credentials for the new settings, or until they expire."""
    WITHDRAW_ON_ROLE_CHANGE = "withdraw-on-role-change"
    """The same, but a change of the role withdraws them at once."""


@dataclass(frozen=True, slots=True)
class Profile:
    r"""A named group of settings with one role.

    Attributes:
        name: appears in the path ``/v1/credentials/<name>``.
        role_arn: 20 to 2048 characters.
        session_name: 2 to 64 characters of ``[\w+=,.@-]``; "" means that it is made from the token's claims.
        duration_seconds: 900 to 43200.
        region: "" means the global STS endpoint.
        endpoint_url: "" means the SDK's endpoint for the region.
        source: "" exchanges the projected token; else the name of the profile whose credentials sign an AssumeRole.
        external_id: ``sts:ExternalId`` of a chained role; "" for none.
        policy: a session policy as JSON; "" for none.
        policy_arns: managed policies that restrict the session.
        session_tags: tag a chained session with the token's namespace and pod.
        served: has a path, an auth token and a volume; else it is only a source of other profiles.
        on_change: what happens to its credentials when one of the settings above changes.
    """

    name: str
    role_arn: str
    session_name: str
    duration_seconds: int
    region: str
    endpoint_url: str
    fips: bool = False
    dual_stack: bool = False
    source: str = ""
    external_id: str = ""
    policy: str = ""
    policy_arns: tuple[str, ...] = ()
    session_tags: bool = False
    served: bool = True
    on_change: OnChange = OnChange.KEEP


ExchangeInput = Token | AssumeRoleResult
"""What authenticates an exchange: the projected token, or for a chained role the credentials of its source."""


@dataclass(frozen=True, slots=True)
class AssumeRoleRequest:
    """The request of one exchange.

    Attributes:
        profile: the role and its settings.
        token: the newest projected token; the session name comes from it, and without ``source`` it is exchanged.
        source: the credentials that sign the request for a chained role.
    """

    profile: Profile
    token: Token
    source: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The credentials that a profile serves, and until when.

    Attributes:
        result: the credentials and their lifetime.
        stop_at: wall seconds from which they must not be served.
        stop_mono: monotonic seconds from which they must not be served.
    """

    result: AssumeRoleResult
    stop_at: float
    stop_mono: float

    def servable(self, now: Instant) -> bool:
        """Return whether the credentials may be served at ``now``, by the stricter of the two clocks."""
        return now.wall < self.stop_at and now.mono < self.stop_mono

    def remaining(self, now: Instant) -> float:
        """Return the seconds until expiration at ``now``, by the stricter of the two clocks; may be negative."""
        return min(
            self.result.credentials.expires_at - now.wall,
            self.result.requested_mono + self.result.lifetime_seconds - now.mono,
        )


def account_of(arn: str) -> str:
    """Return the account id of an ARN, or "" if it has none.

    The format is ``arn:partition:service:region:account:resource`` (AWS General Reference, "Amazon Resource
    Names").
    """
    parts = arn.split(":", 5)
    account = parts[4] if len(parts) == 6 and parts[0] == "arn" else ""  # noqa: PLR2004 - an ARN has six fields
    return account if _ACCOUNT.fullmatch(account) else ""
