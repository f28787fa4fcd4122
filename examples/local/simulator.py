"""SimulatePrincipalPolicy for roles: the permission policies of a role, evaluated as for a real call.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
Without organisations, permissions boundaries and context entries: a request that is simulated has no condition key.
"""

from collections.abc import Iterable, Mapping
from itertools import count, takewhile

from examples.local.errors import AwsError, Reason
from examples.local.iam_view import IamSnapshot, Role
from examples.local.policies import Decision, Document, Request, evaluate
from examples.local.wire import HttpResponse, Operation, escape, success

_DECISIONS = {
    Decision.ALLOW: "allowed",
    Decision.EXPLICIT_DENY: "explicitDeny",
    Decision.IMPLICIT_DENY: "implicitDeny",
}


def simulated(operation: Operation, iam: IamSnapshot) -> HttpResponse:
    """Return the decision about each action on each resource.

    Raises:
        AwsError: `NO_SUCH_ROLE` if there is no such role.
    """
    arn = operation.parameters.get("PolicySourceArn", "")
    role = iam.roles.get(arn)
    if role is None:
        raise AwsError(Reason.NO_SUCH_ROLE, role=arn.rpartition("/")[2])
    actions, resources = (_members(operation.parameters, name) for name in ("ActionNames", "ResourceArns"))
    results = "".join(_result(role, action, resource) for action in actions for resource in resources or ["*"])
    return success(
        operation, f"    <EvaluationResults>{results}</EvaluationResults>\n    <IsTruncated>false</IsTruncated>\n"
    )


def _members(parameters: Mapping[str, str], name: str) -> list[str]:
    keys = (f"{name}.member.{number}" for number in count(1))
    return [parameters[key] for key in takewhile(parameters.__contains__, keys)]


def _result(role: Role, action: str, resource: str) -> str:
    decision = _DECISIONS[evaluate(role.permissions, Request(action, resource=resource, unknown=()))]
    missing = "".join(f"<member>{escape(key)}</member>" for key in sorted(set(_keys(role.permissions))))
    specific = (
        f"<member><EvalResourceName>{escape(resource)}</EvalResourceName>"
        f"<EvalResourceDecision>{decision}</EvalResourceDecision>"
        f"<MissingContextValues>{missing}</MissingContextValues></member>"
    )
    return (
        f"<member><EvalActionName>{escape(action)}</EvalActionName><EvalDecision>{decision}</EvalDecision>"
        f"<MissingContextValues>{missing if resource == '*' else ''}</MissingContextValues>"
        f"<ResourceSpecificResults>{'' if resource == '*' else specific}</ResourceSpecificResults></member>"
    )


def _keys(policies: Iterable[Document]) -> Iterable[str]:
    for policy in policies:
        statements = policy.get("Statement", [])
        for statement in [statements] if isinstance(statements, Mapping) else statements:
            for keys in statement.get("Condition", {}).values():
                yield from keys
