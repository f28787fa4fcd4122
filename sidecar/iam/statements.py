"""Compares one statement of a trust policy with a token. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

from sidecar.iam.conditions import condition_result, is_negated, is_supported, literal_wildcard, matches_pattern, texts
from sidecar.iam.policies import items

__all__ = (
    "ANY_PRINCIPAL",
    "WEB_IDENTITY_ACTION",
    "Comparison",
    "Context",
    "Kind",
    "Mismatch",
    "condition_prefix",
    "conditions_of",
    "context_of",
    "is_unknown",
    "mismatches_of",
    "names_subject",
)

WEB_IDENTITY_ACTION: Final = "sts:AssumeRoleWithWebIdentity"
ANY_PRINCIPAL: Final = "a principal of *"
_EVALUATED: Final = frozenset({"Sid", "Effect", "Principal", "Action", "NotAction", "Condition"})
_SESSION_NAME: Final = "sts:rolesessionname"

Context = Mapping[str, tuple[str, ...]]
"""{condition key in lower case: the values that the request has}."""

Kind = Literal["principal", "action", "sub", "aud", "wildcard", "session", "key", "condition", "deny"]
"""The part of a statement that does not match a request; `condition` also if this module cannot evaluate the part."""


class Comparison(NamedTuple):
    """What was compared.

    Attributes:
        where: what has the wanted values, such as "statement 2".
        operator: of the policy language; "" if the values are compared for equality.
        key: the condition key, or the element, as it is written there.
        wanted: the values there, unchanged; () for none.
        found: the values of the token or the request; () if it has no such key.
    """

    where: str
    operator: str
    key: str
    wanted: tuple[str, ...]
    found: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One reason why a trust policy does not allow a token.

    Attributes:
        kind: the part that does not match.
        wanted: the values in the statement, unchanged; () if it excludes values, or if `found` has all the information;
            for `key` the keys of the token.
        found: the value of the token or the request; for `condition` the operator, key or element that cannot be
            evaluated; for `key` the key in the statement, which is of another issuer; for `wildcard` the key in the
            statement; for `session` the session name; for `deny` the Sid of the statement, or its number from 1.
        compared: what was compared; for `deny` each condition of the statement, all of which hold. Without effect on
            equality: the same reason in another statement is the same reason.
    """

    kind: Kind
    wanted: tuple[str, ...]
    found: str
    compared: tuple[Comparison, ...] = field(default=(), compare=False)


def condition_prefix(provider_arn: str) -> str:
    """Return the prefix of a provider's condition keys: its URL without https://.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
    """
    return provider_arn.partition(":oidc-provider/")[2]


def context_of(provider_arn: str, audience: Sequence[str], subject: str, session_name: str = "") -> Context:
    """Return the condition keys of a request with a token; without the session name if that is ""."""
    prefix = condition_prefix(provider_arn).lower()
    session = {_SESSION_NAME: (session_name,)} if session_name else {}
    return {f"{prefix}:aud": tuple(audience), f"{prefix}:sub": (subject,), **session}


def is_unknown(mismatch: Mismatch) -> bool:
    """Return whether this is a part that `mismatches_of` cannot evaluate."""
    return mismatch.kind == "condition"


def mismatches_of(
    statement: Mapping[str, Any], provider_arn: str, context: Context, *, variables: bool = True, where: str = ""
) -> list[Mismatch]:
    """Return why a statement does not match a request with a token, whatever its effect; [] if it does.

    Args:
        statement: of a trust policy.
        provider_arn: the provider of the token.
        context: the request's condition keys.
        variables: whether the policy's version has policy variables.
        where: what the statement is called in `Comparison.where`.
    """
    found = [Mismatch("condition", (), element) for element in sorted(set(statement) - _EVALUATED)]
    if "NotPrincipal" not in statement:
        found += _principal(statement.get("Principal"), provider_arn, where)
        if found and found[-1].kind == "principal":
            return found[-1:]  # the rest of a statement for others is not a reason
    found += _action(statement, where)
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, Mapping):
        return [*found, Mismatch("condition", (), "Condition")]
    found += [
        Mismatch("condition", (), operator) for operator, keys in conditions.items() if not isinstance(keys, Mapping)
    ]
    for operator, keys in _entries(statement):
        for key, values in keys.items():
            mismatch = _condition(operator, key, items(values), context, variables=variables)
            if mismatch is not None:
                compared = _comparison(where, operator, key, values, context)
                found.append(replace(mismatch, compared=(compared,)))
    return found


