"""Adds what is wanted to a trust policy that other teams write too, and removes nothing from it. Pure.

A statement is extended if each pair of `aud` and `sub` that the result allows is allowed by this statement or by the
wanted policy. Otherwise a new statement is added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.iam.policies import covers, items, matches_all, same
from sidecar.iam.statements import condition_prefix
from sidecar.iam.trust import allows, denies, for_roles, for_tokens, further_conditions, trust_policy

__all__ = ("Policy", "beyond", "conditional_access", "explicit_denials", "merged_trust")

_TAG_SESSION: Final = "sts:TagSession"
_FOR: Final = ("Principal", "NotPrincipal", "Resource", "NotResource")

Policy = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The arguments of `for_tokens` for a statement of that form."""

    provider: str
    audience: tuple[str, ...]
    subjects: tuple[str, ...]
    patterns: bool

    def statement(self) -> dict[str, Any]:
        return for_tokens(self.provider, audience=self.audience, subjects=self.subjects, patterns=self.patterns)

    def has(self, audience: str, subject: str, *, pattern: bool) -> bool:
        """Return whether tokens with this `aud` and a `sub` that is, or matches, this subject are allowed."""
        if audience not in self.audience:
            return False
        if self.patterns:
            return any(matches_all(one, subject) for one in self.subjects)
        return not pattern and subject in self.subjects


@dataclass(frozen=True, slots=True)
class _Roles:
    """The arguments of `for_roles` for a statement of that form."""

    arns: tuple[str, ...]
    session_tags: bool

    def statement(self) -> dict[str, Any]:
        return for_roles(self.arns, session_tags=self.session_tags)


def merged_trust(existing: Policy, wanted: Policy) -> Policy:
    """Return `existing` with the missing parts of `wanted`; `existing` itself if nothing is missing.

    A subject that a statement allows under further conditions gets no statement without them: see `conditional_access`.

    Args:
        existing: a trust policy with any statements.
        wanted: a trust policy with statements of `for_tokens` and `for_roles` only.
    """
    statements = items(existing.get("Statement"))
    merged = statements
    for one in items(wanted.get("Statement")):
        tokens, roles = _tokens(one), _roles(one)
        if tokens is not None:
            merged = _with_tokens(merged, tokens)
        elif roles is not None:
            merged = _with_roles(merged, roles)
    return existing if merged == statements else {**existing, "Statement": merged}


def beyond(existing: Policy, wanted: Policy) -> tuple[str, ...]:
    """Return a line for each part of `existing` that `wanted` does not have."""
    wanted_tokens = [one for statement in items(wanted.get("Statement")) if (one := _tokens(statement)) is not None]
    lines: list[str] = []
    for number, statement in enumerate(items(existing.get("Statement")), 1):
        if any(covers(one, statement) for one in items(wanted.get("Statement"))):
            continue
        tokens = _tokens(statement)
        lines += _lines(number, statement) if tokens is None else _lines_of_tokens(tokens, wanted_tokens)
    return tuple(dict.fromkeys(lines))


def conditional_access(existing: Policy, wanted: Policy) -> tuple[str, ...]:
    """Return a line for each wanted subject or role that `existing` allows only under further conditions."""
    statements = items(existing.get("Statement"))
    lines: dict[str, None] = {}
    for one in items(wanted.get("Statement")):
        tokens, roles = _tokens(one), _roles(one)
        for audience, subject in _pairs(tokens):
            if tokens is not None and not _allowed(statements, tokens, audience, subject):
                for conditions in _restrictions(statements, tokens, audience, subject):
                    lines[f"{_sub(tokens, subject)} is allowed under {' and '.join(conditions)} only"] = None
        for arn in roles.arns if roles is not None else ():
            if roles is not None and _role_state(statements, arn, roles) == _RESTRICTED:
                lines[f"{arn} is allowed under a condition only"] = None
    return tuple(lines)


