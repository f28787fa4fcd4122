"""The changes of ``--destroy``: what it removes, and what it keeps with the reason. Pure."""

from collections.abc import Mapping
from typing import Any

from sidecar.bootstrap.ownership import is_adopted, is_managed
from sidecar.bootstrap.plan import provider_target
from sidecar.bootstrap.spec import CHAIN_PREFIX, Issuer, RoleSpec, Spec
from sidecar.bootstrap.state import Change, Observed
from sidecar.iam.account import Provider, Role

__all__ = ("removal",)

_NOT_MANAGED = "this command did not create it, or created it for another issuer"
_ADOPTED = "it was adopted: this command did not create it"


def removal(spec: Spec, observed: Observed) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return the changes that remove what this command created, and a line for each provider or role that stays.

    A role is removed before the roles that assume it. A provider is removed last, if no other role trusts it.

    Args:
        spec: the providers and roles to remove.
        observed: the current state, with the roles that trust the providers.
    """
    changes: list[Change] = []
    left: list[str] = []
    gone: set[str] = set()
    for role in reversed(spec.roles):
        existing = observed.roles.get(role.name)
        if existing is None:
            continue
        found, why = _role(spec, role, existing, observed.instance_profiles.get(role.name, ()))
        changes += found
        if why:
            left.append(f"role {role.name} stays: {why}")
        else:
            gone.add(role.name)
    for issuer in spec.issuers:
        arn = observed.account.provider_arn(issuer)
        provider = observed.providers.get(arn)
        if provider is None:
            continue
        trusting = None if observed.trusting is None else set(observed.trusting.get(arn, ())) - gone
        why = _provider(spec, issuer, provider, trusting)
        if why:
            left.append(f"{provider_target(issuer)} stays: {why}")
            continue
        before = {"client ids": list(provider.client_ids), "thumbprints": list(provider.thumbprints)}
        parameters = {"OpenIDConnectProviderArn": arn}
        changes.append(Change("DeleteOpenIDConnectProvider", provider_target(issuer), parameters, before=before))
    return tuple(changes), tuple(left)


def _role(spec: Spec, role: RoleSpec, existing: Role, instance_profiles: tuple[str, ...]) -> tuple[list[Change], str]:
    if not is_managed(existing.tags, spec.issuers):
        return [], _NOT_MANAGED
    if is_adopted(existing.tags):
        return [], f"{_ADOPTED}; its trust policy and its policies are not changed"
    if instance_profiles:
        # AWS would delete its policies and then refuse to delete the role: something would run without permissions.
        return [], f"it is in the instance profile {', '.join(instance_profiles)}; its policies are not changed"
    target = f"role {role.name}"
    named: dict[str, Any] = {"RoleName": role.name}
    changes = [
        Change("DetachRolePolicy", target, {**named, "PolicyArn": arn}, "policy", arn)
        for arn in existing.policy_arns
        if arn in role.policy_arns
    ]
    configured = _own_inline(role, existing)
    for name, before in configured.items():
        parameters = {**named, "PolicyName": name}
        changes.append(Change("DeleteRolePolicy", target, parameters, f"inline policy {name}", before))
    others = [arn for arn in existing.policy_arns if arn not in role.policy_arns]
    others += [name for name in existing.inline if name not in configured]
    if others:
        return changes, f"other policies were added to it ({', '.join(others)}); it can still be assumed"
    before = {"path": existing.path, "trust policy": dict(existing.trust)}
    return [*changes, Change("DeleteRole", target, named, before=before)], ""


def _own_inline(role: RoleSpec, existing: Role) -> Mapping[str, Any]:
    return {
        name: policy for name, policy in existing.inline.items() if name in role.inline or name.startswith(CHAIN_PREFIX)
    }


def _provider(spec: Spec, issuer: Issuer, provider: Provider, trusting: set[str] | None) -> str:
    if not is_managed(provider.tags, [issuer]):
        return _NOT_MANAGED
    if is_adopted(provider.tags):
        return _ADOPTED
    if trusting is None:
        return "without iam:ListRoles this command cannot find out whether other roles trust it"
    if trusting:
        return f"trusted by role {', '.join(sorted(trusting))}"
    others = [one for one in provider.client_ids if one not in spec.client_ids]
    return f"other client ids were added to it ({', '.join(others)})" if others else ""