def conditions_of(statement: Mapping[str, Any], context: Context, where: str) -> tuple[Comparison, ...]:
    """Return each condition of a statement with the values of the request."""
    return tuple(
        _comparison(where, operator, key, values, context)
        for operator, keys in _entries(statement)
        for key, values in keys.items()
    )


def names_subject(statement: Mapping[str, Any], provider_arn: str, context: Context) -> bool:
    """Return whether a statement has a condition on `sub` that holds."""
    key_of_sub = f"{condition_prefix(provider_arn)}:sub".lower()
    return any(
        key.lower() == key_of_sub and _condition(operator, key, items(values), context, variables=True) is None
        for operator, keys in _entries(statement)
        for key, values in keys.items()
    )


def _entries(statement: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    conditions = statement.get("Condition")
    found = conditions.items() if isinstance(conditions, Mapping) else ()
    return [(operator, keys) for operator, keys in found if isinstance(keys, Mapping)]


def _comparison(where: str, operator: str, key: str, values: object, context: Context) -> Comparison:
    listed = items(values)
    return Comparison(where, operator, key, texts(listed) or tuple(map(str, listed)), context.get(key.lower(), ()))


def _principal(element: object, provider_arn: str, where: str) -> list[Mismatch]:
    kinds = element if isinstance(element, Mapping) else {"AWS": element}
    if provider_arn in items(kinds.get("Federated")):
        return []
    others = tuple(str(name) for names in kinds.values() for name in items(names))
    if "*" in others:
        return [Mismatch("condition", (), ANY_PRINCIPAL)]
    compared = Comparison(where, "", "Principal", others, (provider_arn,))
    return [Mismatch("principal", others, provider_arn, (compared,))]


def _action(statement: Mapping[str, Any], where: str) -> list[Mismatch]:
    listed = "Action" if "Action" in statement or "NotAction" not in statement else "NotAction"
    actions = tuple(str(action) for action in items(statement.get(listed)))
    named = any(matches_pattern(action.lower(), WEB_IDENTITY_ACTION.lower()) for action in actions)
    if named is (listed == "Action"):
        return []
    compared = Comparison(where, "", listed, actions, (WEB_IDENTITY_ACTION,))
    return [Mismatch("action", actions, WEB_IDENTITY_ACTION, (compared,))]


def _condition(operator: str, key: str, values: list[Any], context: Context, *, variables: bool) -> Mismatch | None:
    if not is_supported(operator):
        return Mismatch("condition", (), operator)
    wanted, claim = texts(values), key.lower().rpartition(":")[2]
    actual = context.get(key.lower(), () if claim in {"aud", "sub"} else None)  # () is the key of another issuer
    if actual is None:
        return None if _holds_for_iss(operator, key, wanted, context) else Mismatch("condition", _keys(context), key)
    result = condition_result(operator, wanted, actual, variables=variables)
    if result is None:
        several = ", or with several aud" if len(actual) > 1 else ""
        return Mismatch("condition", wanted, f"{operator} with a policy variable or without a string{several}")
    return None if result else _different(operator, key, wanted, context)


def _different(operator: str, key: str, wanted: tuple[str, ...], context: Context) -> Mismatch:
    name = key.lower()
    if name not in context:
        return Mismatch("key", _keys(context), key)
    if name == _SESSION_NAME:
        return Mismatch("session", wanted, context[name][0])
    pattern = literal_wildcard(operator, wanted, context[name])
    if pattern:
        return Mismatch("wildcard", (pattern,), key)
    required = () if is_negated(operator) else wanted  # a negated operator excludes its values
    return Mismatch("aud" if name.endswith(":aud") else "sub", required, ", ".join(context[name]))


def _keys(context: Context) -> tuple[str, ...]:
    return tuple(key for key in context if key != _SESSION_NAME)


def _holds_for_iss(operator: str, key: str, wanted: tuple[str, ...], context: Context) -> bool:
    """Return whether a condition on `iss` holds both with and without this key: AWS does not list it."""
    prefix, _, claim = key.lower().rpartition(":")
    if claim != "iss" or f"{prefix}:sub" not in context:
        return False
    issuer = next((value for value in wanted if value.lower() == f"https://{prefix}"), "")
    found = [condition_result(operator, wanted, actual, variables=True) for actual in ((), (issuer,))]
    return bool(issuer) and all(found)
