"""Condition operators of the IAM policy language, for a key whose values are known, or known to be absent. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

__all__ = ("condition_result", "is_negated", "is_supported", "literal_wildcard", "matches_pattern", "texts")

_NULL: Final = "Null"


def is_supported(operator: str) -> bool:
    """Return whether `condition_result` compares under this operator."""
    quantifier, base, _ = _parts(operator)
    return operator == _NULL or (quantifier in {"", "ForAnyValue", "ForAllValues"} and base in _OPERATORS)


def is_negated(operator: str) -> bool:
    """Return whether an operator that `is_supported` holds for values that do not match."""
    return operator != _NULL and _OPERATORS[_parts(operator)[1]][0]


def condition_result(operator: str, wanted: Sequence[str], actual: Sequence[str], *, variables: bool) -> bool | None:
    """Return whether a condition holds; None where AWS does not say it, or a policy variable stands for the value.

    AWS does not say which of several values in the request a comparison without ForAllValues or ForAnyValue takes.

    Args:
        operator: one that `is_supported`.
        wanted: the policy's values.
        actual: the request's; () where the request does not have the key.
        variables: whether the policy's version has policy variables.
    """
    if operator == _NULL:
        return {"true": not actual, "false": bool(actual)}.get(wanted[0]) if len(wanted) == 1 else None
    quantifier, base, if_exists = _parts(operator)
    if not wanted or (variables and any("${" in value for value in wanted)):
        return None
    negated, matches = _OPERATORS[base]
    if not actual:
        # ForAllValues holds for a request without the key, ForAnyValue does not:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
        absent = {"ForAllValues": True, "ForAnyValue": None if if_exists else False}
        return absent.get(quantifier, negated or if_exists)
    hits = [any(matches(value, one) for value in wanted) is not negated for one in actual]
    if not quantifier and len(set(hits)) > 1:
        return None
    return any(hits) if quantifier == "ForAnyValue" else all(hits)


def literal_wildcard(operator: str, wanted: Sequence[str], actual: Sequence[str]) -> str:
    """Return the value with * or ? that would match all of `actual` under StringLike and does not here; "" for none."""
    base = _parts(operator)[1]
    if base not in {"StringEquals", "StringEqualsIgnoreCase"} or not actual:
        return ""
    fold = str.casefold if base == "StringEqualsIgnoreCase" else str
    patterns = (value for value in wanted if {"*", "?"} & set(value))
    return next((value for value in patterns if all(matches_pattern(fold(value), fold(one)) for one in actual)), "")


def matches_pattern(pattern: str, value: str) -> bool:
    """Return whether a value matches a pattern, where * is any run of characters and ? is any one."""
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(character) or re.escape(character) for character in pattern)
    return re.fullmatch(expression, value, re.DOTALL) is not None


def texts(values: Sequence[object]) -> tuple[str, ...]:
    """Return the values as texts; () where one cannot be a value. Numbers and booleans need no quotation marks.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
    """
    if not all(isinstance(value, str | int | float) for value in values):
        return ()
    return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in values)


def _parts(operator: str) -> tuple[str, str, bool]:
    quantifier, _, name = operator.rpartition(":")
    base = name.removesuffix("IfExists")
    return quantifier, base, base != name


_OPERATORS: Final[Mapping[str, tuple[bool, Callable[[str, str], bool]]]] = {
    "StringEquals": (False, lambda value, actual: value == actual),
    "StringNotEquals": (True, lambda value, actual: value == actual),
    "StringEqualsIgnoreCase": (False, lambda value, actual: value.casefold() == actual.casefold()),
    "StringNotEqualsIgnoreCase": (True, lambda value, actual: value.casefold() == actual.casefold()),
    "StringLike": (False, matches_pattern),
    "StringNotLike": (True, matches_pattern),
}