def explicit_denials(existing: Policy, wanted: Policy) -> tuple[str, ...]:
    """Return a line for each wanted subject that a Deny statement of `existing` denies, even if an Allow allows it."""
    lines: dict[str, None] = {}
    for tokens in map(_tokens, items(wanted.get("Statement"))):
        for audience, subject in _pairs(tokens):
            if tokens is None or tokens.patterns:
                continue
            for number, statement in enumerate(items(existing.get("Statement")), 1):
                if denies(statement, provider_arn=tokens.provider, audience=audience, subject=subject):
                    lines[f"{_named(number, statement)} denies {_sub(tokens, subject)}"] = None
    return tuple(lines)


# --- tokens ---


def _tokens(statement: object) -> _Tokens | None:
    """Return None for a statement that differs from each statement of `for_tokens`."""
    if not isinstance(statement, Mapping):
        return None
    bare = {key: value for key, value in statement.items() if key != "Sid"}
    principal, conditions = bare.get("Principal"), bare.get("Condition")
    providers = items(principal.get("Federated")) if isinstance(principal, Mapping) else []
    if len(providers) != 1 or not isinstance(conditions, Mapping):
        return None
    provider = str(providers[0])
    prefix = condition_prefix(provider).lower()
    values = {
        (operator, key.lower()): items(value)
        for operator, keys in conditions.items()
        if isinstance(keys, Mapping)
        for key, value in keys.items()
    }
    patterns = ("StringLike", f"{prefix}:sub") in values
    audience = values.get(("StringEquals", f"{prefix}:aud"), [])
    subjects = values.get(("StringLike" if patterns else "StringEquals", f"{prefix}:sub"), [])
    if not audience or not subjects or not all(isinstance(one, str) and "${" not in one for one in audience + subjects):
        return None
    found = _Tokens(provider, tuple(audience), tuple(subjects), patterns)
    return found if same(trust_policy(found.statement()), trust_policy(bare)) else None


def _pairs(tokens: _Tokens | None) -> list[tuple[str, str]]:
    return [] if tokens is None else [(aud, sub) for sub in tokens.subjects for aud in tokens.audience]


def _with_tokens(statements: list[Any], wanted: _Tokens) -> list[Any]:
    """Add subjects for which the same audiences are missing in one statement."""
    missing: dict[str, list[str]] = {}
    for audience, subject in _pairs(wanted):
        allowed = _allowed(statements, wanted, audience, subject)
        if not allowed and not _restrictions(statements, wanted, audience, subject):
            missing.setdefault(subject, []).append(audience)
    groups: dict[tuple[str, ...], list[str]] = {}
    for subject, missing_audiences in missing.items():
        groups.setdefault(tuple(missing_audiences), []).append(subject)
    for audiences, subjects in groups.items():
        more = _Tokens(wanted.provider, audiences, tuple(subjects), wanted.patterns)
        statements = _added(statements, more, wanted)
    return statements


def _added(statements: list[Any], more: _Tokens, wanted: _Tokens) -> list[Any]:
    for place, statement in enumerate(statements):
        joined = _joined(statement, more, wanted)
        if joined is not None:
            return [*statements[:place], joined.statement(), *statements[place + 1 :]]
    return [*statements, more.statement()]


def _joined(statement: Any, more: _Tokens, wanted: _Tokens) -> _Tokens | None:  # noqa: ANN401 - of JSON
    """Return None if a joined statement would allow more than it and `wanted` together, or if it has a Sid.

    A Sid shows that another author maintains the statement.
    """
    own = _tokens(statement)
    if own is None or "Sid" in statement or (own.provider, own.patterns) != (more.provider, more.patterns):
        return None
    audience = tuple(dict.fromkeys((*own.audience, *more.audience)))
    subjects = tuple(dict.fromkeys((*own.subjects, *more.subjects)))
    joined = _Tokens(own.provider, audience, subjects, own.patterns)
    included = all(
        any(aud in one.audience and sub in one.subjects for one in (own, wanted)) for aud, sub in _pairs(joined)
    )
    return joined if included else None


