"""The values that travel from the token file to the application.

``Token`` and ``Credentials`` are the only types that hold a secret. Both are frozen, are replaced whole and
never field by field, and leave every secret out of their ``repr``.
"""

import re
from dataclasses import dataclass, field

from sidecar.clock import Instant

__all__ = ("Credentials", "Grant", "Held", "Order", "Profile", "Ticket", "Token", "account_of")

_ACCOUNT = re.compile(r"[0-9]{12}")


@dataclass(frozen=True, slots=True)
class Token:
    """A projected ServiceAccount token and what its claims say (RFC 7519; not verified here).

    Attributes:
        raw: the compact JWT, as STS takes it. Secret.
        issuer: ``iss``.
        subject: ``sub``, ``system:serviceaccount:<namespace>:<name>`` for a ServiceAccount.
        audience: ``aud``, always as a tuple.
        expires_at: ``exp``, wall seconds.
        issued_at: ``iat``, wall seconds; 0 where the token has none.
        key_id: ``kid`` of the header; "" where it has none.
        namespace: ``kubernetes.io.namespace``; "" outside Kubernetes.
        pod: ``kubernetes.io.pod.name``; "" where the token is not bound to a pod.
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


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set of temporary credentials, as STS granted it.

    Attributes:
        access_key_id: names the set in CloudTrail; masked all the same.
        secret_access_key: secret.
        session_token: secret.
        expires_at: wall seconds, whole, as STS said.
        role_arn: the role that was asked for.
        account_id: field 5 of the assumed role's ARN.
    """

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: int
    role_arn: str
    account_id: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Credentials together with the life that they really have.

    Attributes:
        credentials: the set.
        life_seconds: the life granted, by STS's own clock where it told us its time: a wrong clock on this
            node must not stretch it.
        asked_mono: monotonic time just before the call, so that ``asked_mono + life_seconds`` is never late.
    """

    credentials: Credentials
    life_seconds: float
    asked_mono: float


@dataclass(frozen=True, slots=True)
class Profile:
    r"""What to ask STS for, under one name of ours.

    Attributes:
        name: appears in the path ``/v1/credentials/<name>``.
        role_arn: 20 to 2048 characters.
        session_name: 2 to 64 characters of ``[\w+=,.@-]``; "" means made from the token's claims.
        duration_seconds: 900 to 43200.
        region: "" means the global STS endpoint.
        endpoint_url: "" means the SDK's own for the region.
        source: "" exchanges the projected token; else the name of the profile whose set signs an AssumeRole.
        external_id: ``sts:ExternalId`` of a chained role; "" for none.
        policy: a session policy as JSON; "" for none.
        policy_arns: managed policies that narrow the role.
        session_tags: tag a chained session by the token's namespace and pod.
        served: has a path, an auth token and a volume; else it is only a source of others.
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


Ticket = Token | Grant
"""What an exchange is paid with: the projected token, or for a chained role the set of its source."""


@dataclass(frozen=True, slots=True)
class Order:
    """One profile that is due, and what to pay with.

    Attributes:
        profile: what to ask for.
        token: the newest projected token; names the session, and pays where there is no source.
        source: the set that signs the request of a chained role.
    """

    profile: Profile
    token: Token
    source: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The set that a profile serves, and how long.

    Attributes:
        grant: the set and its life.
        stop_at: wall seconds from which it must not be served.
        stop_mono: monotonic seconds from which it must not be served.
    """

    grant: Grant
    stop_at: float
    stop_mono: float

    def servable(self, now: Instant) -> bool:
        """Tell whether this set may be served at ``now``, by the stricter of the two clocks."""
        return now.wall < self.stop_at and now.mono < self.stop_mono

    def remaining(self, now: Instant) -> float:
        """Return the seconds until expiry at ``now``, by the stricter of the two clocks; may be negative."""
        grant = self.grant
        return min(
            grant.credentials.expires_at - now.wall,
            grant.asked_mono + grant.life_seconds - now.mono,
        )


def account_of(arn: str) -> str:
    """Return the account id of an ARN, or "" where it has none.

    The format is ``arn:partition:service:region:account:resource`` (AWS General Reference, "Amazon Resource
    Names").
    """
    parts = arn.split(":", 5)
    account = parts[4] if len(parts) == 6 and parts[0] == "arn" else ""  # noqa: PLR2004 - an ARN has six fields
    return account if _ACCOUNT.fullmatch(account) else ""
