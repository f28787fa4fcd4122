"""Which results are exact: only those that AWS, IAM and the issuer prove."""

import pytest

from sidecar.doctor.aws import IamUnknown
from sidecar.doctor.checks import exchange, iam, iam_causes
from sidecar.doctor.result import CheckResult, CheckStatus
from sidecar.doctor.sts import Stage, StsProbe
from sidecar.exchange.messages import TOO_LARGE
from tests.helpers.clock import FakeClock
from tests.unit.doctor.cases import OTHER_ACCOUNT, UNREADABLE, answer, case, iam_facts, provider, trust, with_error

DENIED = ("AccessDenied", "no")
NO_PROVIDER = ("InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://issuer.test")
THUMBPRINT = ("InvalidIdentityToken", "certificate doesn't match configured thumbprint")
AUDIENCE = ("InvalidIdentityToken", "Incorrect token audience")
BY_TRUST = ("AccessDenied", "with an explicit deny in a resource-based policy")
CONDITION = {"StringEquals": {"aws:SourceVpc": "vpc-1"}}


def names(result: CheckResult) -> list[str]:
    return [finding.cause.name for finding in result.findings]


@pytest.mark.parametrize("here", [(), (provider(account=OTHER_ACCOUNT),)], ids=["without provider", "with provider"])
def test_iam_of_another_account_does_not_explain_a_denial(here: tuple) -> None:  # type: ignore[type-arg]
    made = with_error(case(iam=iam_facts(*here, account=OTHER_ACCOUNT)), *DENIED)
    result = exchange.CHECK.run(made)
    assert names(result) == [*(cause.name for cause in iam_causes.DENIED), "unexplained"]
    assert not result.exact
    assert iam.CHECK.run(made).status is CheckStatus.UNKNOWN


def test_without_an_exchange_a_provider_in_another_account_is_not_a_fault() -> None:
    made = case(iam=iam_facts(provider(account=OTHER_ACCOUNT), account=OTHER_ACCOUNT))
    assert iam.CHECK.run(made).status is CheckStatus.UNKNOWN


def test_a_provider_in_another_account_is_exact_if_aws_finds_none_in_the_roles_account() -> None:
    made = with_error(case(iam=iam_facts(provider(account=OTHER_ACCOUNT), account=OTHER_ACCOUNT)), *NO_PROVIDER)
    for check in (iam.CHECK, exchange.CHECK):
        assert (names(check.run(made)), check.run(made).exact) == (["role_in_other_account"], True)


@pytest.mark.parametrize("public", [None, True], ids=["unreadable", "trusted by a root of this machine"])
def test_a_thumbprint_that_was_not_compared_is_not_reported_as_fitting(public: bool | None) -> None:  # noqa: FBT001
    seen = UNREADABLE if public is None else answer(public=public)
    made = with_error(case(iam=iam_facts(provider()), discovery_response=seen), *THUMBPRINT)
    result = exchange.CHECK.run(made)
    assert names(result) == [*(cause.name for cause in iam_causes.THUMBPRINTS), "unexplained"]
    assert not result.exact
    assert "thumbprint" not in iam.CHECK.run(made).evidence


OUTSIDE_IAM = {
    DENIED: ["resource_control_policy", "vpc_endpoint_policy", "service_control_policy"],
    NO_PROVIDER: [],
    THUMBPRINT: ["other_certificate"],
    AUDIENCE: [],
    BY_TRUST: [],
}
NOW = FakeClock().now().wall


@pytest.mark.parametrize("error", OUTSIDE_IAM)
def test_if_iam_fits_and_nothing_is_new_propagation_is_one_of_the_last_possible_causes(
    error: tuple[str, str],
) -> None:
    facts = iam_facts(provider(created_at=NOW - 301), role_created_at=NOW - 301)
    made = with_error(case(iam=facts, discovery_response=answer()), *error)
    result = exchange.CHECK.run(made)
    assert (names(result), result.exact) == ([*OUTSIDE_IAM[error], "propagation", "unexplained"], False)
    assert all(finding.text(finding.cause.to_confirm) for finding in result.findings)
    assert result.evidence.endswith("UTC; IAM has no date of later changes")
    assert iam.CHECK.run(made).evidence.startswith("provider, client id, thumbprint and trust policy of account ")


@pytest.mark.parametrize("error", OUTSIDE_IAM)
@pytest.mark.parametrize(("role_age", "provider_age"), [(299, 1e6), (1e6, 299), (-60, 1e6)])
def test_if_role_or_provider_is_minutes_old_propagation_is_the_first_possible_cause(
    error: tuple[str, str], role_age: float, provider_age: float
) -> None:
    facts = iam_facts(provider(created_at=NOW - provider_age), role_created_at=NOW - role_age)
    result = exchange.CHECK.run(with_error(case(iam=facts, discovery_response=answer()), *error))
    assert (names(result), result.exact) == (["propagation", *OUTSIDE_IAM[error], "unexplained"], False)


