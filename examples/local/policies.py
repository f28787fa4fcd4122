"""IAM policy evaluation, as far as trust policies of OIDC roles and simple permission policies need it.

Three-valued: a statement matches, does not, or uses something that is not implemented here. The unknown never
allows and always denies, so that a policy which this file cannot read is never more open than at AWS.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Document = Mapping[str, Any]

_KNOWN_ELEMENTS = frozenset({"Sid", "Effect", "Principal", "Action", "Resource", "Condition"})


class Decision(Enum):
    """The result of an evaluation. An explicit deny wins over any allow."""

    ALLOW = "allow"
    EXPLICIT_DENY = "explicit deny"
    IMPLICIT_DENY = "implicit deny"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a policy.

    Attributes:
        action: such as "sts:AssumeRoleWithWebIdentity".
        principals: for a trust policy, {"Federated" or "AWS": the ARNs that stand for the caller}; None for a
            permission policy, which has no Principal.
        resource: for a permission policy, the ARN; None for a trust policy.
        context: condition key in lower case to its value; None as the value is a key that this request knows but
            does not carry. A key that is not here at all is unknown.
    """

    action: str
    principals: Mapping[str, frozenset[str]] | None = None
    resource: str | None = None
    context: Mapping[str, str | None] = field(default_factory=dict)


def evaluate(documents: tuple[Document, ...], request: Request) -> Decision:
    """Return what `documents` together decide about `request`; malformed documents never allow."""
    decision = Decision.IMPLICIT_DENY
    for document in documents:
        for statement in _list(document.get("Statement")):
            matches = _statement(statement, request) if isinstance(statement, Mapping) else None
            effect = statement.get("Effect") if isinstance(statement, Mapping) else "Deny"
            if effect != "Allow" and matches is not False:
                return Decision.EXPLICIT_DENY
            if effect == "Allow" and matches is True:
                decision = Decision.ALLOW
    return decision


def wildcard_match(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    """Return whether `value` matches `pattern`, where * is any run of characters and ? is any one."""
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(character) or re.escape(character) for character in pattern)
    return re.fullmatch(expression, value, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


def _statement(statement: Document, request: Request) -> bool | None:
    return _all(
        None if set(statement) - _KNOWN_ELEMENTS else True,
        _any_match(statement.get("Action"), request.action, ignore_case=True),
        _principal(statement.get("Principal"), request.principals),
        _resource(statement.get("Resource"), request.resource),
        _conditions(statement.get("Condition", {}), request.context),
    )


def _all(*results: bool | None) -> bool | None:
    if False in results:
        return False
    return None if None in results else True


def _any_match(patterns: object, value: str, *, ignore_case: bool = False) -> bool | None:
    texts = _list(patterns)
    if not texts or not all(isinstance(text, str) for text in texts):
        return None
    return any(wildcard_match(text, value, ignore_case=ignore_case) for text in texts)


def _principal(element: object, principals: Mapping[str, frozenset[str]] | None) -> bool | None:
    if principals is None or element is None:
        return (principals is None and element is None) or None
    if not isinstance(element, Mapping):
        return None  # "*": never a way in here, always enough for a Deny
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


def _conditions(element: object, context: Mapping[str, str | None]) -> bool | None:
    if not isinstance(element, Mapping):
        return None
    results: list[bool | None] = []
    for operator, keys in element.items():
        if not isinstance(keys, Mapping):
            return None
        results += [_condition(operator, key, _list(values), context) for key, values in keys.items()]
    return _all(*results)


def _condition(operator: str, key: str, values: list[Any], context: Mapping[str, str | None]) -> bool | None:
    name = operator.removesuffix("IfExists")
    # Key names ignore case: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html
    if name not in _OPERATORS or key.lower() not in context:
        return None
    # A policy variable would have to be expanded first.
    if not values or not all(isinstance(value, str) and "${" not in value for value in values):
        return None
    negated, matches = _OPERATORS[name]
    actual = context[key.lower()]
    if actual is None:
        return negated or operator != name
    return negated is not any(matches(value, actual) for value in values)


def _list(value: object) -> list[Any]:
    """Return `value` as a list: IAM takes a single item for a list of one everywhere."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _equals(expected: str, actual: str) -> bool:
    return expected == actual


def _equals_ignoring_case(expected: str, actual: str) -> bool:
    return expected.casefold() == actual.casefold()


_OPERATORS: dict[str, tuple[bool, Callable[[str, str], bool]]] = {
    "StringEquals": (False, _equals),
    "StringNotEquals": (True, _equals),
    "StringEqualsIgnoreCase": (False, _equals_ignoring_case),
    "StringNotEqualsIgnoreCase": (True, _equals_ignoring_case),
    "StringLike": (False, wildcard_match),
    "StringNotLike": (True, wildcard_match),
}
