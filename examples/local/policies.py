"""IAM policy evaluation: the subset that trust policies of OIDC roles and simple permission policies need.

Three-valued: a statement matches, does not match, or uses a feature that is not implemented here. A statement with
such a feature never allows and always denies, so that the result is never more permissive than AWS's.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from examples.local.conditions import condition_holds, wildcard_match

Document = Mapping[str, Any]

_KNOWN_ELEMENTS = frozenset({"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition"})


class Decision(Enum):
    """The result of an evaluation. An explicit deny wins over any allow."""

    ALLOW = "allow"
    EXPLICIT_DENY = "explicit deny"
    IMPLICIT_DENY = "implicit deny"


@dataclass(frozen=True, slots=True)
class Request:
    """The input of an evaluation.

    Attributes:
        action: such as "sts:AssumeRoleWithWebIdentity".
        principals: for a trust policy, {"Federated" or "AWS": the ARNs that stand for the caller}; None for a
            permission policy, which has no Principal.
        resource: for a permission policy, the ARN; None for a trust policy.
        context: condition key in lower case to its value; None as the value is a key that this request knows but
            does not carry.
        absent: what other keys begin with, in lower case, that this request does not carry.
        unknown: what the keys begin with that are unknown, unless the two above have them; a request does not carry
            the rest. "" is every key.
    """

    action: str
    principals: Mapping[str, frozenset[str]] | None = None
    resource: str | None = None
    context: Mapping[str, str | None] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ("",)


def evaluate(documents: tuple[Document, ...], request: Request) -> Decision:
    """Return the decision of `documents` together about `request`; malformed documents never allow."""
    decision = Decision.IMPLICIT_DENY
    for document in documents:
        # Policy variables came with this version; an earlier one takes them for plain text:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html
        variables = document.get("Version") == "2012-10-17"
        for statement in _list(document.get("Statement")):
            matches = _statement(statement, request, variables=variables) if isinstance(statement, Mapping) else None
            effect = statement.get("Effect") if isinstance(statement, Mapping) else "Deny"
            if effect != "Allow" and matches is not False:
                return Decision.EXPLICIT_DENY
            if effect == "Allow" and matches is True:
                decision = Decision.ALLOW
    return decision


def _statement(statement: Document, request: Request, *, variables: bool) -> bool | None:
    return _all(
        None if set(statement) - _KNOWN_ELEMENTS else True,
        _action(statement, request.action),
        _principal(statement.get("Principal"), request.principals),
        _resource(statement.get("Resource"), request.resource),
        _conditions(statement.get("Condition", {}), request, variables=variables),
    )


def _all(*results: bool | None) -> bool | None:
    if False in results:
        return False
    return None if None in results else True


def _action(statement: Document, action: str) -> bool | None:
    if "NotAction" not in statement:
        return _any_match(statement.get("Action"), action, ignore_case=True)
    listed = _any_match(statement["NotAction"], action, ignore_case=True)
    return None if listed is None or "Action" in statement else not listed


def _any_match(patterns: object, value: str, *, ignore_case: bool = False) -> bool | None:
    texts = _list(patterns)
    if not texts or not all(isinstance(text, str) for text in texts):
        return None
    return any(wildcard_match(text, value, ignore_case=ignore_case) for text in texts)


def _principal(element: object, principals: Mapping[str, frozenset[str]] | None) -> bool | None:
    if principals is None or element is None:
        return (principals is None and element is None) or None
    # Everyone: never a way in here, always enough for a Deny. The two forms are equal:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-anonymous
    if not isinstance(element, Mapping) or "*" in _list(element.get("AWS")):
        return None
    for kind, arns in principals.items():
        named = _list(element.get(kind, []))
        if not all(isinstance(arn, str) for arn in named):
            return None
        if not arns.isdisjoint(named):
            return True
        if "*" in named:
            return None
    return False


def _resource(element: object, resource: str | None) -> bool | None:
    if resource is None:
        return True if element is None else None
    return _any_match(element, resource)


def _conditions(element: object, request: Request, *, variables: bool) -> bool | None:
    if not isinstance(element, Mapping):
        return None
    results: list[bool | None] = []
    for operator, keys in element.items():
        if not isinstance(keys, Mapping):
            return None
        for key, values in keys.items():
            known, actual = _actual(key.lower(), request)
            results.append(condition_holds(operator, _list(values), actual, variables=variables) if known else None)
    return _all(*results)


def _actual(key: str, request: Request) -> tuple[bool, str | None]:
    # Key names ignore case: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html
    if key in request.context:
        return True, request.context[key]
    return key.startswith(request.absent) or not key.startswith(request.unknown), None


def _list(value: object) -> list[Any]:
    """Return `value` as a list: IAM accepts a single item in place of a list of one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
