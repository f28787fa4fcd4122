"""What an exchange that failed means: its class, when to try again, and the next step for a person. Pure.

The codes are those of the AWS STS API Reference (AssumeRoleWithWebIdentity, "Errors", and "Common Errors").
AWS gives one code for very different faults, so some rules also look for a fragment of its message. The
message itself ends here: it can quote parameter values, and the token is one.
"""

from dataclasses import dataclass
from typing import Final

from sidecar.errors import Failure, Outcome, Refusal, Retry

__all__ = ("HINTS", "classify", "local_failure")


@dataclass(frozen=True, slots=True)
class _Rule:
    code: str
    fragment: str
    refusal: Refusal
    outcome: Outcome
    retry: Retry
    hint: str


_PROPAGATION_NOTE = "a change in IAM takes some seconds to take effect"

# The first rule whose code matches and whose fragment is in the message decides.
_RULES: Final = (
    _Rule(
        "AccessDenied",
        "",
        Refusal.DENIED,
        Outcome.ACCESS_DENIED,
        Retry.PROPAGATION,
        "the role does not exist or its trust policy does not allow this token: compare the policy's sub and aud "
        f"with the token's; {_PROPAGATION_NOTE}",
    ),
    _Rule(
        "InvalidIdentityToken",
        "verification key",
        Refusal.NO_KEYS,
        Outcome.ISSUER_UNREACHABLE,
        Retry.TRANSIENT,
        "AWS could not fetch the issuer's signing keys: the discovery document and the JWKS must be reachable from "
        "the internet, without a login, and hold this token's key",
    ),
    _Rule(
        "InvalidIdentityToken",
        "thumbprint",
        Refusal.THUMBPRINT,
        Outcome.INVALID_IDENTITY_TOKEN,
        Retry.PROPAGATION,
        "the issuer's certificate changed: put the SHA-1 of the last certificate of its chain into the IAM OIDC "
        "provider's thumbprints",
    ),
    _Rule(
        "InvalidIdentityToken",
        "audience",
        Refusal.AUDIENCE,
        Outcome.INVALID_IDENTITY_TOKEN,
        Retry.PROPAGATION,
        "the token's aud is not a client id of the IAM OIDC provider: add it there, or change the volume's audience",
    ),
    _Rule(
        "InvalidIdentityToken",
        "No OpenIDConnect provider",
        Refusal.NO_PROVIDER,
        Outcome.INVALID_IDENTITY_TOKEN,
        Retry.PROPAGATION,
        f"the role's account has no IAM OIDC provider whose URL equals the token's iss: create it; {_PROPAGATION_NOTE}",
    ),
    _Rule(
        "InvalidIdentityToken",
        "",
        Refusal.BAD_TOKEN,
        Outcome.INVALID_IDENTITY_TOKEN,
        Retry.PROPAGATION,
        "AWS does not accept this token: its issuer, signing key or audience does not fit the IAM OIDC provider",
    ),
    _Rule(
        "ExpiredToken",
        "",
        Refusal.EXPIRED,
        Outcome.EXPIRED_TOKEN,
        Retry.TRANSIENT,
        "the token is past its exp: the kubelet has stopped rotating it, or this node's clock is wrong",
    ),
    _Rule(
        "IDPCommunicationError",
        "",
        Refusal.UNREACHABLE_ISSUER,
        Outcome.ISSUER_UNREACHABLE,
        Retry.TRANSIENT,
        "AWS could not reach the issuer: it must answer from the internet within 5 seconds",
    ),
    _Rule(
        "IDPRejectedClaim",
        "",
        Refusal.REJECTED_CLAIM,
        Outcome.REJECTED_CLAIM,
        Retry.PERMANENT,
        "the issuer rejected the token: compare its claims with what the IAM OIDC provider expects",
    ),
    _Rule(
        "ValidationError",
        "DurationSeconds",
        Refusal.DURATION,
        Outcome.INVALID_REQUEST,
        Retry.PERMANENT,
        "the duration is longer than the role's MaxSessionDuration, or than one hour for a chained role: "
        "lower the duration setting or raise the role's",
    ),
    _Rule(
        "ValidationError",
        "",
        Refusal.BAD_PARAMETER,
        Outcome.INVALID_REQUEST,
        Retry.PERMANENT,
        "AWS refuses a parameter: check the role ARN, session name, duration and policies",
    ),
    _Rule(
        "MalformedPolicyDocument",
        "",
        Refusal.BAD_POLICY,
        Outcome.INVALID_REQUEST,
        Retry.PERMANENT,
        "the session policy is not a valid IAM policy",
    ),
    _Rule(
        "PackedPolicyTooLarge",
        "",
        Refusal.POLICY_TOO_LARGE,
        Outcome.INVALID_REQUEST,
        Retry.PERMANENT,
        "session policy, policy ARNs and tags together are too large: shorten them",
    ),
    _Rule(
        "RegionDisabled",
        "",
        Refusal.REGION_DISABLED,
        Outcome.REGION_DISABLED,
        Retry.PERMANENT,
        "STS is not active in this region for the role's account: activate it or set another region",
    ),
    *(
        _Rule(
            code,
            "",
            Refusal.THROTTLED,
            Outcome.THROTTLED,
            Retry.TRANSIENT,
            "AWS asks for fewer requests; it is tried again",
        )
        for code in ("Throttling", "RequestLimitExceeded", "TooManyRequests", "SlowDown")
    ),
)

_LOCAL: Final = {
    Outcome.UNREACHABLE: "STS cannot be reached: check DNS, egress rules, proxy and CA settings",
    Outcome.TIMEOUT: "STS did not answer in time: check egress rules and proxy",
    Outcome.BAD_ANSWER: "what answered is not STS, or its answer is not usable: check the STS endpoint and proxy",
    Outcome.WORKER_FAILED: "the exchange process did not run to its end: check the memory and process limits",
}
_SERVER_HINT = "AWS has an internal error; it is tried again"

HINTS: Final = (*(rule.hint for rule in _RULES), *_LOCAL.values(), _SERVER_HINT)
"""Every hint there is, for the tests that look at each."""

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


def classify(code: str, message: str, status: int) -> Failure:
    """Return what an AWS error answer means.

    Args:
        code: the error code as AWS sent it; any spelling of the field's older and newer names
            (``ExpiredToken``, ``ExpiredTokenException``).
        message: AWS's text; looked at, never kept.
        status: the HTTP status.
    """
    known = code.removesuffix("Exception")
    for rule in _RULES:
        if rule.code == known and rule.fragment.lower() in message.lower():
            return Failure(rule.outcome, rule.retry, rule.hint, rule.code, status, rule.refusal)
    if status == _TOO_MANY_REQUESTS:
        return Failure(Outcome.THROTTLED, Retry.TRANSIENT, "AWS asks for fewer requests; it is tried again", "", status)
    if status >= _SERVER_ERROR:
        return Failure(Outcome.SERVER_ERROR, Retry.TRANSIENT, _SERVER_HINT, "", status)
    # A code that is not in the table came from the network: it is dropped, since it could hold anything.
    return Failure(Outcome.BAD_ANSWER, Retry.TRANSIENT, _LOCAL[Outcome.BAD_ANSWER], "", status)


def local_failure(outcome: Outcome, code: str = "") -> Failure:
    """Return what a failure without an answer from AWS means.

    Args:
        outcome: UNREACHABLE, TIMEOUT, BAD_ANSWER or WORKER_FAILED.
        code: the name of an exception class or errno of ours; never text from outside.

    Raises:
        KeyError: another outcome.
    """
    return Failure(outcome, Retry.TRANSIENT, _LOCAL[outcome], code)