def _allowed(statements: list[Any], tokens: _Tokens, audience: str, subject: str) -> bool:
    if tokens.patterns:
        others = (own for own in map(_tokens, statements) if own is not None and own.provider == tokens.provider)
        return any(own.has(audience, subject, pattern=True) for own in others)
    provider = tokens.provider
    return any(allows(one, provider_arn=provider, audience=audience, subject=subject) for one in statements)


def _restrictions(statements: list[Any], tokens: _Tokens, audience: str, subject: str) -> list[tuple[str, ...]]:
    """Return the conditions that `_allowed` does not count: to allow it without them would make them useless.

    A pattern is compared as a subject; if this is wrong, it finds a restriction too many.
    """
    provider = tokens.provider
    found = (further_conditions(one, provider_arn=provider, audience=audience, subject=subject) for one in statements)
    return [conditions for conditions in found if conditions]


# --- roles ---

_ALLOWED, _RESTRICTED, _MISSING = "allowed", "restricted", "missing"


def _roles(statement: object) -> _Roles | None:
    """Return None for a statement that differs from each statement of `for_roles`."""
    if not isinstance(statement, Mapping):
        return None
    bare = {key: value for key, value in statement.items() if key != "Sid"}
    principal = bare.get("Principal")
    arns = items(principal.get("AWS")) if isinstance(principal, Mapping) else []
    tags = _TAG_SESSION.lower() in {str(action).lower() for action in items(bare.get("Action"))}
    found = _Roles(tuple(map(str, arns)), tags)
    return found if arns and same(trust_policy(found.statement()), trust_policy(bare)) else None


def _with_roles(statements: list[Any], wanted: _Roles) -> list[Any]:
    missing = tuple(arn for arn in wanted.arns if _role_state(statements, arn, wanted) == _MISSING)
    if not missing:
        return statements
    for place, statement in enumerate(statements):
        own = _roles(statement)
        if own is not None and "Sid" not in statement and own.session_tags == wanted.session_tags:
            joined = _Roles((*own.arns, *missing), own.session_tags)
            return [*statements[:place], joined.statement(), *statements[place + 1 :]]
    return [*statements, _Roles(missing, wanted.session_tags).statement()]


def _role_state(statements: list[Any], arn: str, wanted: _Roles) -> str:
    one = _Roles((arn,), wanted.session_tags).statement()
    if any(covers(statement, one) for statement in statements):
        return _ALLOWED
    bare = (
        {key: value for key, value in statement.items() if key != "Condition"}
        for statement in statements
        if isinstance(statement, Mapping) and "Condition" in statement
    )
    return _RESTRICTED if any(covers(statement, one) for statement in bare) else _MISSING


# --- lines ---


def _sub(tokens: _Tokens, subject: str) -> str:
    return f"sub {subject} of {condition_prefix(tokens.provider)}"


def _lines_of_tokens(found: _Tokens, wanted: Sequence[_Tokens]) -> list[str]:
    same_provider = [one for one in wanted if one.provider == found.provider]
    lines = []
    for subject in found.subjects:
        extra = [
            audience
            for audience in found.audience
            if not any(one.has(audience, subject, pattern=found.patterns) for one in same_provider)
        ]
        if extra:
            audiences = "" if extra == list(found.audience) else f" with aud {', '.join(extra)}"
            lines.append(_sub(found, subject) + audiences)
    return lines


def _named(number: int, statement: object) -> str:
    sid = statement.get("Sid") if isinstance(statement, Mapping) else None
    return f"statement {number}{f' (Sid {sid})' if sid else ''}"


def _lines(number: int, statement: object) -> list[str]:
    if not isinstance(statement, Mapping):
        return [_named(number, statement)]
    principal = next((statement[key] for key in _FOR if key in statement), None)
    kinds = principal.values() if isinstance(principal, Mapping) else (principal,)
    names = ", ".join(str(name) for names in kinds for name in items(names))
    actions = ", ".join(str(action) for action in items(statement.get("Action", statement.get("NotAction"))))
    conditions = statement.get("Condition")
    under = f", under {', '.join(map(str, conditions))}" if isinstance(conditions, Mapping) else ""
    return [f"{_named(number, statement)}: {statement.get('Effect')} {actions} for {names}{under}"]
