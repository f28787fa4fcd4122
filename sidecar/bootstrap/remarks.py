"""Lines about providers and roles that have more than the ``Spec``, or something else. Pure."""

from collections.abc import Callable, Sequence

from sidecar.bootstrap import merge
from sidecar.bootstrap.plan import PlanOptions, Thumbprints, provider_target
from sidecar.bootstrap.spec import CHAIN_PREFIX, Issuer, RoleSpec, Spec
from sidecar.bootstrap.state import Observed
from sidecar.bootstrap.wanted import Wanted, placed
from sidecar.iam.account import Provider, Role

__all__ = ("conditional_subjects", "denied_subjects", "unchanged_extras")


def unchanged_extras(spec: Spec, observed: Observed, thumbprints: Thumbprints, options: PlanOptions) -> tuple[str, ...]:
    """Return a line for each part that exists, is not in the ``Spec``, and is not changed.

    Args:
        spec: the wanted state.
        observed: the current state.
        thumbprints: as for ``plan``.
        options: as for ``plan``; client ids and policies of other names stay in any case.
    """
    lines: list[str] = []
    spec = placed(spec, observed)
    wanted = Wanted(spec, observed.account)
    for issuer in spec.issuers:
        provider = observed.providers.get(observed.account.provider_arn(issuer))
        if provider is not None:
            lines += _of_provider(spec, issuer, provider, () if options.prune else thumbprints[issuer.url] or ())
    for role in spec.roles:
        existing = observed.roles.get(role.name)
        if existing is None:
            continue
        attached = [arn for arn in existing.policy_arns if arn not in role.policy_arns]
        inline = [name for name in existing.inline if name not in role.inline and not name.startswith(CHAIN_PREFIX)]
        lines += [f"role {role.name} also has {what}, which is not changed" for what in (*attached, *inline)]
        if not options.replace:
            more = _more(wanted, role, existing)
            lines += [f"role {role.name} also has {what}, which is not changed without --replace" for what in more]
    return tuple(lines)


def conditional_subjects(spec: Spec, observed: Observed) -> tuple[str, ...]:
    """Return a line for each wanted subject or role that is allowed under further conditions, not evaluated here."""
    return _of_trust(merge.conditional_access, spec, observed)


def denied_subjects(spec: Spec, observed: Observed) -> tuple[str, ...]:
    """Return a line for each wanted subject that a Deny statement denies: adding statements does not allow it."""
    return _of_trust(merge.explicit_denials, spec, observed)


def _of_trust(
    compare: Callable[[merge.Policy, merge.Policy], tuple[str, ...]], spec: Spec, observed: Observed
) -> tuple[str, ...]:
    spec = placed(spec, observed)
    wanted = Wanted(spec, observed.account)
    return tuple(
        f"role {role.name}: trust policy: {line}; this does not change without --replace"
        for role in spec.roles
        if role.name in observed.roles
        for line in compare(observed.roles[role.name].trust, wanted.trust(role))
    )


def _of_provider(spec: Spec, issuer: Issuer, existing: Provider, needed: Sequence[str]) -> list[str]:
    target = provider_target(issuer)
    others = [one for one in existing.client_ids if one not in spec.client_ids]
    lines = [f"{target} also has the client id {one}, which is not changed" for one in others]
    old = [one for one in existing.thumbprints if needed and one not in needed]
    reason = "which is not needed now and is not removed without --prune-thumbprints"
    return lines + [f"{target} also has the thumbprint {one}, {reason}" for one in old]


def _more(wanted: Wanted, role: RoleSpec, existing: Role) -> list[str]:
    chained = wanted.chains(role)
    found = [f"in its trust policy {line}" for line in merge.beyond(existing.trust, wanted.trust(role))]
    if existing.max_session_seconds > role.max_session_seconds:
        seconds = role.max_session_seconds
        found.append(f"sessions of {existing.max_session_seconds} seconds ({seconds} seconds are configured)")
    for name, policy in {**role.inline, **chained}.items():
        before = existing.inline.get(name)
        found += [f"in its inline policy {name} {line}" for line in merge.beyond(before or {}, policy)]
    found += [name for name in existing.inline if name.startswith(CHAIN_PREFIX) and name not in chained]
    has = {key.lower(): (key, value) for key, value in existing.tags.items()}
    differ = [(*has[key.lower()], value) for key, value in role.tags.items() if key.lower() in has]
    return found + [
        f"the tag {key}={value} ({configured} is configured)"
        for key, value, configured in differ
        if value != configured
    ]
