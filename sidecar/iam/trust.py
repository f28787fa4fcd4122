"""Builds and evaluates trust policies of roles that an OIDC provider's tokens can assume. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html and, for how statements combine,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sidecar.iam.policies import VERSION, items, same
from sidecar.iam.statements import (
    ANY_PRINCIPAL,
    WEB_IDENTITY_ACTION,
    Comparison,
    Mismatch,
    condition_prefix,
    conditions_of,
    context_of,
    is_unknown,
    mismatches_of,
    names_subject,
)

__all__ = (
    "allows",
    "denies",
    "find_mismatches",
    "for_roles",
    "for_tokens",
    "further_conditions",
    "is_open",
    "same",
    "trust_policy",
)

# No cluster has a ServiceAccount with these names: a name has no capital letters (RFC 1123 label and subdomain).
_NO_SERVICE_ACCOUNT: Final = "system:serviceaccount:NO-NAMESPACE:NO-NAME"


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
    context = context_of(provider_arn, audience, subject, session_name)
    variables = policy.get("Version") == VERSION  # an earlier version treats them as plain text
    allowing: list[tuple[Mismatch, ...]] = []
    denying: list[Mismatch] = []
    for number, statement in enumerate(items(policy.get("Statement")), 1):
        if not isinstance(statement, Mapping):
            denying.append(Mismatch("condition", (), f"statement {number}"))
            continue
        allow = statement.get("Effect") == "Allow"
        where = _label(number, statement)
        found = tuple(mismatches_of(statement, provider_arn, context, variables=variables, where=where))
        if allow:
            allowing.append(found)
            continue
        found = tuple(mismatch for mismatch in found if mismatch.found != ANY_PRINCIPAL)
        if not found:
            compared = conditions_of(statement, context, where) or (Comparison(where, "", "Effect", ("Deny",), ()),)
            denying.append(Mismatch("deny", (), str(statement.get("Sid") or f"statement {number}"), compared))
        elif all(map(is_unknown, found)):
            denying += found
    # A statement that may allow the token is closer than one that certainly does not.
    possible = [found for found in allowing if all(map(is_unknown, found))]
    closest = min(possible or allowing, key=_distance, default=())
    if not allowing or any(mismatch.kind == "principal" for mismatch in closest):
        closest = (_of_other_principals(allowing, provider_arn),)
    return (*closest, *denying)


def _of_other_principals(allowing: Sequence[tuple[Mismatch, ...]], provider_arn: str) -> Mismatch:
    """Return the mismatch of a policy whose Allow statements are all for others, or that has none."""
    found = [mismatch for mismatches in allowing for mismatch in mismatches]
    compared = tuple(comparison for mismatch in found for comparison in mismatch.compared)
    none = Comparison("the trust policy", "", "Allow statements", (), (provider_arn,))
    principals = tuple(dict.fromkeys(name for mismatch in found for name in mismatch.wanted))
    return Mismatch("principal", principals, provider_arn, compared or (none,))


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
    return not mismatches_of(statement, provider_arn, context_of(provider_arn, (audience,), subject))


def further_conditions(statement: object, *, provider_arn: str, audience: str, subject: str) -> tuple[str, ...]:
    """Return the conditions, other than `aud` and `sub`, under which this Allow statement allows this token.

    () if it has none, does not name the subject, or does not match the token.
    """
    if not isinstance(statement, Mapping) or statement.get("Effect") != "Allow":
        return ()
    context = context_of(provider_arn, (audience,), subject)
    found = mismatches_of(statement, provider_arn, context)
    if not all(map(is_unknown, found)) or not names_subject(statement, provider_arn, context):
        return ()
    return tuple(mismatch.found for mismatch in found if mismatch.found != ANY_PRINCIPAL)


def denies(statement: object, *, provider_arn: str, audience: str, subject: str) -> bool:
    """Return whether this Deny statement denies a token with this single `aud`; False if this is unknown."""
    if not isinstance(statement, Mapping) or statement.get("Effect") != "Deny":
        return False
    found = mismatches_of(statement, provider_arn, context_of(provider_arn, (audience,), subject))
    return all(mismatch.found == ANY_PRINCIPAL for mismatch in found)


def _label(number: int, statement: Mapping[str, Any]) -> str:
    return f"statement {number} ({statement['Sid']})" if statement.get("Sid") else f"statement {number}"


def _plain(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def _distance(mismatches: tuple[Mismatch, ...]) -> tuple[bool, int]:
    """Sort key: statements of another issuer come last; then the number of mismatches counts."""
    return any(mismatch.kind == "principal" for mismatch in mismatches), len(mismatches)
