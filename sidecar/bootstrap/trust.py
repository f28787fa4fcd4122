"""Trust policies of roles that an OIDC provider's tokens may assume: built and judged. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html and, for how statements combine,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sidecar.bootstrap.policies import VERSION, items, same

__all__ = (
    "WEB_IDENTITY_ACTION",
    "Kind",
    "Mismatch",
    "condition_prefix",
    "for_roles",
    "for_tokens",
    "refusals",
    "same",
    "trust_policy",
)

WEB_IDENTITY_ACTION: Final = "sts:AssumeRoleWithWebIdentity"
_ANYBODY: Final = "a principal of *"
_JUDGED: Final = frozenset({"Sid", "Effect", "Principal", "Action", "Condition"})

Kind = Literal["principal", "action", "sub", "aud", "condition", "deny"]
"""What of a statement a request does not fit; `condition` is also what this module cannot judge."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that keeps a token out.

    Attributes:
        kind: what does not fit.
        wanted: what the statement asks for, as it has it; () where `found` says all.
        found: what the token or the request has; for `condition` the operator, key or element that cannot be judged,
            for `deny` the statement's Sid, or its number from 1.
    """

    kind: Kind
    wanted: tuple[str, ...]
    found: str


def condition_prefix(provider_arn: str) -> str:
    """Return what the condition keys of a provider begin with: its URL without https://.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
    """
    return provider_arn.partition(":oidc-provider/")[2]


def trust_policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policy document of these statements, such as `for_tokens` and `for_roles` make."""
    return {"Version": VERSION, "Statement": [dict(statement) for statement in statements]}


def for_tokens(
    provider_arn: str, *, audience: Sequence[str], subjects: Sequence[str], patterns: bool = False
) -> dict[str, Any]:
    """Return the statement that lets a provider's tokens in, by `aud` and by `sub`, never by one alone.

    Args:
        provider_arn: whose tokens.
        audience: any of them has to be in `aud`; at least one.
        subjects: one of them has to be `sub`; at least one.
        patterns: whether * and ? in `subjects` stand for other characters.
    """
    prefix = condition_prefix(provider_arn)
    aud, sub = {f"{prefix}:aud": _plain(audience)}, {f"{prefix}:sub": _plain(subjects)}
    return {
        "Effect": "Allow",
        "Principal": {"Federated": provider_arn},
        "Action": WEB_IDENTITY_ACTION,
        "Condition": {"StringEquals": aud, "StringLike": sub} if patterns else {"StringEquals": aud | sub},
    }


def for_roles(role_arns: Sequence[str], *, session_tags: bool = False) -> dict[str, Any]:
    """Return the statement that lets sessions of roles in (role chaining).

    Args:
        role_arns: whose; each has to exist when IAM is given the policy.
        session_tags: whether they may tag the session.
    """
    return {
        "Effect": "Allow",
        "Principal": {"AWS": _plain(role_arns)},
        "Action": ["sts:AssumeRole", "sts:TagSession"] if session_tags else "sts:AssumeRole",
    }


def refusals(
    policy: Mapping[str, Any], *, provider_arn: str, audience: Sequence[str], subject: str
) -> tuple[Mismatch, ...]:
    """Return why a trust policy lets a token's AssumeRoleWithWebIdentity not through; () where it does.

    What this cannot judge (other operators and keys, policy variables, NotPrincipal, a principal of `*`) counts as not
    allowed by an Allow and as denied by a Deny, so it never promises an access that is not there.

    Args:
        policy: the document.
        provider_arn: whose token.
        audience: its `aud`; of several, those that are client ids of the provider. AWS does not say which of these a
            comparison without a quantifier takes: in an Allow it has to hold for each, in a Deny for one.
        subject: its `sub`.

    Returns:
        What does not fit of the closest Allow statement, where none fits, then what each Deny does.
    """
    prefix = condition_prefix(provider_arn).lower()
    context = {f"{prefix}:aud": tuple(audience), f"{prefix}:sub": (subject,)}
    allows: list[tuple[Mismatch, ...]] = []
    denies: list[Mismatch] = []
    for number, statement in enumerate(items(policy.get("Statement")), 1):
        if not isinstance(statement, Mapping):
            denies.append(Mismatch("condition", (), f"statement {number}"))
            continue
        allow = statement.get("Effect") == "Allow"
        found = tuple(_mismatches(statement, provider_arn, context, every=allow))
        if allow:
            allows.append(found)
            continue
        found = tuple(mismatch for mismatch in found if mismatch.found != _ANYBODY)
        if not found:
            denies.append(Mismatch("deny", (), str(statement.get("Sid") or f"statement {number}")))
        elif all(map(_unknown, found)):
            denies += found
    closest = min(allows, key=_distance, default=(Mismatch("principal", (), provider_arn),))
    return (*closest, *denies)


