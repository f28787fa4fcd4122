"""Condition operators of the IAM policy language, for one key of a request. Three-valued: None is not implemented.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

import ipaddress
import operator as comparisons
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any


def condition_holds(operator: str, values: list[Any], actual: str | None, *, variables: bool) -> bool | None:
    """Return whether a condition holds; None where this file cannot tell.

    Args:
        operator: with ForAllValues, ForAnyValue and IfExists.
        values: what the policy has; numbers and booleans need no quotation marks (policy grammar, `condition_value`).
        actual: the one value that the request has; None where it does not have the key.
        variables: whether `${` begins a policy variable, which would have to be expanded first.
    """
    texts = [_text(value) for value in values]
    if operator == "Null":
        return {"true": actual is None, "false": actual is not None}.get(texts[0]) if len(texts) == 1 else None
    quantifier, _, name = operator.rpartition(":")
    base = name.removesuffix("IfExists")
    if quantifier not in {"", "ForAllValues", "ForAnyValue"} or base not in _OPERATORS or not texts:
        return None
    if variables and any("${" in text for text in texts):
        return None
    negated, matches = _OPERATORS[base]
    if actual is None:
        return _without_key(quantifier, negated=negated, if_exists=base != name)
    try:
        return negated is not any(matches(text, actual) for text in texts)
    except ValueError:
        return None  # not a boolean, a number, a date or an address


def wildcard_match(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    """Return whether `value` matches `pattern`, where * is any run of characters and ? is any one."""
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(character) or re.escape(character) for character in pattern)
    return re.fullmatch(expression, value, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


def _without_key(quantifier: str, *, negated: bool, if_exists: bool) -> bool | None:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
    if quantifier == "ForAllValues":
        return True
    if quantifier == "ForAnyValue":
        return None if if_exists else False  # AWS does not say which of the two wins
    return negated or if_exists


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _equals(expected: str, actual: str) -> bool:
    return expected == actual


def _equals_ignoring_case(expected: str, actual: str) -> bool:
    return expected.casefold() == actual.casefold()


def _same_boolean(expected: str, actual: str) -> bool:
    if {expected.lower(), actual.lower()} - {"true", "false"}:
        raise ValueError("not a boolean")
    return expected.lower() == actual.lower()


def _arn_matches(expected: str, actual: str) -> bool:
    # Each of the six parts between colons is compared by itself.
    pairs = zip(expected.split(":", 5), actual.split(":", 5), strict=True)
    return all(wildcard_match(*pair) for pair in pairs)


def _within(expected: str, actual: str) -> bool:
    return ipaddress.ip_address(actual) in ipaddress.ip_network(expected, strict=False)


def _seconds(text: str) -> float:
    if re.fullmatch("[0-9]+", text):
        return float(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


Matches = Callable[[str, str], bool]


def _ordered(read: Callable[[str], float], compare: Callable[[float, float], bool]) -> Matches:
    return lambda expected, actual: compare(read(actual), read(expected))


_ORDERS: dict[str, tuple[bool, Callable[[float, float], bool]]] = {
    "Equals": (False, comparisons.eq),
    "NotEquals": (True, comparisons.eq),
    "LessThan": (False, comparisons.lt),
    "LessThanEquals": (False, comparisons.le),
    "GreaterThan": (False, comparisons.gt),
    "GreaterThanEquals": (False, comparisons.ge),
}
_OPERATORS: dict[str, tuple[bool, Matches]] = {
    "StringEquals": (False, _equals),
    "StringNotEquals": (True, _equals),
    "StringEqualsIgnoreCase": (False, _equals_ignoring_case),
    "StringNotEqualsIgnoreCase": (True, _equals_ignoring_case),
    "StringLike": (False, wildcard_match),
    "StringNotLike": (True, wildcard_match),
    "Bool": (False, _same_boolean),
    "IpAddress": (False, _within),
    "NotIpAddress": (True, _within),
    "ArnEquals": (False, _arn_matches),
    "ArnLike": (False, _arn_matches),
    "ArnNotEquals": (True, _arn_matches),
    "ArnNotLike": (True, _arn_matches),
    **{f"Numeric{name}": (negated, _ordered(float, compare)) for name, (negated, compare) in _ORDERS.items()},
    **{f"Date{name}": (negated, _ordered(_seconds, compare)) for name, (negated, compare) in _ORDERS.items()},
}
"""Whether it is negated, and how one value of the policy is compared with that of the request."""
