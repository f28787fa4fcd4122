"""The simulator's answer, and what the doctor makes of it."""

from typing import Any

import pytest

from sidecar.doctor.aws import IamUnknown, SimulatedCall, decision_of
from sidecar.doctor.checks import permissions
from sidecar.doctor.options import Call
from sidecar.doctor.result import CheckResult, CheckStatus
from tests.unit.doctor.cases import case

CALL = Call("s3:GetObject", "arn:aws:s3:::b/k")


class Aws:
    def __init__(self, answer: SimulatedCall | IamUnknown) -> None:
        self.answer = answer

    def simulate(self, *_: object) -> SimulatedCall | IamUnknown:
        return self.answer


def run(answer: SimulatedCall | IamUnknown, **options: Any) -> CheckResult:  # noqa: ANN401 - of all kinds
    return permissions.CHECK.run(case(calls=(CALL,), aws=Aws(answer), **options))


@pytest.mark.parametrize(
    ("decision", "cause"),
    [
        (SimulatedCall("implicitDeny"), "call_not_allowed"),
        (SimulatedCall("explicitDeny", ("aws:x",)), "call_denied"),
        (SimulatedCall("implicitDeny", boundary_denies=True), "call_beyond_boundary"),
        (SimulatedCall("explicitDeny", boundary_denies=True, organization_denies=True), "call_denied_by_organization"),
    ],
)
def test_the_details_of_a_denial_name_the_kind_of_policy(decision: SimulatedCall, cause: str) -> None:
    result = run(decision)
    assert ([finding.cause.name for finding in result.findings], result.exact) == ([cause], True)


@pytest.mark.parametrize("answer", [IamUnknown("no rights"), SimulatedCall("implicitDeny", ("aws:SourceVpc",))])
def test_what_is_not_decided_is_not_proven(answer: SimulatedCall | IamUnknown) -> None:
    result = run(answer)
    assert (result.status, result.evidence[:11]) == (CheckStatus.UNKNOWN, "not proven:")


def test_a_session_policy_limits_what_the_simulator_allows() -> None:
    profiles = "[default]\nrole_arn = arn:aws:iam::123456789012:role/R\npolicy = {}\n"
    assert run(SimulatedCall("allowed")).status is CheckStatus.GOOD
    assert run(SimulatedCall("allowed"), profiles=profiles).status is CheckStatus.UNKNOWN
    assert run(SimulatedCall("allowed"), known=False).status is CheckStatus.UNKNOWN


def test_the_result_of_the_resource_counts_and_not_that_of_all_resources() -> None:
    own = {
        "EvalResourceDecision": "allowed",
        "MissingContextValues": ["a"],
        "MatchedStatements": [{"SourcePolicyId": "p"}, {"SourcePolicyId": "p"}],
        "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False},
    }
    whole = {"EvalDecision": "implicitDeny", "OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}
    assert decision_of({**whole, "ResourceSpecificResults": [own]}) == SimulatedCall(
        "allowed", ("a",), ("p",), boundary_denies=True, organization_denies=True
    )
    assert decision_of({"EvalDecision": "explicitDeny"}) == SimulatedCall("explicitDeny")
