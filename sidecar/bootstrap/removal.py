"""From a set-up and what IAM has to what ``--destroy`` takes away, and what it leaves and why. Pure."""

from collections.abc import Mapping
from typing import Any

from sidecar.bootstrap.ownership import is_adopted, is_ours
from sidecar.bootstrap.plan import provider_target
from sidecar.bootstrap.spec import CHAIN_PREFIX, Issuer, RoleSpec, Spec
from sidecar.bootstrap.state import Change, Observed, Provider, Role

__all__ = ("removal",)

_NOT_OURS = "others made it, or another set-up"
_ADOPTED = "it was adopted: others made it"


def removal(spec: Spec, observed: Observed) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return the changes that take away what this set-up made, and a line for each thing that stays.

    Roles go before the ones that they are assumed by, and providers last, where no role is left that trusts them.

    Args:
        spec: what was set up.
        observed: what is there, with the roles that trust its providers.
    """
    changes: list[Change] = []
    left: list[str] = []
    gone: set[str] = set()
    for role in reversed(spec.roles):
        there = observed.roles.get(role.name)
        if there is None:
            continue
        found, why = _role(spec, role, there)
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


def _role(spec: Spec, role: RoleSpec, there: Role) -> tuple[list[Change], str]:
    if not is_ours(there.tags, spec.issuers):
        return [], _NOT_OURS
    if is_adopted(there.tags):
        return [], f"{_ADOPTED}; its trust policy and policies are as they were set up"
    target = f"role {role.name}"
    named: dict[str, Any] = {"RoleName": role.name}
    changes = [
        Change("DetachRolePolicy", target, {**named, "PolicyArn": arn}, "policy", arn)
        for arn in there.policy_arns
        if arn in role.policy_arns
    ]
    ours = _own_inline(role, there)
    for name, before in ours.items():
        parameters = {**named, "PolicyName": name}
        changes.append(Change("DeleteRolePolicy", target, parameters, f"inline policy {name}", before))
    others = [arn for arn in there.policy_arns if arn not in role.policy_arns]
    others += [name for name in there.inline if name not in ours]
    if others:
        return changes, f"others gave it {', '.join(others)}; it can still be assumed"
    before = {"path": there.path, "trust policy": dict(there.trust)}
    return [*changes, Change("DeleteRole", target, named, before=before)], ""


def _own_inline(role: RoleSpec, there: Role) -> Mapping[str, Any]:
    return {
        name: policy for name, policy in there.inline.items() if name in role.inline or name.startswith(CHAIN_PREFIX)
    }


def _provider(spec: Spec, issuer: Issuer, provider: Provider, trusting: set[str] | None) -> str:
    if not is_ours(provider.tags, [issuer]):
        return _NOT_OURS
    if is_adopted(provider.tags):
        return _ADOPTED
    if trusting is None:
        return "whether other roles trust it cannot be seen without iam:ListRoles"
    if trusting:
        return f"trusted by role {', '.join(sorted(trusting))}"
    others = [one for one in provider.client_ids if one not in spec.client_ids]
    return f"others gave it the client ids {', '.join(others)}" if others else ""
