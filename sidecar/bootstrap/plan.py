"""From a set-up and what IAM has to the changes between them, in the order in which IAM takes them. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sidecar.bootstrap.ownership import is_ours, own_tags, owned, tag_list
from sidecar.bootstrap.policies import VERSION, same
from sidecar.bootstrap.spec import CHAIN_PREFIX, CLIENT_IDS_MAX, THUMBPRINTS_MAX, Issuer, RoleSpec, Spec
from sidecar.bootstrap.state import Account, Change, Observed, Provider, Role
from sidecar.bootstrap.trust import for_roles, for_tokens, trust_policy
from sidecar.errors import SettingsError

__all__ = ("Thumbprints", "chain_policies", "left_alone", "plan", "provider_target", "trust_of")

_INLINE_MAX: Final = 10_240  # of all inline policies of a role; white space does not count

Thumbprints = Mapping[str, tuple[str, ...] | None]
"""{issuer: the thumbprints that IAM needs}; () where it needs none, None where this could not be found out."""


def plan(
    spec: Spec, observed: Observed, thumbprints: Thumbprints, *, adopt: bool = False, prune: bool = False
) -> tuple[Change, ...]:
    """Return what has to be done; () for nothing. Applied in part and planned again, it gives the rest.

    Changes of what others made are marked as foreign, unless `adopt` takes it over.

    Args:
        spec: what is wanted.
        observed: what is there.
        thumbprints: of every issuer of `spec`.
        adopt: whether what others made is taken over.
        prune: whether thumbprints that are not needed are dropped.

    Raises:
        SettingsError: what is wanted cannot be had in this account, or of this role.
    """
    changes: list[Change] = []
    for issuer in spec.issuers:
        arn = observed.account.provider_arn(issuer)
        wanted = thumbprints[issuer.url]
        there = observed.providers.get(arn)
        if there is None:
            changes.append(_new_provider(spec, issuer, wanted or ()))
        else:
            changes += _provider(spec, issuer, arn, there, wanted, adopt=adopt, prune=prune)
    for role in spec.roles:
        _check(role, observed.account)
        here = observed.roles.get(role.name)
        changes += _new_role(spec, role, observed.account) if here is None else _role(spec, role, observed, adopt=adopt)
    return tuple(changes)


def trust_of(spec: Spec, role: RoleSpec, account: Account) -> dict[str, Any]:
    """Return the trust policy of a role: a statement for each issuer, or one for the roles that assume it."""
    if role.assumed_by:
        return trust_policy(for_roles(_sources(spec, role, account), session_tags=role.session_tags))
    return trust_policy(
        *(
            for_tokens(account.provider_arn(issuer), audience=role.audience, subjects=subjects, patterns=patterns)
            for issuer in spec.issuers
            for subjects, patterns in ((role.subjects, False), (role.subjects_like, True))
            if subjects
        )
    )


def chain_policies(spec: Spec, role: RoleSpec, account: Account) -> dict[str, Mapping[str, Any]]:
    """Return the inline policies that let a role assume others of the set-up."""
    return {
        CHAIN_PREFIX + other.name: {
            "Version": VERSION,
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["sts:AssumeRole", "sts:TagSession"] if other.session_tags else "sts:AssumeRole",
                    "Resource": account.role_arn(other.path, other.name),
                }
            ],
        }
        for other in spec.roles
        if account.role_arn(role.path, role.name) in _sources(spec, other, account)
    }


def left_alone(spec: Spec, observed: Observed) -> tuple[str, ...]:
    """Return a line for each thing on the roles that the set-up does not name and that is left as it is."""
    lines = []
    for role in spec.roles:
        there = observed.roles.get(role.name)
        if there is None:
            continue
        attached = [arn for arn in there.policy_arns if arn not in role.policy_arns]
        inline = [name for name in there.inline if name not in role.inline and not name.startswith(CHAIN_PREFIX)]
        lines += [f"role {role.name} also has {what}, which is left as it is" for what in (*attached, *inline)]
    return tuple(lines)


def _check(role: RoleSpec, account: Account) -> None:
    for arn in (*role.policy_arns, *role.assumed_by):
        if arn.startswith("arn:") and arn.split(":")[1] != account.partition:
            fix = f"use ARNs that begin with arn:{account.partition}:"
            raise SettingsError(f"role {role.name}", f"{arn} is of another partition than the account", fix)


# --- providers ---


def provider_target(issuer: Issuer) -> str:
    """Return how a provider is named to a person."""
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
    spec: Spec,
    issuer: Issuer,
    arn: str,
    there: Provider,
    wanted: tuple[str, ...] | None,
    *,
    adopt: bool,
    prune: bool,
) -> list[Change]:
    named: dict[str, Any] = {"OpenIDConnectProviderArn": arn}
    changes = []
    missing = [one for one in spec.client_ids if one not in there.client_ids]
    if missing and len(there.client_ids) + len(missing) > CLIENT_IDS_MAX:
        fix = "remove those that nothing uses any more"
        raise SettingsError(provider_target(issuer), f"would have more than {CLIENT_IDS_MAX} client ids", fix)
    for one in missing:
        why = "tokens with this audience are taken"
        parameters = {**named, "ClientID": one}
        changes.append(
            Change(
                "AddClientIDToOpenIDConnectProvider", provider_target(issuer), parameters, "client id", None, one, why
            )
        )
    old = tuple(one.lower() for one in there.thumbprints)
    others = tuple(one for one in old if one not in (wanted or ()))
    if wanted and (set(wanted) - set(old) or (prune and others)):
        # New ones first: the limit cuts off what has been there longest.
        new = list(wanted if prune else (*wanted, *others)[:THUMBPRINTS_MAX])
        why = "IAM trusts by thumbprint what no public CA vouches for" + ("" if prune else "; old ones stay behind it")
        parameters = {**named, "ThumbprintList": new}
        operation = "UpdateOpenIDConnectProviderThumbprint"
        changes.append(Change(operation, provider_target(issuer), parameters, "thumbprints", list(old), new, why))
    tag = Change("TagOpenIDConnectProvider", provider_target(issuer), named)
    ours = is_ours(there.tags, [issuer])
    # Several set-ups share a provider: each would set its own value again and again.
    keys = {key.lower() for key in there.tags}  # those that differ in case only are one to IAM
    tags = {key: value for key, value in spec.tags.items() if (ours or adopt) and key.lower() not in keys}
    return owned(changes, tag, there.tags, tags, own_tags(issuer), ours=ours, adopt=adopt)


# --- roles ---


def _sources(spec: Spec, role: RoleSpec, account: Account) -> tuple[str, ...]:
    paths = {other.name: other.path for other in spec.roles}
    return tuple(name if name.startswith("arn:") else account.role_arn(paths[name], name) for name in role.assumed_by)


def _new_role(spec: Spec, role: RoleSpec, account: Account) -> list[Change]:
    trust = trust_of(spec, role, account)
    tags = {**role.tags, **own_tags(spec.issuers[0])}
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
    why = "tokens need both this audience and one of these subjects" if not role.assumed_by else "role chaining"
    first = Change("CreateRole", f"role {role.name}", parameters, after=after, why=why)
    return [first, *_policies(spec, role, account, Role(trust))]


def _role(spec: Spec, role: RoleSpec, observed: Observed, *, adopt: bool) -> list[Change]:
    there, account, target = observed.roles[role.name], observed.account, f"role {role.name}"
    if there.path != role.path:
        fix = "give that path, or another name: IAM moves no role"
        raise SettingsError(target, f"exists with the path {there.path}", fix)
    trust = trust_of(spec, role, account)
    named: dict[str, Any] = {"RoleName": role.name}
    changes = []
    if not same(trust, there.trust):
        why = "replaced whole: statements of others in it are lost"
        parameters = {**named, "PolicyDocument": _compact(trust)}
        changes.append(
            Change("UpdateAssumeRolePolicy", target, parameters, "trust policy", dict(there.trust), trust, why)
        )
    if there.max_session_seconds != role.max_session_seconds:
        parameters = {**named, "MaxSessionDuration": role.max_session_seconds}
        before, after = there.max_session_seconds, role.max_session_seconds
        changes.append(Change("UpdateRole", target, parameters, "max session seconds", before, after))
    changes += _policies(spec, role, account, there)
    ours = is_ours(there.tags, spec.issuers)
    own = own_tags(spec.issuers[0])
    return owned(changes, Change("TagRole", target, named), there.tags, role.tags, own, ours=ours, adopt=adopt)


def _policies(spec: Spec, role: RoleSpec, account: Account, there: Role) -> list[Change]:
    target, named = f"role {role.name}", {"RoleName": role.name}
    changes = [
        Change("AttachRolePolicy", target, {**named, "PolicyArn": arn}, "policy", None, arn, "what the role may do")
        for arn in role.policy_arns
        if arn not in there.policy_arns
    ]
    chained = chain_policies(spec, role, account)
    wanted = {**role.inline, **chained}
    # Those of others count too, but are not read.
    if sum(len("".join(_compact(policy).split())) for policy in wanted.values()) > _INLINE_MAX:
        what, fix = f"are over {_INLINE_MAX} characters together", "make managed policies of them"
        raise SettingsError(f"{target}: inline policies", what, fix)
    for name, policy in wanted.items():
        before = there.inline.get(name)
        if before is None or not same(policy, before):
            why = "role chaining" if name in chained else "what the role may do"
            parameters = {**named, "PolicyName": name, "PolicyDocument": _compact(policy)}
            changes.append(
                Change("PutRolePolicy", target, parameters, f"inline policy {name}", before, dict(policy), why)
            )
    for name, before in there.inline.items():
        if name.startswith(CHAIN_PREFIX) and name not in wanted:
            why = "the role that it named is no longer in this set-up"
            parameters = {**named, "PolicyName": name}
            changes.append(Change("DeleteRolePolicy", target, parameters, f"inline policy {name}", before, None, why))
    return changes


def _compact(policy: Mapping[str, Any]) -> str:
    return json.dumps(policy, separators=(",", ":"))
