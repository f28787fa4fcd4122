"""The API server's own audience is never proposed to AWS."""

from dataclasses import replace

import pytest

from sidecar.doctor.audience import for_api_server, for_aws
from sidecar.doctor.aws import IamUnknown
from sidecar.doctor.checks import claims, exchange, iam
from sidecar.doctor.result import CheckResult, CheckStatus, Finding
from sidecar.model import Token
from tests.helpers.values import token
from tests.unit.doctor.cases import accepted, case, iam_facts, provider, trust, with_error

AUDIENCE = ("InvalidIdentityToken", "Incorrect token audience")
OWN = [
    "https://kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc", "kubernetes.default.svc",
    "https://kubernetes.default.svc.example.test", "k3s", "kubernetes", "https://issuer.test", "https://issuer.test/",
]  # fmt: skip


def of(*audience: str) -> Token:
    return replace(token(), audience=audience)


def shown(result: CheckResult) -> str:
    return "".join(text for each in result.findings for text in (each.text(each.cause.fix), each.command()))


@pytest.mark.parametrize("audience", OWN)
@pytest.mark.mutant("the API server's own audience is proposed as a client id")
def test_the_audience_of_the_api_server_is_exact_and_is_never_proposed(audience: str) -> None:
    facts = iam_facts(provider())
    for made in (case(token=of(audience), iam=facts), case(token=of(audience), iam=IamUnknown("no rights"))):
        for check in (claims.CHECK, exchange.CHECK, iam.CHECK):
            result = check.run(with_error(made, *AUDIENCE))
            if check is iam.CHECK and result.status is CheckStatus.SKIPPED:
                continue
            assert [finding.cause.name for finding in result.findings] == ["audience_of_api_server"]
            assert result.exact
            assert audience not in shown(result)
            assert "audience: sts.amazonaws.com" in shown(result)


@pytest.mark.parametrize("audience", OWN)
def test_no_command_of_another_cause_registers_the_audience_of_the_api_server(audience: str) -> None:
    # The provider has this audience already, and the trust policy is for another ServiceAccount.
    other = trust(StringEquals={"issuer.test:sub": "system:serviceaccount:other:x"})
    for facts in (iam_facts(provider(client_ids=(audience,)), policy=other), IamUnknown("no rights")):
        result = exchange.CHECK.run(with_error(case(token=of(audience), iam=facts), "AccessDenied"))
        commands = shown(result).split("aws-oidc-sidecar bootstrap aws")[1:]
        assert commands
        assert not [text for text in commands if f"--audience {audience}" in text]
        names = {finding.cause.name for finding in result.findings}
        assert not names & {"client_id_missing", "token_audience", "trust_audience"}


def test_a_trust_policy_for_aws_is_not_changed_to_the_audience_of_the_api_server() -> None:
    facts = iam_facts(provider(client_ids=("k3s",)))
    made = with_error(case(token=of("k3s"), iam=facts), "AccessDenied")
    result = exchange.CHECK.run(made)
    assert [finding.cause.name for finding in result.findings] == ["audience_of_api_server"]
    ((compared,),) = [finding.compared for finding in result.findings]
    assert (compared.operator, compared.wanted, compared.found) == ("StringEquals", ("sts.amazonaws.com",), ("k3s",))


def test_if_aws_accepts_it_it_is_advice() -> None:
    result = claims.CHECK.run(accepted(case(token=of("k3s"))))
    assert result.status is CheckStatus.ADVICE
    assert result.findings == (Finding(claims.API_AUDIENCE, result.findings[0].facts),)


def test_an_audience_for_aws_is_not_that_of_the_api_server() -> None:
    assert not any(for_api_server(one, "https://issuer.test") for one in ("sts.amazonaws.com", "vault", "kubernetes-x"))
    assert not for_api_server("", "")
    assert for_aws(of("k3s", "vault"), "sts.amazonaws.com") == "vault"
    assert for_aws(of("k3s"), "kubernetes") == "sts.amazonaws.com"
    assert for_aws(of("k3s"), "mine") == "mine"
