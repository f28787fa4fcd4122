import pytest

from sidecar.errors import Outcome, Retry
from sidecar.exchange.classify import HINTS, classify, local_failure

# Messages as AWS words them; the sources stand beside each row of the local AWS's own table of refusals.
CASES = [
    (code, message, status, outcome, retry)
    for (outcome, retry), answers in {
        (Outcome.ACCESS_DENIED, Retry.PROPAGATION): [
            ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403),
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
        (Outcome.REGION_DISABLED, Retry.PERMANENT): [
            ("RegionDisabledException", "", 403),
        ],
        (Outcome.THROTTLED, Retry.TRANSIENT): [
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
        (Outcome.BAD_ANSWER, Retry.TRANSIENT): [
            ("<html>", "login page", 200),
            ("404", "", 404),
        ],
    }.items()
    for code, message, status in answers
]


@pytest.mark.parametrize(("code", "message", "status", "outcome", "retry"), CASES)
def test_an_answer_of_aws_has_its_class_and_schedule(
    code: str, message: str, status: int, outcome: Outcome, retry: Retry
) -> None:
    failure = classify(code, message, status)
    assert (failure.outcome, failure.retry, failure.status) == (outcome, retry, status)


def test_the_two_durations_have_different_next_steps() -> None:
    longer = classify("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration", 400)
    assert "MaxSessionDuration" in longer.hint
    assert "MaxSessionDuration" not in classify("ValidationError", "", 400).hint


def test_nothing_of_what_aws_said_is_kept_but_a_known_code() -> None:
    secret = "eyJhbGciOi.secret.token"
    for code in ("ValidationError", "AccessDenied", secret):
        assert secret not in repr(classify(code, f"Value '{secret}' at 'webIdentityToken' failed", 400))


@pytest.mark.parametrize("outcome", [Outcome.UNREACHABLE, Outcome.TIMEOUT, Outcome.BAD_ANSWER, Outcome.WORKER_FAILED])
def test_a_failure_without_an_answer_is_transient(outcome: Outcome) -> None:
    assert local_failure(outcome).retry is Retry.TRANSIENT


def test_every_outcome_but_success_can_come_out() -> None:
    reached = {classify(code, message, status).outcome for code, message, status, *_ in CASES}
    local = {Outcome.UNREACHABLE, Outcome.TIMEOUT, Outcome.BAD_ANSWER, Outcome.WORKER_FAILED}
    assert reached | local == set(Outcome) - {Outcome.SUCCESS, Outcome.SOURCE_UNAVAILABLE}


def test_every_hint_is_one_line_that_says_what_to_do() -> None:
    assert len(HINTS) > 15
    assert all("\n" not in hint and len(hint) > 30 for hint in HINTS)
