"""Faults of AWS and of the issuer."""

import urllib.parse
import urllib.request
from collections.abc import Callable

from examples.local.faults import FaultKind
from tests.faults.case import Case
from tests.faults.fault import Fault, LogLine, Recovery

__all__ = ("AWS_FAULTS", "TRUST_FAULTS", "failed")

_SLOW_SECONDS = 12.0


def failed(outcome: str) -> LogLine:
    """Return the log line of an exchange that failed with this outcome."""
    return LogLine("exchange_failed", {"outcome": outcome})


def _sts(kind: FaultKind, outcome: str, what: str) -> Fault:
    return Fault(
        name=f"STS {what}",
        inject=lambda case: case.world.aws.faults.set(kind, seconds=_SLOW_SECONDS if kind is FaultKind.SLOW else 0.0),
        heal=lambda case: case.world.aws.faults.clear(kind),
        logged=failed(outcome),
    )


def _exchange_without_the_daemon(case: Case) -> None:
    """Exchange the token as the daemon does, so that STS has fetched this issuer's keys."""
    query = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": case.role_arn,
        "RoleSessionName": "before",
        "WebIdentityToken": case.kubelet.path.read_text(),
    }
    with urllib.request.urlopen(case.world.aws.url, urllib.parse.urlencode(query).encode(), timeout=10) as response:
        assert response.status == 200


def _serve_an_old_key_set(case: Case) -> None:
    """Make STS use the key set from before the current signing key."""
    _exchange_without_the_daemon(case)
    case.world.aws.faults.set(FaultKind.STALE_JWKS)
    case.world.issuer.rotate_key()
    case.kubelet.rotate_now()


AWS_FAULTS = (
    _sts(FaultKind.DOWN, "unreachable", "down"),
    _sts(FaultKind.SERVICE_UNAVAILABLE, "server_error", "responds 503"),
    _sts(FaultKind.SLOW, "timeout", "slower than the deadline"),
    _sts(FaultKind.THROTTLE, "throttled", "throttles"),
    _sts(FaultKind.IDP_COMMUNICATION_ERROR, "issuer_unreachable", "cannot reach the issuer"),
    _sts(FaultKind.EXPIRED_CREDENTIALS, "invalid_response", "issues expired credentials"),
    _sts(FaultKind.EMPTY_SECRET, "invalid_response", "issues an empty secret"),
    _sts(FaultKind.MISSING_FIELD, "invalid_response", "issues credentials without a session token"),
    _sts(FaultKind.GARBAGE, "invalid_response", "responds with a sign-in page"),
    _sts(FaultKind.TRUNCATED, "invalid_response", "responds with half of the XML"),
    Fault(
        name="STS has an old key set",
        inject=_serve_an_old_key_set,
        heal=lambda case: case.world.aws.faults.clear(FaultKind.STALE_JWKS),
        logged=failed("issuer_unreachable"),
        new_token=True,
    ),
)


def _provider(case: Case) -> str:
    return f"arn:aws:iam::{case.world.aws.account_id}:oidc-provider/{case.world.issuer.url[8:]}"


def _delete_provider(case: Case) -> None:
    case.world.admin_client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=_provider(case))


def _delete_role(case: Case) -> None:
    iam = case.world.admin_client("iam")
    for policy in iam.list_attached_role_policies(RoleName=case.role)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=case.role, PolicyArn=policy["PolicyArn"])
    iam.delete_role(RoleName=case.role)


def _drop_audience(case: Case) -> None:
    case.world.admin_client("iam").remove_client_id_from_open_id_connect_provider(
        OpenIDConnectProviderArn=_provider(case), ClientID="sts.amazonaws.com"
    )


def _long_sessions(case: Case) -> None:
    case.environment["AWS_OIDC_SIDECAR_DURATION"] = "7200"
    case.world.set_up_trust(max_session_seconds=7200)


def _slow_issuer(case: Case) -> None:
    case.world.aws.identity_providers.timeout_seconds = 0.5
    case.world.issuer.delay_seconds = 1.5


def _keys_behind(case: Case) -> None:
    case.world.issuer.stale_jwks = True
    case.world.issuer.rotate_key()
    case.kubelet.rotate_now()


def _no_overlap(case: Case) -> None:
    case.hold_token()
    case.world.issuer.rotate_key()
    case.world.issuer.retire_old_keys()


def _forged(case: Case) -> None:
    issuer = case.world.issuer
    claims = issuer.claims(namespace="default", service_account="aws-parameter-reader", pod="aws-test", node="node-1")
    now = int(case.world.clock())
    claims |= {"aud": ["sts.amazonaws.com"], "iat": now, "nbf": now, "exp": now + 3600}
    case.put_token(issuer.sign_with_unknown_key(claims, kid=issuer.kids[-1]).encode())


def _trust(name: str, outcome: str, inject: Callable[[Case], object], **more: object) -> Fault:
    """A wrong change in IAM, fixed by hand; then SIGHUP, unless the daemon retries by itself."""
    options: dict[str, object] = {"heal": lambda case: case.world.set_up_trust(), "recovery": Recovery.REFRESH} | more
    return Fault(name=name, inject=inject, logged=failed(outcome), **options)  # type: ignore[arg-type] # by name, checked when run


def _issuer(
    name: str, inject: Callable[[Case], object], heal: Callable[[Case], object], *, new_token: bool = False
) -> Fault:
    return Fault(name=name, inject=inject, heal=heal, logged=failed("issuer_unreachable"), new_token=new_token)


def _token(name: str, outcome: str, inject: Callable[[Case], object], *, new_token: bool = True) -> Fault:
    """A token that STS rejects, until the kubelet rotates it."""
    return Fault(
        name=name,
        inject=inject,
        heal=lambda case: case.kubelet.heal(),
        logged=failed(outcome),
        new_token=new_token,
        recovery=Recovery.HEALED,
    )


TRUST_FAULTS = (
    _trust("trust policy names another subject", "access_denied", Case.deny, first_recovery=Recovery.BACKOFF),
    _trust("role deleted", "access_denied", _delete_role, first_recovery=Recovery.BACKOFF),
    _trust("OIDC provider deleted", "invalid_identity_token", _delete_provider, first_recovery=Recovery.BACKOFF),
    _trust("audience is not a client id", "invalid_identity_token", _drop_audience, first_recovery=Recovery.BACKOFF),
    _trust(
        "issuer's CA was replaced",
        "invalid_identity_token",
        lambda case: case.world.issuer.replace_authority(),
        first_recovery=Recovery.BACKOFF,
    ),
    _trust(
        "duration over the role's maximum",
        "invalid_request",
        lambda case: case.world.set_up_trust(max_session_seconds=3600),
        prepare=_long_sessions,
        heal=lambda case: case.world.set_up_trust(max_session_seconds=7200),
    ),
    _issuer(
        "issuer down",
        lambda case: setattr(case.world.issuer, "down", True),
        lambda case: setattr(case.world.issuer, "down", False),
    ),
    _issuer(
        "issuer slow",
        _slow_issuer,
        lambda case: setattr(case.world.issuer, "delay_seconds", 0.0),
    ),
    _issuer(
        "issuer's key set behind its signing key",
        _keys_behind,
        lambda case: setattr(case.world.issuer, "stale_jwks", False),
        new_token=True,
    ),
    _token("signing key rotated without overlap", "issuer_unreachable", _no_overlap, new_token=False),
    _token("token signed with an unknown key", "invalid_identity_token", _forged),
    _token(
        "token for another audience",
        "invalid_identity_token",
        lambda case: case.put_token(case.world.issuer.mint(audience="https://kubernetes.default").encode()),
    ),
)
