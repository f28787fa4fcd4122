"""Reads IAM policy documents of any kind, and compares them by their meaning. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from sidecar.errors import InvalidValueError
from sidecar.iam.names import PARTITION

__all__ = ("VERSION", "covers", "document", "items", "length", "matches_all", "merged", "same")

VERSION: Final = "2012-10-17"
"""The current version of the policy language."""

_WIDENING: Final = frozenset({"Action", "Resource"})
_ROOT: Final = re.compile(f"arn:{PARTITION}:iam::([0-9]{{12}}):root")


def items(value: object) -> list[Any]:
    """Return a value as a list: in a policy, a single item means a list of one. None means an empty list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def document(content: object) -> dict[str, Any]:
    """Return a policy document from an object, from JSON, or from URL-encoded JSON, which IAM sends.

    Raises:
        InvalidValueError: it is none of these.
    """
    if isinstance(content, str):
        # Encoded JSON begins with %7B; decoding plain JSON would change its % signs.
        text = unquote(content) if content.startswith("%") else content
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
    if isinstance(content, Mapping):
        return dict(content)
    raise InvalidValueError("not a JSON object", "write the policy document as a JSON object")


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Return whether two documents have the same meaning.

    The order of keys, statements and values, one value or a list of it, the case of actions and of condition keys, and
    an account id or its root ARN make no difference. A Sid makes a difference: its author expects it to stay.
    """
    return _document(a) == _document(b)


def matches_all(pattern: str, text: str) -> bool:
    """Return whether a pattern of IAM matches `text`, and everything that `text` matches if it is a pattern as well.

    A policy variable is compared as it is written. False if this is unknown.
    """
    if "${" in pattern:
        return pattern == text
    parts = {"*": ".*", "?": "[^*]"}  # ? stands for one character, and * in `text` for any number
    expression = "".join(parts.get(character) or re.escape(character) for character in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def covers(a: object, b: object) -> bool:
    """Return whether statement `a` includes statement `b`; False if this is unknown.

    Sids and empty Conditions are not compared, because they do not change the effect of a statement.
    """
    if not isinstance(a, Mapping) or not isinstance(b, Mapping):
        return False
    one, other = (
        _elements({key: value for key, value in each.items() if key != "Sid" and (key, value) != ("Condition", {})})
        for each in (a, b)
    )
    return set(one) == set(other) and all(_element_covers(key, one[key], other[key]) for key in one)


def merged(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `existing` with the statements of `wanted` that it does not cover; `existing` itself if it covers all.

    Raises:
        InvalidValueError: the versions of the policy language differ, so one document cannot contain both.
    """
    statements = items(existing.get("Statement"))
    missing = [one for one in items(wanted.get("Statement")) if not any(covers(other, one) for other in statements)]
    if not missing:
        return existing
    if existing.get("Version") != wanted.get("Version"):
        raise InvalidValueError("has another version of the policy language", "give --replace to replace it")
    sids = {one.get("Sid") for one in statements if isinstance(one, Mapping)} - {None}
    # A Sid has to be unique in a document.
    added = [
        {key: value for key, value in one.items() if key != "Sid" or value not in sids} for one in map(dict, missing)
    ]
    return {**existing, "Statement": [*statements, *added]}


def length(policy: Mapping[str, Any]) -> int:
    """Return the length of a document as IAM counts it: characters without white space."""
    return len("".join(json.dumps(policy, separators=(",", ":"), ensure_ascii=False).split()))


def _element_covers(key: str, one: object, other: object) -> bool:
    if key in _WIDENING and isinstance(one, list) and isinstance(other, list):
        return all(any(matches_all(pattern, text) for pattern in one) for text in other)
    if key == "Principal" and isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(set(names) <= set(one.get(kind, ())) for kind, names in other.items())
    return one == other


def _document(policy: Mapping[str, Any]) -> str:
    others = {key: value for key, value in policy.items() if key != "Statement"}
    statements = {_text(_statement(statement)) for statement in items(policy.get("Statement"))}
    return _text({**others, "Statement": sorted(statements)})


def _statement(statement: object) -> object:
    return _elements(statement) if isinstance(statement, Mapping) else statement


def _elements(statement: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _ELEMENTS[key](value) if key in _ELEMENTS else value for key, value in statement.items()}


def _values(value: object) -> list[str]:
    # IAM treats numbers and booleans as strings: true is "true".
    return sorted({item if isinstance(item, str) else _text(item) for item in items(value)})


def _actions(value: object) -> list[str]:
    return sorted({action.lower() for action in _values(value)})


def _principal(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {kind: sorted({_ROOT.sub(r"\1", name) for name in _values(names)}) for kind, names in value.items()}


def _condition(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {
        operator: sorted((key.lower(), _values(values)) for key, values in keys.items())
        if isinstance(keys, Mapping)
        else keys
        for operator, keys in value.items()
    }


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


_ELEMENTS: Final[Mapping[str, Callable[[object], object]]] = {
    "Action": _actions,
    "NotAction": _actions,
    "Resource": _values,
    "NotResource": _values,
    "Principal": _principal,
    "NotPrincipal": _principal,
    "Condition": _condition,
}
