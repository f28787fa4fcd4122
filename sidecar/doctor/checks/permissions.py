"""Checks with IAM's policy simulator whether the role has the permissions for the calls of `--call`.

The simulator evaluates the policies of the role, its permissions boundary, and service control policies; it does not
evaluate resource control policies, VPC endpoint policies or, for a role, the policy of a resource:
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from typing import Final

from sidecar.doctor.aws import IamUnknown, SimulatedCall
from sidecar.doctor.case import ISSUER_ONLY, Case, facts_of
from sidecar.doctor.options import Call
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, broken, good, skipped, unknown
from sidecar.exits import Exit
from sidecar.iam.statements import Comparison

__all__ = ("CHECK",)

_NOT_EVALUATED: Final = "resource policies, resource control policies and VPC endpoint policies were not evaluated"
_SIMULATE: Final = (
    "aws iam simulate-principal-policy --policy-source-arn {role} --action-names {action} --resource-arns {resource}"
)


def _cause(name: str, what: str, fix: str) -> Cause:
    return Cause(name, what, fix, _SIMULATE, Exit.REFUSED)


_NOT_ALLOWED: Final = _cause(
    "call_not_allowed",
    "no policy of {role} allows {action} on {resource}",
    "allow it in a policy of the role: `--policy-arn` or `--inline-policy` of `aws-oidc-sidecar bootstrap aws`",
)
_DENIED: Final = _cause(
    "call_denied",
    "a Deny statement denies {action} on {resource} to {role}; it is in {policies}",
    "remove the statement, or exempt this call in it",
)
_BOUNDARY: Final = _cause(
    "call_beyond_boundary",
    "the permissions boundary of {role} does not allow {action} on {resource}",
    "allow {action} on {resource} in the boundary, or remove the boundary from the role",
)
_ORGANIZATION: Final = _cause(
    "call_denied_by_organization",
    "the service control policies of the organization do not allow {action} on {resource} to account {account}",
    "ask the organization's administrator to allow {action} on {resource}",
)


def _run(case: Case) -> CheckResult:
    calls = case.options.calls
    if case.issuer_only:
        return skipped(ISSUER_ONLY)
    if not calls:
        return skipped("permissions of the role are not examined; --call SERVICE:ACTION[:RESOURCE] examines one")
    if not case.role_known:
        return unknown("no role is known here; give --role-arn")
    profile = case.role_chain[-1]
    decisions = {call: case.aws.simulate(profile, call) for call in calls}
    denied = {call: each for call, each in decisions.items() if isinstance(each, SimulatedCall) and each.denied}
    found = [_finding(case, call, each) for call, each in denied.items()]
    evidence = "; ".join(f"{call}: {_text(each)}" for call, each in decisions.items())
    if found:
        return broken(evidence, *found)
    if any(isinstance(each, IamUnknown) or not each.allowed for each in decisions.values()):
        return unknown(f"not proven: {evidence}")
    if profile.policy or profile.policy_arns:
        return unknown(f"not proven: {evidence}; the session policy of the profile limits this, and was not evaluated")
    return good(f"{evidence}; {_NOT_EVALUATED}")


def _text(decision: SimulatedCall | IamUnknown) -> str:
    if isinstance(decision, IamUnknown):
        return decision.why
    if decision.allowed:
        return "allowed"
    if not decision.denied:
        return f"depends on {', '.join(decision.missing_keys)}, which only a real request has"
    return decision.outcome


def _finding(case: Case, call: Call, decision: SimulatedCall) -> Finding:
    policies = ", ".join(decision.policies) or "one of its policies"
    facts = case.facts | facts_of(case.role_chain[-1])
    facts |= {"action": call.action, "resource": call.resource, "policies": policies}
    compared = Comparison("policy simulator", "", "EvalDecision", ("allowed",), (decision.outcome,))
    cause = _DENIED if decision.outcome == "explicitDeny" else _NOT_ALLOWED
    # The simulator's decision does not name these two; its details do.
    if decision.organization_denies:
        cause = _ORGANIZATION
    elif decision.boundary_denies:
        cause = _BOUNDARY
    return Finding(cause, facts, (compared,))


CHECK: Final = Check(
    "permissions",
    "permissions of the role",
    "with `--call` and the permission iam:SimulatePrincipalPolicy: whether the policies of the role allow a call",
    (_NOT_ALLOWED, _DENIED, _BOUNDARY, _ORGANIZATION),
    _run,
    apart=True,
)
