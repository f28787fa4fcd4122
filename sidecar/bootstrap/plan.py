"""The changes that turn the state of IAM into a ``Spec``, in an order that IAM accepts. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.bootstrap.merge import beyond, merged_trust
from sidecar.bootstrap.ownership import is_managed, own_tags, tag_list, with_tags
from sidecar.bootstrap.quotas import check_quotas
from sidecar.bootstrap.spec import CHAIN_PREFIX, CLIENT_IDS_MAX, THUMBPRINTS_MAX, Issuer, RoleSpec, Spec
from sidecar.bootstrap.state import Account, Change, Observed
from sidecar.bootstrap.wanted import Wanted, placed
from sidecar.errors import InvalidValueError, SettingsError
from sidecar.iam.account import Provider, Role
from sidecar.iam.policies import length, merged, same

__all__ = ("PlanOptions", "Thumbprints", "plan", "provider_target")

_INLINE_MAX: Final = 10_240  # characters of all inline policies of a role, without white space

Thumbprints = Mapping[str, tuple[str, ...] | None]
"""{issuer: the thumbprints that IAM needs}; () if it needs none, None if the issuer could not be read."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What a plan may do besides adding.

    Attributes:
        adopt: whether to change objects that this command did not create.
        prune: whether to remove thumbprints that IAM does not need.
        replace: whether to remove what exists and is not configured: statements of trust policies, statements of
            configured inline policies, policies of role chains, longer sessions, other values of roles' tags, and
            thumbprints over the limit. Otherwise these stay, and the configured parts are added.
    """

    adopt: bool = False
    prune: bool = False
    replace: bool = False


def plan(
    spec: Spec, observed: Observed, thumbprints: Thumbprints, options: PlanOptions = PlanOptions()
) -> tuple[Change, ...]:
    """Return the changes; () if none is needed. If only some were applied, the next plan returns the others.

    Changes of objects that this command did not create are marked as foreign, except with `options.adopt`.

    Args:
        spec: the wanted state.
        observed: the current state.
        thumbprints: for each issuer of `spec`.
        options: what the changes may do besides adding.

    Raises:
        SettingsError: the wanted state is not possible in this account, for this role, within the highest quotas of
            IAM, or without `options.replace`.
    """
    spec = placed(spec, observed)
    wanted = Wanted(spec, observed.account)
    changes: list[Change] = []
    for issuer in spec.issuers:
        arn = observed.account.provider_arn(issuer)
        needed = thumbprints[issuer.url]
        existing = observed.providers.get(arn)
        if existing is None:
            changes.append(_new_provider(spec, issuer, needed or ()))
        else:
            changes += _provider(spec, issuer, arn, existing, needed, options)
    for role in spec.roles:
        _check(role, observed.account)
        here = observed.roles.get(role.name)
        changes += _new_role(wanted, role) if here is None else _role(wanted, role, here, options)
    check_quotas(changes, observed)
    return tuple(changes)


def _check(role: RoleSpec, account: Account) -> None:
    for arn in (*role.policy_arns, *role.assumed_by):
        if arn.startswith("arn:") and arn.split(":")[1] != account.partition:
            fix = f"use ARNs that begin with arn:{account.partition}:"
            raise SettingsError(f"role {role.name}", f"{arn} is in another partition than the account", fix)


# --- providers ---


def provider_target(issuer: Issuer) -> str:
    """Return the name of a provider in output."""
    return f"provider {issuer.url.removeprefix('https://')}"


def _new_provider(spec: Spec, issuer: Issuer, thumbprints: Sequence[str]) -> Change:
    tags = {**spec.tags, **own_tags(issuer)}
    parameters = {"Url": issuer.url, "ClientIDList": list(spec.client_ids), "Tags": tag_list(tags)}
    if thumbprints:
        parameters["ThumbprintList"] = list(thumbprints)
    after = {"client ids": list(spec.client_ids), "thumbprints": list(thumbprints), "tags": tags}
    why = "IAM trusts this issuer's tokens"
    return Change("CreateOpenIDConnectProvider", provider_target(issuer), parameters, after=after, why=why)


def _provider(
    spec: Spec, issuer: Issuer, arn: str, existing: Provider, wanted: tuple[str, ...] | None, options: PlanOptions
) -> list[Change]:
    named: dict[str, Any] = {"OpenIDConnectProviderArn": arn}
    target = provider_target(issuer)
    missing = [one for one in spec.client_ids if one not in existing.client_ids]
    if missing and len(existing.client_ids) + len(missing) > CLIENT_IDS_MAX:
        what = f"has {len(existing.client_ids)} client ids, and would have more than {CLIENT_IDS_MAX} client ids with "
        raise SettingsError(target, what + ", ".join(missing), "remove client ids that are no longer used")
    why = "IAM accepts tokens with this audience"
    changes = [
        Change("AddClientIDToOpenIDConnectProvider", target, {**named, "ClientID": one}, "client id", None, one, why)
        for one in missing
    ]
    changes += _thumbprints(target, named, existing, wanted or (), options)
    tag = Change("TagOpenIDConnectProvider", target, named)
    managed = is_managed(existing.tags, [issuer])
    # Several teams can share a provider; each would overwrite the others' value again and again.
    tags = _new_keys(spec.tags, existing.tags) if managed or options.adopt else {}
    return with_tags(changes, tag, existing.tags, tags, own_tags(issuer), managed=managed, adopt=options.adopt)


def _thumbprints(
    target: str, named: Mapping[str, Any], existing: Provider, wanted: Sequence[str], options: PlanOptions
) -> list[Change]:
    old = existing.thumbprints
    others = tuple(one for one in old if one not in wanted)
    if not wanted or not (set(wanted) - set(old) or (options.prune and others)):
        return []
    # New ones first, so that the limit removes the oldest.
    new = tuple(wanted) if options.prune else (*wanted, *others)
    over = new[THUMBPRINTS_MAX:]
    if over and not options.replace:
        what = f"would have {len(new)} thumbprints with {', '.join(wanted)}, and IAM allows {THUMBPRINTS_MAX}"
        fix = f"give --replace to remove {', '.join(over)}, or --prune-thumbprints to remove each that is not needed"
        raise SettingsError(target, what, fix)
    new = new[:THUMBPRINTS_MAX]
    why = "IAM trusts a server without a public CA by its thumbprint" + ("" if options.prune else "; old ones are kept")
    parameters = {**named, "ThumbprintList": list(new)}
    operation = "UpdateOpenIDConnectProviderThumbprint"
    removes = tuple(f"thumbprint {one}" for one in old if one not in new)
    return [Change(operation, target, parameters, "thumbprints", list(old), list(new), why, removes=removes)]


def _new_keys(tags: Mapping[str, str], existing: Mapping[str, str]) -> dict[str, str]:
    keys = {key.lower() for key in existing}  # IAM does not distinguish keys by case
    return {key: value for key, value in tags.items() if key.lower() not in keys}


# --- roles ---


def _new_role(wanted: Wanted, role: RoleSpec) -> list[Change]:
    trust = wanted.trust(role)
    tags = {**role.tags, **own_tags(wanted.spec.issuers[0])}
    parameters = {
        "RoleName": role.name,
        "Path": role.path,
        "AssumeRolePolicyDocument": _compact(trust),
        "MaxSessionDuration": role.max_session_seconds,
        "Tags": tag_list(tags),
    }
    after = {
        "path": role.path,
        "trust policy": trust,
        "max session seconds": role.max_session_seconds,
        "tags": tags,
    }
    why = "a token needs both an audience and a subject of this policy" if not role.assumed_by else "role chaining"
    first = Change("CreateRole", f"role {role.name}", parameters, after=after, why=why)
    new = Role(wanted.account.role_arn(role.path, role.name), trust)
    return [first, *_policies(wanted, role, new, PlanOptions())]


def _role(wanted: Wanted, role: RoleSpec, existing: Role, options: PlanOptions) -> list[Change]:
    spec, target = wanted.spec, f"role {role.name}"
    if existing.path != role.path:
        fix = "give that path, or another name: IAM cannot change the path of a role"
        raise SettingsError(target, f"exists with the path {existing.path}", fix)
    named: dict[str, Any] = {"RoleName": role.name}
    changes = [*_trust(wanted.trust(role), role, existing, options), *_session(role, existing, options)]
    changes += _policies(wanted, role, existing, options)
    managed = is_managed(existing.tags, spec.issuers)
    tags = role.tags if options.replace else _new_keys(role.tags, existing.tags)
    tag = Change("TagRole", target, named)
    return with_tags(changes, tag, existing.tags, tags, own_tags(spec.issuers[0]), managed=managed, adopt=options.adopt)


def _trust(wanted: Mapping[str, Any], role: RoleSpec, existing: Role, options: PlanOptions) -> list[Change]:
    if options.replace:
        new = existing.trust if same(wanted, existing.trust) else wanted
        why = "replaces the existing policy"
    else:
        new, why = merged_trust(existing.trust, wanted), "adds to the existing policy"
    if new == existing.trust:
        return []
    removes = tuple(f"trust policy: {line}" for line in beyond(existing.trust, wanted)) if options.replace else ()
    parameters = {"RoleName": role.name, "PolicyDocument": _compact(new)}
    before, after = dict(existing.trust), dict(new)
    operation, target = "UpdateAssumeRolePolicy", f"role {role.name}"
    return [Change(operation, target, parameters, "trust policy", before, after, why, removes=removes)]


def _session(role: RoleSpec, existing: Role, options: PlanOptions) -> list[Change]:
    before, after = existing.max_session_seconds, role.max_session_seconds
    if before == after or (before > after and not options.replace):
        return []
    parameters: dict[str, Any] = {"RoleName": role.name, "MaxSessionDuration": after}
    if existing.description:
        # The call sets both. AWS does not document that an omitted description stays.
        parameters["Description"] = existing.description
    removes = (f"max session seconds {before} -> {after}",) if before > after else ()
    what = "max session seconds"
    return [Change("UpdateRole", f"role {role.name}", parameters, what, before, after, removes=removes)]


def _policies(wanted: Wanted, role: RoleSpec, existing: Role, options: PlanOptions) -> list[Change]:
    target, named = f"role {role.name}", {"RoleName": role.name}
    changes = [
        Change("AttachRolePolicy", target, {**named, "PolicyArn": arn}, "policy", None, arn, "permissions of the role")
        for arn in role.policy_arns
        if arn not in existing.policy_arns
    ]
    chained = wanted.chains(role)
    inline = {**role.inline, **chained}
    new = {name: _inline(target, name, policy, existing.inline.get(name), options) for name, policy in inline.items()}
    # Other inline policies count too, but are not read.
    if sum(length(policy) for policy in new.values()) > _INLINE_MAX:
        what, fix = f"are over {_INLINE_MAX} characters together", "use managed policies instead"
        raise SettingsError(f"{target}: inline policies", what, fix)
    for name, policy in new.items():
        before = existing.inline.get(name)
        if policy != before:
            why = "role chaining" if name in chained else "permissions of the role"
            parameters = {**named, "PolicyName": name, "PolicyDocument": _compact(policy)}
            what = f"inline policy {name}"
            removes = tuple(f"{what}: {line}" for line in beyond(before or {}, inline[name])) if options.replace else ()
            after = dict(policy)
            changes.append(Change("PutRolePolicy", target, parameters, what, before, after, why, removes=removes))
    return changes + (_obsolete_chains(target, named, existing, inline) if options.replace else [])


def _inline(
    target: str, name: str, wanted: Mapping[str, Any], existing: Mapping[str, Any] | None, options: PlanOptions
) -> Mapping[str, Any]:
    if existing is None:
        return wanted
    if options.replace:
        return existing if same(wanted, existing) else wanted
    try:
        return merged(existing, wanted)
    except InvalidValueError as error:
        raise SettingsError(f"{target}: inline policy {name}", error.what, error.fix) from None


def _obsolete_chains(target: str, named: Mapping[str, Any], existing: Role, wanted: Mapping[str, Any]) -> list[Change]:
    why = "the role that it names is no longer configured"
    return [
        Change(
            "DeleteRolePolicy",
            target,
            {**named, "PolicyName": name},
            f"inline policy {name}",
            before,
            None,
            why,
            removes=(f"inline policy {name}",),
        )
        for name, before in existing.inline.items()
        if name.startswith(CHAIN_PREFIX) and name not in wanted
    ]


def _compact(policy: Mapping[str, Any]) -> str:
    return json.dumps(policy, separators=(",", ":"))
