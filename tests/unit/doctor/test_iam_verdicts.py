"""Which verdicts are exact: no more is said than AWS, IAM and the issuer have shown."""

import pytest

from sidecar.doctor.checks import exchange, iam
from sidecar.doctor.verdict import State, Verdict
from sidecar.exchange.answers import TOO_LARGE
from tests.unit.doctor.cases import OTHER_ACCOUNT, UNREADABLE, answer, case, iam_facts, provider, refused, trust

DENIED = ("AccessDenied", "no")
NO_PROVIDER = ("InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://issuer.test")
THUMBPRINT = ("InvalidIdentityToken", "certificate doesn't match configured thumbprint")
AUDIENCE = ("InvalidIdentityToken", "Incorrect token audience")
CONDITION = {"StringEquals": {"aws:SourceVpc": "vpc-1"}}


def names(verdict: Verdict) -> list[str]:
    return [finding.cause.name for finding in verdict.findings]


@pytest.mark.parametrize("here", [(), (provider(account=OTHER_ACCOUNT),)], ids=["without provider", "with provider"])
def test_another_accounts_iam_decides_nothing_about_a_denial(here: tuple) -> None:  # type: ignore[type-arg]
    made = refused(case(iam=iam_facts(*here, account=OTHER_ACCOUNT)), *DENIED)
    verdict = exchange.CHECK.run(made)
    assert names(verdict) == [cause.name for cause in iam.DENIED]
    assert not verdict.exact
    assert iam.CHECK.run(made).state is State.UNKNOWN


def test_another_accounts_provider_breaks_nothing_that_nobody_tried() -> None:
    made = case(iam=iam_facts(provider(account=OTHER_ACCOUNT), account=OTHER_ACCOUNT))
    assert iam.CHECK.run(made).state is State.UNKNOWN


def test_a_provider_that_only_another_account_has_is_told_once_aws_says_there_is_none() -> None:
    made = refused(case(iam=iam_facts(provider(account=OTHER_ACCOUNT), account=OTHER_ACCOUNT)), *NO_PROVIDER)
    for check in (iam.CHECK, exchange.CHECK):
        assert (names(check.run(made)), check.run(made).exact) == (["role_in_other_account"], True)


@pytest.mark.parametrize("public", [None, True], ids=["unreadable", "trusted by a root of this machine"])
def test_a_thumbprint_that_could_not_be_compared_is_not_said_to_fit(public: bool | None) -> None:  # noqa: FBT001
    seen = UNREADABLE if public is None else answer(public=public)
    made = refused(case(iam=iam_facts(provider()), discovery_answer=seen), *THUMBPRINT)
    verdict = exchange.CHECK.run(made)
    assert names(verdict) == [cause.name for cause in iam.THUMBPRINTS]
    assert not verdict.exact
    assert "thumbprint" not in iam.CHECK.run(made).evidence


@pytest.mark.parametrize("said", [DENIED, NO_PROVIDER, THUMBPRINT, AUDIENCE])
def test_where_all_of_it_was_compared_and_fits_it_is_propagation(said: tuple[str, str]) -> None:
    made = refused(case(iam=iam_facts(provider()), discovery_answer=answer()), *said)
    verdict = exchange.CHECK.run(made)
    assert (names(verdict), verdict.exact) == (["propagation"], True)
    assert iam.CHECK.run(made).evidence.startswith("provider, client id, thumbprint and trust policy of account ")


def test_a_condition_that_nobody_can_judge_is_not_exact_beside_another_finding() -> None:
    facts = iam_facts(provider(client_ids=("other",)), policy=trust(**CONDITION))
    made = refused(case(iam=facts), *AUDIENCE)
    for check in (iam.CHECK, exchange.CHECK):
        assert names(check.run(made)) == ["client_id_missing"]


def test_a_condition_that_nobody_can_judge_is_one_of_two_where_all_else_fits() -> None:
    made = refused(case(iam=iam_facts(provider(), policy=trust(**CONDITION))), *DENIED)
    verdict = exchange.CHECK.run(made)
    assert (names(verdict), verdict.exact) == (["trust_condition", "propagation"], False)


def test_without_a_token_nothing_is_said_to_fit() -> None:
    made = case(iam=iam_facts(), token=None)
    verdict = iam.CHECK.run(made)
    assert verdict.state is State.UNKNOWN
    assert "fit" not in verdict.evidence


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


def test_a_refusal_is_told_with_the_facts_of_the_hop_that_met_it() -> None:
    first = refused(case(profiles=PROFILES, profile="app"), "ValidationError", "DurationSeconds exceeds", hop=0)
    assert "--role-name Base --max-session-duration 43200" in mend(exchange.CHECK.run(first))
    second = refused(case(profiles=PROFILES, profile="app"), "RegionDisabledException", hop=1)
    (finding,) = exchange.CHECK.run(second).findings
    assert "in me-south-1" in finding.text(finding.cause.what)


@pytest.mark.parametrize("hop", [0, 1])
def test_a_set_that_sdks_do_not_read_is_mended_in_the_profile(hop: int) -> None:
    made = refused(case(profiles=PROFILES, profile="app"), "x", hop=hop)
    assert made.exchanged
    made.exchanged.failure = TOO_LARGE
    verdict = exchange.CHECK.run(made)
    assert names(verdict) == ["session_policy_too_large"]
    assert "shorten `policy`" in mend(verdict)


def mend(verdict: Verdict) -> str:
    (finding,) = verdict.findings
    return finding.text(finding.cause.mend)