def test_the_age_of_a_role_is_measured_by_the_clock_of_sts() -> None:
    # The clock of this machine is one hour ahead.
    probe = StsProbe("sts.test", 443, Stage.ANSWERED, "", "", NOW - 3600, NOW)
    facts = iam_facts(provider(), role_created_at=NOW - 3610)
    result = exchange.CHECK.run(with_error(case(iam=facts, sts=probe), *DENIED))
    assert names(result)[0] == "propagation"


KINDS = {
    "resource control policy": "resource_control_policy",
    "service control policy": "service_control_policy",
    "VPC endpoint policy": "vpc_endpoint_policy",
    "permissions boundary": "permissions_boundary",
    "session policy": "session_policy_denies",
    "identity-based policy": "identity_policy",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", [0, 1])
def test_the_kind_of_policy_that_aws_names_is_exact_and_its_message_is_not_quoted(kind: str, position: int) -> None:
    error = f"User: eyJhbGciOi is not authorized to perform: x on resource: y with an explicit deny in a {kind}"
    made = with_error(
        case(profiles=PROFILES, profile="app", iam=IamUnknown("no rights")), "AccessDenied", error, position
    )
    result = exchange.CHECK.run(made)
    assert (names(result), result.exact) == ([KINDS[kind]], True)
    (finding,) = result.findings
    text = result.evidence + "".join(map(finding.text, (finding.cause.what, finding.cause.to_confirm)))
    assert "eyJhbGciOi" not in text
    assert ("role/Base", "role/App")[position] in text


def test_a_session_policy_is_a_possible_cause_in_a_chain_only_if_the_source_profile_has_one() -> None:
    plain = with_error(case(profiles=PROFILES, profile="app"), *DENIED, position=1)
    guesses = ["chain_refused", "service_control_policy", "resource_control_policy", "permissions_boundary",
               "vpc_endpoint_policy", "propagation", "unexplained"]  # fmt: skip
    assert names(exchange.CHECK.run(plain)) == guesses
    policy = "policy_arns = arn:aws:iam::aws:policy/ReadOnlyAccess\n[profile app]"
    narrowed = with_error(case(profiles=PROFILES.replace("[profile app]", policy), profile="app"), *DENIED, position=1)
    assert names(exchange.CHECK.run(narrowed)) == [guesses[0], "session_policy_denies", *guesses[1:]]


def test_credentials_of_the_source_role_that_sts_does_not_accept_are_no_denial() -> None:
    made = with_error(case(profiles=PROFILES, profile="app"), "InvalidClientTokenId", position=1)
    result = exchange.CHECK.run(made)
    assert (names(result), result.exact) == (["source_credentials_refused"], True)


def test_a_condition_that_cannot_be_evaluated_is_left_out_if_there_is_an_exact_cause() -> None:
    facts = iam_facts(provider(client_ids=("other",)), policy=trust(**CONDITION))
    made = with_error(case(iam=facts), *AUDIENCE)
    for check in (iam.CHECK, exchange.CHECK):
        assert names(check.run(made)) == ["client_id_missing"]


def test_a_condition_that_cannot_be_evaluated_is_a_possible_cause_if_the_rest_fits() -> None:
    made = with_error(case(iam=iam_facts(provider(), policy=trust(**CONDITION))), *DENIED)
    result = exchange.CHECK.run(made)
    assert (names(result), result.exact) == (
        ["trust_condition", *OUTSIDE_IAM[DENIED], "propagation", "unexplained"],
        False,
    )


def test_without_a_token_nothing_is_reported_as_fitting() -> None:
    made = case(iam=iam_facts(), token=None)
    result = iam.CHECK.run(made)
    assert result.status is CheckStatus.UNKNOWN
    assert "fit" not in result.evidence


PROFILES = """
[profile base]
role_arn = arn:aws:iam::123456789012:role/Base
duration_seconds = 43200
region = eu-central-1
[profile app]
role_arn = arn:aws:iam::123456789012:role/App
source_profile = base
region = me-south-1
"""


def test_an_error_is_reported_with_the_facts_of_the_profile_that_failed() -> None:
    first = with_error(case(profiles=PROFILES, profile="app"), "ValidationError", "DurationSeconds exceeds", position=0)
    assert "--role-name Base --max-session-duration 43200" in fix(exchange.CHECK.run(first))
    second = with_error(case(profiles=PROFILES, profile="app"), "RegionDisabledException", position=1)
    (finding,) = exchange.CHECK.run(second).findings
    assert "in me-south-1" in finding.text(finding.cause.what)


@pytest.mark.parametrize("position", [0, 1])
def test_credentials_that_are_too_large_for_sdks_are_fixed_in_the_profile(position: int) -> None:
    made = with_error(case(profiles=PROFILES, profile="app"), "x", position=position)
    assert made.exchange_result
    made.exchange_result.failure = TOO_LARGE
    result = exchange.CHECK.run(made)
    assert names(result) == ["session_policy_too_large"]
    assert "shorten `policy`" in fix(result)


def fix(result: CheckResult) -> str:
    (finding,) = result.findings
    return finding.text(finding.cause.fix)
