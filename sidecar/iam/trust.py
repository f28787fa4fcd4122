"""Builds and evaluates trust policies of roles that an OIDC provider's tokens can assume. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html and, for how statements combine,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sidecar.iam.conditions import condition_result, is_negated, is_supported, literal_wildcard, matches_pattern, texts
from sidecar.iam.policies import VERSION, items, same

__all__ = (
    "WEB_IDENTITY_ACTION",
    "Kind",
    "Mismatch",
    "allows",
    "condition_prefix",
    "denies",
    "find_mismatches",
    "for_roles",
    "for_tokens",
    "further_conditions",
    "is_open",
    "same",
    "trust_policy",
)

WEB_IDENTITY_ACTION: Final = "sts:AssumeRoleWithWebIdentity"
_ANY_PRINCIPAL: Final = "a principal of *"
_EVALUATED: Final = frozenset({"Sid", "Effect", "Principal", "Action", "NotAction", "Condition"})
_SESSION_NAME: Final = "sts:rolesessionname"
# No cluster has a ServiceAccount with these names: a name has no capital letters (RFC 1123 label and subdomain).
_NO_SERVICE_ACCOUNT: Final = "system:serviceaccount:NO-NAMESPACE:NO-NAME"

Kind = Literal["principal", "action", "sub", "aud", "wildcard", "session", "key", "condition", "deny"]
"""The part of a statement that does not match a request; `condition` also if this module cannot evaluate the part."""


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
    """

    kind: Kind
    wanted: tuple[str, ...]
    found: str


def condition_prefix(provider_arn: str) -> str:
    """Return the prefix of a provider's condition keys: its URL without https://.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
    """
    return provider_arn.partition(":oidc-provider/")[2]


def trust_policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy document with these statements, such as those of `for_tokens` and `for_roles`."""
    return {"Version": VERSION, "Statement": [dict(statement) for statement in statements]}


def for_tokens(
    provider_arn: str, *, audience: Sequence[str], subjects: Sequence[str], patterns: bool = False
) -> dict[str, Any]:
    """Return the statement that allows a provider's tokens by both `aud` and `sub`.

    Args:
        provider_arn: the provider of the tokens.
        audience: the accepted values of `aud`; at least one.
        subjects: the accepted values of `sub`; at least one.
        patterns: whether * and ? in `subjects` are wildcards.
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
    """Return the statement that allows sessions of other roles (role chaining).

    Args:
        role_arns: the roles; each has to exist when IAM receives the policy.
        session_tags: whether they can set session tags.
    """
    return {
        "Effect": "Allow",
        "Principal": {"AWS": _plain(role_arns)},
        "Action": ["sts:AssumeRole", "sts:TagSession"] if session_tags else "sts:AssumeRole",
    }


def find_mismatches(
    policy: Mapping[str, Any], *, provider_arn: str, audience: Sequence[str], subject: str, session_name: str = ""
) -> tuple[Mismatch, ...]:
    """Return why a trust policy denies AssumeRoleWithWebIdentity with a token; () if it allows it.

    A part that this cannot evaluate (other operators and keys, policy variables, NotPrincipal, a principal of `*`)
    counts as no match in an Allow and as a match in a Deny, so it never reports access that the policy does not give.

    Args:
        policy: the document.
        provider_arn: the provider of the token.
        audience: the `aud` of the token; if it has several, those that are client ids of the provider. AWS does not
            document which of them a comparison without a quantifier uses: if the results differ, it is not evaluated.
        subject: the `sub` of the token.
        session_name: the RoleSessionName of the request; "" if it is unknown.

    Returns:
        The mismatches of the closest Allow statement if no Allow matches, then a mismatch for each Deny that matches.
    """
    context = _context(provider_arn, audience, subject, session_name)
    variables = policy.get("Version") == VERSION  # an earlier version treats them as plain text
    allowing: list[tuple[Mismatch, ...]] = []
    denying: list[Mismatch] = []
    for number, statement in enumerate(items(policy.get("Statement")), 1):
        if not isinstance(statement, Mapping):
            denying.append(Mismatch("condition", (), f"statement {number}"))
            continue
        allow = statement.get("Effect") == "Allow"
        found = tuple(_mismatches(statement, provider_arn, context, variables=variables))
        if allow:
            allowing.append(found)
            continue
        found = tuple(mismatch for mismatch in found if mismatch.found != _ANY_PRINCIPAL)
        if not found:
            denying.append(Mismatch("deny", (), str(statement.get("Sid") or f"statement {number}")))
        elif all(map(_unknown, found)):
            denying += found
    # A statement that may allow the token is closer than one that certainly does not.
    possible = [found for found in allowing if all(map(_unknown, found))]
    closest = min(possible or allowing, key=_distance, default=(Mismatch("principal", (), provider_arn),))
    return (*closest, *denying)


