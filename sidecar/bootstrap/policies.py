"""IAM policy documents of any kind: read, and compared by what they say. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

__all__ = ("VERSION", "document", "items", "same")

VERSION: Final = "2012-10-17"
"""The current version of the policy language."""

_ROOT: Final = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):root")


def items(value: object) -> list[Any]:
    """Return a value as a list: IAM takes a single item for a list of one everywhere, and has none for None."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def document(content: object) -> dict[str, Any]:
    """Return a policy document, whether an object, JSON, or JSON that is URL-encoded as IAM sends it.

    Raises:
        ValueError: it is none of these; "what; fix".
    """
    if isinstance(content, str):
        # A document begins with a brace, encoded or not; decoding one that is not would spoil its % signs.
        text = unquote(content) if content.startswith("%") else content
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
    if isinstance(content, Mapping):
        return dict(content)
    raise ValueError("not a JSON object; write a policy document as one")


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Return whether two documents say the same.

    The order of keys, statements and values, one value or a list of it, the case of actions and of condition keys, and
    an account id or its root ARN make no difference. A Sid does: nobody writes one for nothing.
    """
    return _document(a) == _document(b)


def _document(policy: Mapping[str, Any]) -> str:
    others = {key: value for key, value in policy.items() if key != "Statement"}
    statements = {_text(_statement(statement)) for statement in items(policy.get("Statement"))}
    return _text({**others, "Statement": sorted(statements)})


def _statement(statement: object) -> object:
    if not isinstance(statement, Mapping):
        return statement
    return {key: _ELEMENTS[key](value) if key in _ELEMENTS else value for key, value in statement.items()}


def _values(value: object) -> list[str]:
    # Numbers and booleans are texts to IAM: true is "true".
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
