import pytest

from sidecar.errors import Outcome, Retry, StsErrorKind
from sidecar.exchange.classify import HINTS, classify, local_failure

_USER = "User: anonymous is not authorized to perform: sts:AssumeRoleWithWebIdentity on resource: arn:aws:iam::1:role/r"
# Messages in the words of AWS; each row of the local AWS's table of denials has its source.
CASES = [
    (code, message, status, outcome, retry)
    for (outcome, retry), answers in {
        (Outcome.ACCESS_DENIED, Retry.PROPAGATION): [
            ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403),
            ("AccessDenied", f"{_USER} with an explicit deny in a resource control policy", 403),
            ("AccessDeniedException", f"{_USER} because no VPC endpoint policy allows the sts:AssumeRole action", 400),
        ],
        (Outcome.INVALID_IDENTITY_TOKEN, Retry.PROPAGATION): [
            ("InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://issuer.test", 400),
            ("InvalidIdentityToken", "Incorrect token audience", 400),
            (
                "InvalidIdentityToken",
                "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint",
                400,
            ),
            ("InvalidIdentityToken", "something new", 400),
            ("InvalidIdentityTokenException", "", 400),
        ],
        (Outcome.ISSUER_UNREACHABLE, Retry.TRANSIENT): [
            ("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider", 400),
            ("IDPCommunicationError", "", 400),
        ],
        (Outcome.EXPIRED_TOKEN, Retry.TRANSIENT): [
            ("ExpiredToken", "", 400),
            ("ExpiredTokenException", "Token expired", 400),
        ],
        (Outcome.REJECTED_CLAIM, Retry.PERMANENT): [
            ("IDPRejectedClaim", "", 403),
        ],
        (Outcome.INVALID_REQUEST, Retry.PERMANENT): [
            ("MalformedPolicyDocument", "", 400),
            ("PackedPolicyTooLarge", "", 400),
            ("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration", 400),
            ("ValidationError", "1 validation error detected", 400),
        ],
        (Outcome.INVALID_REQUEST, Retry.TRANSIENT): [
            ("SignatureDoesNotMatch", "", 403),
        ],
        (Outcome.ACCESS_DENIED, Retry.TRANSIENT): [
            ("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
        ],
        (Outcome.OTHER_ERROR, Retry.TRANSIENT): [
            ("SomethingNew", "", 400),
            ("Client.SomethingNew", "", 403),
        ],
        (Outcome.REGION_DISABLED, Retry.PERMANENT): [
            ("RegionDisabledException", "", 403),
            ("OptInRequired", "", 403),
        ],
        (Outcome.THROTTLED, Retry.THROTTLED): [
            ("Throttling", "Rate exceeded", 400),
            ("ThrottlingException", "", 400),
            ("RequestLimitExceeded", "", 503),
            ("429", "", 429),
        ],
        (Outcome.SERVER_ERROR, Retry.TRANSIENT): [
            ("InternalFailure", "", 500),
            ("ServiceUnavailable", "", 503),
            ("502", "Bad Gateway", 502),
        ],
        (Outcome.INVALID_RESPONSE, Retry.TRANSIENT): [
            ("<html>", "login page", 200),
            ("404", "", 404),
        ],
    }.items()
    for code, message, status in answers
]


@pytest.mark.rule("SDK 28", "Kubernetes D5")
@pytest.mark.parametrize(("code", "message", "status", "outcome", "retry"), CASES)
def test_an_error_answer_of_aws_has_its_outcome_and_schedule(
    code: str, message: str, status: int, outcome: Outcome, retry: Retry
) -> None:
    failure = classify(code, message, status)
    assert (failure.outcome, failure.retry, failure.status) == (outcome, retry, status)


# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("", StsErrorKind.DENIED),
        (" with an explicit deny", StsErrorKind.DENIED),
        (" with an explicit deny in a resource control policy", StsErrorKind.RESOURCE_CONTROL_POLICY),
        (" with an explicit deny in a service control policy", StsErrorKind.SERVICE_CONTROL_POLICY),
        (
            " with an explicit deny in a service control policy: arn:aws:organizations::9:policy/o-a/p-a",
            StsErrorKind.SERVICE_CONTROL_POLICY,
        ),
        (" because no service control policy allows the sts:AssumeRole action", StsErrorKind.SERVICE_CONTROL_POLICY),
        (" with an explicit deny in a VPC endpoint policy", StsErrorKind.ENDPOINT_POLICY),
        (" because no VPC endpoint policy allows the sts:AssumeRole action", StsErrorKind.ENDPOINT_POLICY),
        (" with an explicit deny in a permissions boundary", StsErrorKind.PERMISSIONS_BOUNDARY),
        (" because no permissions boundary allows the sts:AssumeRole action", StsErrorKind.PERMISSIONS_BOUNDARY),
        (" because no session policy allows the sts:AssumeRole action", StsErrorKind.SESSION_POLICY),
        (" because no identity-based policy allows the sts:AssumeRole action", StsErrorKind.IDENTITY_POLICY),
        (" with an explicit deny in a resource-based policy", StsErrorKind.TRUST_POLICY),
        (" because no resource-based policy allows the sts:AssumeRole action", StsErrorKind.TRUST_POLICY),
    ],
)
def test_the_policy_kind_in_a_message_is_recognised_and_the_text_is_dropped(said: str, kind: StsErrorKind) -> None:
    failure = classify("AccessDenied", _USER + said, 403)
    assert failure.kind is kind
    assert failure.outcome is Outcome.ACCESS_DENIED
    assert "arn:aws" not in repr(failure)


def test_two_duration_errors_have_different_hints() -> None:
    longer = classify("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration", 400)
    assert "MaxSessionDuration" in longer.hint
    assert "MaxSessionDuration" not in classify("ValidationError", "", 400).hint


@pytest.mark.rule("SDK 25")
@pytest.mark.mutant("the message of AWS is in the hint, and so in error bodies")
def test_only_a_code_and_a_request_id_of_an_aws_answer_are_kept() -> None:
    secret = "eyJhbGciOi.secret.token"
    kept = classify("SomethingNew", "", 400, "b1946ac9-2b3c-4d5e-8f90-112233445566")
    assert (kept.code, kept.request_id) == ("SomethingNew", "b1946ac9-2b3c-4d5e-8f90-112233445566")
    assert classify("AccessDenied", "", 403, secret).request_id == ""
    for code in ("ValidationError", "AccessDenied", secret):
        assert secret not in repr(classify(code, f"Value '{secret}' at 'webIdentityToken' failed", 400))


@pytest.mark.parametrize(
    "outcome", [Outcome.UNREACHABLE, Outcome.TIMEOUT, Outcome.INVALID_RESPONSE, Outcome.WORKER_FAILED]
)
def test_a_failure_without_an_answer_is_transient(outcome: Outcome) -> None:
    assert local_failure(outcome).retry is Retry.TRANSIENT


@pytest.mark.rule("SDK 28")
def test_every_outcome_but_success_is_reached() -> None:
    reached = {classify(code, message, status).outcome for code, message, status, *_ in CASES}
    local = {Outcome.UNREACHABLE, Outcome.TIMEOUT, Outcome.INVALID_RESPONSE, Outcome.WORKER_FAILED}
    assert reached | local == set(Outcome) - {Outcome.SUCCESS, Outcome.SOURCE_UNAVAILABLE}


@pytest.mark.rule("Kubernetes D5")
def test_every_hint_is_one_line_that_says_what_to_do() -> None:
    assert len(HINTS) > 15
    assert all("\n" not in hint and len(hint) > 30 for hint in HINTS)