def is_open(policy: Mapping[str, Any], *, provider_arn: str, audience: Sequence[str]) -> bool:
    """Return whether a trust policy allows a `sub` that no policy can name, and so that of every ServiceAccount.

    Args:
        policy: the document.
        provider_arn: the provider of the tokens.
        audience: the `aud` of the tokens, as for `find_mismatches`.
    """
    return not find_mismatches(policy, provider_arn=provider_arn, audience=audience, subject=_NO_SERVICE_ACCOUNT)


def allows(statement: object, *, provider_arn: str, audience: str, subject: str) -> bool:
    """Return whether this Allow statement alone allows a token with this single `aud`; False if this is unknown."""
    if not isinstance(statement, Mapping) or statement.get("Effect") != "Allow":
        return False
    return not _mismatches(statement, provider_arn, _context(provider_arn, (audience,), subject))


def further_conditions(statement: object, *, provider_arn: str, audience: str, subject: str) -> tuple[str, ...]:
    """Return the conditions, other than `aud` and `sub`, under which this Allow statement allows this token.

    () if it has none, does not name the subject, or does not match the token.
    """
    if not isinstance(statement, Mapping) or statement.get("Effect") != "Allow":
        return ()
    context = _context(provider_arn, (audience,), subject)
    found = _mismatches(statement, provider_arn, context)
    if not all(map(_unknown, found)) or not _names_subject(statement, provider_arn, context):
        return ()
    return tuple(mismatch.found for mismatch in found if mismatch.found != _ANY_PRINCIPAL)


def denies(statement: object, *, provider_arn: str, audience: str, subject: str) -> bool:
    """Return whether this Deny statement denies a token with this single `aud`; False if this is unknown."""
    if not isinstance(statement, Mapping) or statement.get("Effect") != "Deny":
        return False
    found = _mismatches(statement, provider_arn, _context(provider_arn, (audience,), subject))
    return all(mismatch.found == _ANY_PRINCIPAL for mismatch in found)


def _names_subject(statement: Mapping[str, Any], provider_arn: str, context: "Context") -> bool:
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


def _context(provider_arn: str, audience: Sequence[str], subject: str, session_name: str = "") -> "Context":
    prefix = condition_prefix(provider_arn).lower()
    session = {_SESSION_NAME: (session_name,)} if session_name else {}
    return {f"{prefix}:aud": tuple(audience), f"{prefix}:sub": (subject,), **session}


def _plain(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


Context = Mapping[str, tuple[str, ...]]


def _mismatches(
    statement: Mapping[str, Any], provider_arn: str, context: Context, *, variables: bool = True
) -> list[Mismatch]:
    found = [Mismatch("condition", (), element) for element in sorted(set(statement) - _EVALUATED)]
    if "NotPrincipal" not in statement:
        found += _principal(statement.get("Principal"), provider_arn)
        if found and found[-1].kind == "principal":
            return found[-1:]  # the rest of a statement for others is not a reason
    listed = "Action" if "Action" in statement or "NotAction" not in statement else "NotAction"
    actions = [str(action) for action in items(statement.get(listed))]
    named = any(matches_pattern(action.lower(), WEB_IDENTITY_ACTION.lower()) for action in actions)
    if named is (listed == "NotAction"):
        found.append(Mismatch("action", tuple(actions), WEB_IDENTITY_ACTION))
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, Mapping):
        return [*found, Mismatch("condition", (), "Condition")]
    for operator, keys in conditions.items():
        if not isinstance(keys, Mapping):
            found.append(Mismatch("condition", (), operator))
            continue
        for key, values in keys.items():
            mismatch = _condition(operator, key, items(values), context, variables=variables)
            found += [mismatch] if mismatch else []
    return found


def _principal(element: object, provider_arn: str) -> list[Mismatch]:
    kinds = element if isinstance(element, Mapping) else {"AWS": element}
    if provider_arn in items(kinds.get("Federated")):
        return []
    others = tuple(str(name) for names in kinds.values() for name in items(names))
    return [Mismatch("condition", (), _ANY_PRINCIPAL) if "*" in others else Mismatch("principal", others, provider_arn)]


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


def _unknown(mismatch: Mismatch) -> bool:
    return mismatch.kind == "condition"


def _distance(mismatches: tuple[Mismatch, ...]) -> tuple[bool, int]:
    """Sort key: statements of another issuer come last; then the number of mismatches counts."""
    return any(mismatch.kind == "principal" for mismatch in mismatches), len(mismatches)
