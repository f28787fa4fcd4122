"""Classifies a failed exchange: its outcome, when to retry, and the next step for a person. Pure.

The codes are those of the AWS STS API Reference (AssumeRoleWithWebIdentity, "Errors", and "Common Errors").
AWS uses one code for very different faults, so some rules also search a fragment in its message. The
message itself is not kept: it can quote parameter values, and the token is one.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from sidecar.errors import Failure, Outcome, Retry, StsErrorKind

__all__ = ("HINTS", "classify", "local_failure")


@dataclass(frozen=True, slots=True)
class _Rule:
    code: str
    fragment: str
    kind: StsErrorKind
    outcome: Outcome
    retry: Retry
    hint: str


_THROTTLED_HINT = "AWS throttles requests; the exchange is retried"
_PROPAGATION_NOTE = "a change in IAM takes some seconds to take effect"

# The kinds of policy that AWS names, "with an explicit deny in a ..." or "because no ... allows the ... action":
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
_KINDS = (
    (
        "resource control policy",
        StsErrorKind.RESOURCE_CONTROL_POLICY,
        "a resource control policy of the organization denies the exchange: have its administrator exempt the role",
    ),
    (
        "service control policy",
        StsErrorKind.SERVICE_CONTROL_POLICY,
        "a service control policy of the organization denies the exchange: have its administrator exempt the role",
    ),
    (
        "VPC endpoint policy",
        StsErrorKind.ENDPOINT_POLICY,
        "the policy of the VPC endpoint for STS does not allow the exchange: allow the action and the role in it",
    ),
    (
        "permissions boundary",
        StsErrorKind.PERMISSIONS_BOUNDARY,
        "the permissions boundary of the calling role does not allow the exchange: allow the action in it",
    ),
    (
        "session policy",
        StsErrorKind.SESSION_POLICY,
        "the session policy of the source profile does not allow the exchange: allow the action in it",
    ),
    (
        "identity-based policy",
        StsErrorKind.IDENTITY_POLICY,
        "no policy of the calling role allows the exchange, or one denies it: allow sts:AssumeRole on this role",
    ),
    (
        "resource-based policy",
        StsErrorKind.TRUST_POLICY,
        f"the role's trust policy does not allow the exchange: compare it with the token; {_PROPAGATION_NOTE}",
    ),
)

# The first rule whose code matches and whose fragment is in the message applies.
_RULES: Final = (
    *(
        _Rule("AccessDenied", fragment, kind, Outcome.ACCESS_DENIED, Retry.PROPAGATION, hint)
        for fragment, kind, hint in _KINDS
    ),
    _Rule(
        "AccessDenied",
        "",
        StsErrorKind.DENIED,
        Outcome.ACCESS_DENIED,
        Retry.PROPAGATION,
        "the role does not exist or its trust policy does not allow this token: compare the policy's sub and aud "
        f"with the token's; {_PROPAGATION_NOTE}",
    ),
    _Rule(
        "InvalidIdentityToken",
        "verification key",
        StsErrorKind.NO_KEYS,
        Outcome.ISSUER_UNREACHABLE,
        Retry.TRANSIENT,
        "AWS could not fetch the issuer's signing keys: the discovery document and the JWKS must be reachable from "
        "the internet, without a login, and contain this token's key",
    ),
    _Rule(
        "InvalidIdentityToken",
        "thumbprint",
        StsErrorKind.THUMBPRINT,
        Outcome.INVALID_IDENTITY_TOKEN,
        Retry.PROPAGATION,
        "the issuer's certificate changed: put the SHA-1 of the last certificate of its chain into the IAM OIDC "
        "provider's thumbprints",
    ),
    _Rule(
        "InvalidIdentityToken",
        "audience",
        StsErrorKind.AUDIENCE,
        Outcome.INVALID_IDENTITY_TOKEN,
        Retry.PROPAGATION,
        "the token's aud is not a client id of the IAM OIDC provider: add it there, or change the volume's audience",
    ),
    _Rule(
        "InvalidIdentityToken",
        "No OpenIDConnect provider",
        StsErrorKind.NO_PROVIDER,
        Outcome.INVALID_IDENTITY_TOKEN,
        Retry.PROPAGATION,
        f"the role's account has no IAM OIDC provider whose URL equals the token's iss: create it; {_PROPAGATION_NOTE}",
    ),
    _Rule(
        "InvalidIdentityToken",
        "",
        StsErrorKind.BAD_TOKEN,
        Outcome.INVALID_IDENTITY_TOKEN,
        Retry.PROPAGATION,
        "AWS rejects this token: its issuer, signing key or audience does not match the IAM OIDC provider",
    ),
    _Rule(
        "ExpiredToken",
        "",
        StsErrorKind.EXPIRED,
        Outcome.EXPIRED_TOKEN,
        Retry.TRANSIENT,
        "the token is past its exp: the kubelet has stopped rotating it, or this node's clock is wrong",
    ),
    _Rule(
        "IDPCommunicationError",
        "",
        StsErrorKind.UNREACHABLE_ISSUER,
        Outcome.ISSUER_UNREACHABLE,
        Retry.TRANSIENT,
        "AWS could not reach the issuer: it must answer from the internet within 5 seconds",
    ),
    _Rule(
        "IDPRejectedClaim",
        "",
        StsErrorKind.REJECTED_CLAIM,
        Outcome.REJECTED_CLAIM,
        Retry.PERMANENT,
        "the issuer rejected the token: compare its claims with what the IAM OIDC provider expects",
    ),
    _Rule(
        "ValidationError",
        "DurationSeconds",
        StsErrorKind.DURATION,
        Outcome.INVALID_REQUEST,
        Retry.PERMANENT,
        "the duration is longer than the role's MaxSessionDuration, or than one hour for a chained role: "
        "lower the duration setting or raise the role's",
    ),
    _Rule(
        "ValidationError",
        "",
        StsErrorKind.BAD_PARAMETER,
        Outcome.INVALID_REQUEST,
        Retry.PERMANENT,
        "AWS rejects a parameter: check the role ARN, session name, duration and policies",
    ),
    _Rule(
        "MalformedPolicyDocument",
        "",
        StsErrorKind.BAD_POLICY,
        Outcome.INVALID_REQUEST,
        Retry.PERMANENT,
        "the session policy is not a valid IAM policy",
    ),
    _Rule(
        "PackedPolicyTooLarge",
        "",
        StsErrorKind.POLICY_TOO_LARGE,
        Outcome.INVALID_REQUEST,
        Retry.PERMANENT,
        "session policy, policy ARNs and tags together are too large: shorten them",
    ),
    _Rule(
        "RegionDisabled",
        "",
        StsErrorKind.REGION_DISABLED,
        Outcome.REGION_DISABLED,
        Retry.PERMANENT,
        "STS is not active in this region for the role's account: activate it or set another region",
    ),
    _Rule(
        "OptInRequired",
        "",
        StsErrorKind.OPT_IN,
        Outcome.REGION_DISABLED,
        Retry.PERMANENT,
        "the role's account is not subscribed to this service or region: enable the region, or set another region",
    ),
    _Rule(
        "InvalidClientTokenId",
        "",
        StsErrorKind.SOURCE_CREDENTIALS,
        Outcome.ACCESS_DENIED,
        Retry.TRANSIENT,
        "STS does not accept the credentials of the source profile: its role was deleted and created again; refresh "
        "all credentials by SIGHUP",
    ),
    _Rule(
        "SignatureDoesNotMatch",
        "",
        StsErrorKind.SIGNATURE,
        Outcome.INVALID_REQUEST,
        Retry.TRANSIENT,
        "STS rejects the signature: a proxy changes the request, or this node's clock is wrong",
    ),
    *(
        _Rule(
            code,
            "",
            StsErrorKind.THROTTLED,
            Outcome.THROTTLED,
            Retry.THROTTLED,
            _THROTTLED_HINT,
        )
        for code in ("Throttling", "RequestLimitExceeded", "TooManyRequests", "SlowDown")
    ),
)

_LOCAL: Final = {
    Outcome.UNREACHABLE: "STS cannot be reached: check DNS, egress rules, proxy and CA settings",
    Outcome.TIMEOUT: "STS did not answer in time: check egress rules and proxy",
    Outcome.INVALID_RESPONSE: "the answer is not from STS or is not usable: check the STS endpoint and proxy",
    Outcome.WORKER_FAILED: "the exchange process ended early: check the memory and process limits",
}
_SERVER_HINT = "AWS has an internal error; the exchange is retried"

_OTHER_HINT = "STS returned an error that is not known here: look up its code, and its request id in CloudTrail"

HINTS: Final = (*(rule.hint for rule in _RULES), *_LOCAL.values(), _SERVER_HINT, _OTHER_HINT)
"""All hints, for the tests that check each of them."""

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


# The forms of an error code (such as OptInRequired) and of a request id of AWS. A text of another form is dropped: a
# server on the way could put a part of the token there, and that begins with a lower-case letter.
_CODE = re.compile(r"([A-Z][A-Za-z]{1,31}\.)?[A-Z][A-Za-z]{1,63}")
_REQUEST_ID = re.compile("[A-Za-z0-9-]{1,64}")


def classify(code: str, message: str, status: int, request_id: str = "") -> Failure:
    """Return the failure that an AWS error answer stands for.

    Args:
        code: the error code as AWS sent it, with or without the suffix ``Exception``
            (``ExpiredToken``, ``ExpiredTokenException``).
        message: AWS's text; searched, never kept.
        status: the HTTP status.
        request_id: of the response; dropped if it has not the form of one.
    """
    failure = _classify(code, message, status)
    return replace(failure, request_id=request_id) if _REQUEST_ID.fullmatch(request_id) else failure


def _classify(code: str, message: str, status: int) -> Failure:
    known = code.removesuffix("Exception")
    for rule in _RULES:
        if rule.code == known and rule.fragment.lower() in message.lower():
            return Failure(rule.outcome, rule.retry, rule.hint, rule.code, status, rule.kind)
    if status == _TOO_MANY_REQUESTS:
        return Failure(Outcome.THROTTLED, Retry.THROTTLED, _THROTTLED_HINT, "", status)
    if status >= _SERVER_ERROR:
        return Failure(Outcome.SERVER_ERROR, Retry.TRANSIENT, _SERVER_HINT, "", status)
    if _CODE.fullmatch(code):
        return Failure(Outcome.OTHER_ERROR, Retry.TRANSIENT, _OTHER_HINT, code, status)
    # A code of another form came from the network: it is dropped, since it could contain anything.
    return Failure(Outcome.INVALID_RESPONSE, Retry.TRANSIENT, _LOCAL[Outcome.INVALID_RESPONSE], "", status)


def local_failure(outcome: Outcome, code: str = "") -> Failure:
    """Return the failure for an exchange without a usable answer from AWS.

    Args:
        outcome: UNREACHABLE, TIMEOUT, INVALID_RESPONSE or WORKER_FAILED.
        code: the name of an exception class, of an errno, or of a check here; never text from outside.

    Raises:
        KeyError: another outcome.
    """
    return Failure(outcome, Retry.TRANSIENT, _LOCAL[outcome], code)
