"""What AWS and the issuer can do wrong."""

import urllib.parse
import urllib.request
from collections.abc import Callable

from examples.local.faults import FaultKind
from tests.faults.case import Case
from tests.faults.kinds import Fault, Told, Wake

__all__ = ("AWS_FAULTS", "TRUST_FAULTS", "failed")

_SLOW_SECONDS = 12.0


def failed(outcome: str) -> Told:
    """Return the line of an exchange that failed in this class."""
    return Told("exchange_failed", {"class": outcome})


def _sts(kind: FaultKind, outcome: str, what: str) -> Fault:
    return Fault(
        name=f"STS {what}",
        strike=lambda case: case.world.aws.faults.set(kind, seconds=_SLOW_SECONDS if kind is FaultKind.SLOW else 0.0),
        heal=lambda case: case.world.aws.faults.clear(kind),
        told=failed(outcome),
    )


def _exchange_without_the_daemon(case: Case) -> None:
    """Do what the daemon does, so that STS has seen this issuer's keys."""
    query = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": case.role_arn,
        "RoleSessionName": "before",
        "WebIdentityToken": case.kubelet.path.read_text(),
    }
    with urllib.request.urlopen(case.world.aws.url, urllib.parse.urlencode(query).encode(), timeout=10) as answer:
        assert answer.status == 200


def _serve_an_old_key_set(case: Case) -> None:
    """Have STS use the key set from before the key that signs now."""
    _exchange_without_the_daemon(case)
    case.world.aws.faults.set(FaultKind.STALE_JWKS)
    case.world.issuer.rotate_key()
    case.kubelet.rotate_now()


AWS_FAULTS = (
    _sts(FaultKind.DOWN, "unreachable", "down"),
    _sts(FaultKind.REFUSE_5XX, "server_error", "answers 503"),
    _sts(FaultKind.SLOW, "timeout", "slower than the deadline"),
    _sts(FaultKind.THROTTLE, "throttled", "throttles"),
    _sts(FaultKind.IDP_COMMUNICATION_ERROR, "issuer_unreachable", "cannot reach the issuer"),
    _sts(FaultKind.EXPIRED_SET, "bad_answer", "grants an expired set"),
    _sts(FaultKind.EMPTY_SECRET, "bad_answer", "grants an empty secret"),
    _sts(FaultKind.MISSING_FIELD, "bad_answer", "grants a set without a token"),
    _sts(FaultKind.GARBAGE, "bad_answer", "answers a sign-in page"),
    _sts(FaultKind.TRUNCATED, "bad_answer", "answers half the XML"),
    _sts(FaultKind.FAR_EXPIRY, "bad_answer", "grants until the year 9999"),
    Fault(
        name="STS keeps an old key set",
        strike=_serve_an_old_key_set,
        heal=lambda case: case.world.aws.faults.clear(FaultKind.STALE_JWKS),
        told=failed("issuer_unreachable"),
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


def _trust(name: str, outcome: str, strike: Callable[[Case], object], **more: object) -> Fault:
    """Somebody changed IAM; it is mended by hand, and told so by hand where a set was held before."""
    options: dict[str, object] = {"heal": lambda case: case.world.set_up_trust(), "wake": Wake.RENEW} | more
    return Fault(name=name, strike=strike, told=failed(outcome), **options)  # type: ignore[arg-type] # by name, checked when run


def _issuer(
    name: str, strike: Callable[[Case], object], heal: Callable[[Case], object], *, new_token: bool = False
) -> Fault:
    return Fault(name=name, strike=strike, heal=heal, told=failed("issuer_unreachable"), new_token=new_token)


def _token(name: str, outcome: str, strike: Callable[[Case], object], *, new_token: bool = True) -> Fault:
    """A token that STS refuses, until the kubelet brings another."""
    return Fault(
        name=name,
        strike=strike,
        heal=lambda case: case.kubelet.heal(),
        told=failed(outcome),
        new_token=new_token,
        wake=Wake.HEALED,
    )


TRUST_FAULTS = (
    _trust("trust policy names another subject", "access_denied", Case.deny, first_wake=Wake.BACKOFF),
    _trust("role deleted", "access_denied", _delete_role, first_wake=Wake.BACKOFF),
    _trust("OIDC provider deleted", "invalid_identity_token", _delete_provider, first_wake=Wake.BACKOFF),
    _trust("audience is no client id", "invalid_identity_token", _drop_audience, first_wake=Wake.BACKOFF),
    _trust(
        "issuer's CA is another",
        "invalid_identity_token",
        lambda case: case.world.issuer.replace_authority(),
        first_wake=Wake.BACKOFF,
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
    _token("token signed by somebody else", "invalid_identity_token", _forged),
    _token(
        "token for another audience",
        "invalid_identity_token",
        lambda case: case.put_token(case.world.issuer.mint(audience="https://kubernetes.default").encode()),
    ),
)