def _plain(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


Context = Mapping[str, tuple[str, ...]]


def _mismatches(statement: Mapping[str, Any], provider_arn: str, context: Context, *, every: bool) -> list[Mismatch]:
    found = [Mismatch("condition", (), element) for element in sorted(set(statement) - _JUDGED)]
    if "NotPrincipal" not in statement:
        found += _principal(statement.get("Principal"), provider_arn)
    actions = [str(action) for action in items(statement.get("Action"))]
    fits = any(_like(action.lower(), WEB_IDENTITY_ACTION.lower()) for action in actions)
    if not fits and "NotAction" not in statement:
        found.append(Mismatch("action", tuple(actions), WEB_IDENTITY_ACTION))
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, Mapping):
        return [*found, Mismatch("condition", (), "Condition")]
    for operator, keys in conditions.items():
        if not isinstance(keys, Mapping):
            found.append(Mismatch("condition", (), operator))
            continue
        for key, values in keys.items():
            mismatch = _condition(operator, key, items(values), context, every=every)
            found += [mismatch] if mismatch else []
    return found


def _principal(element: object, provider_arn: str) -> list[Mismatch]:
    kinds = element if isinstance(element, Mapping) else {"AWS": element}
    if provider_arn in items(kinds.get("Federated")):
        return []
    others = tuple(str(name) for names in kinds.values() for name in items(names))
    return [Mismatch("condition", (), _ANYBODY) if "*" in others else Mismatch("principal", others, provider_arn)]


def _condition(operator: str, key: str, values: list[Any], context: Context, *, every: bool) -> Mismatch | None:
    quantifier, _, name = operator.rpartition(":")
    base = name.removesuffix("IfExists")  # both keys are in every token, so there is always something to compare
    if quantifier not in {"", "ForAnyValue", "ForAllValues"} or base not in _OPERATORS:
        return Mismatch("condition", (), operator)
    actual = context.get(key.lower())
    if actual is None:
        return Mismatch("condition", tuple(context), key)
    wanted = tuple(value for value in values if isinstance(value, str))
    if not wanted or len(wanted) != len(values) or any("${" in value for value in wanted):
        return Mismatch("condition", wanted, f"{operator} with a policy variable, or no text")
    negated, matches = _OPERATORS[base]
    hits = [any(matches(value, one) for value in wanted) is not negated for one in actual]
    # ForAllValues holds for no value at all as well, nothing else does.
    every = quantifier == "ForAllValues" or (not quantifier and every and bool(hits))
    if all(hits) if every else any(hits):
        return None
    kind: Kind = "aud" if key.lower().endswith(":aud") else "sub"
    return Mismatch(kind, wanted, ", ".join(actual))


def _unknown(mismatch: Mismatch) -> bool:
    return mismatch.kind == "condition"


def _distance(mismatches: tuple[Mismatch, ...]) -> tuple[bool, int]:
    """Another issuer's statement is farther than any of this one's, however little else it lacks."""
    return any(mismatch.kind == "principal" for mismatch in mismatches), len(mismatches)


def _like(pattern: str, value: str) -> bool:
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(character) or re.escape(character) for character in pattern)
    return re.fullmatch(expression, value, re.DOTALL) is not None


_OPERATORS: Final[Mapping[str, tuple[bool, Callable[[str, str], bool]]]] = {
    "StringEquals": (False, lambda value, actual: value == actual),
    "StringNotEquals": (True, lambda value, actual: value == actual),
    "StringEqualsIgnoreCase": (False, lambda value, actual: value.casefold() == actual.casefold()),
    "StringNotEqualsIgnoreCase": (True, lambda value, actual: value.casefold() == actual.casefold()),
    "StringLike": (False, _like),
    "StringNotLike": (True, _like),
}
