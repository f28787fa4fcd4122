"""The policy documents of the roles of a ``Spec``, before they are merged with existing ones. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sidecar.bootstrap.spec import CHAIN_PREFIX, RoleSpec, Spec
from sidecar.bootstrap.state import Account, Observed
from sidecar.iam.policies import VERSION
from sidecar.iam.trust import for_roles, for_tokens, trust_policy

__all__ = ("Wanted", "placed")


class Wanted:
    """The policies of the roles of a ``Spec`` in one account.

    The role chains are indexed once: with thousands of roles, a search among all roles for each role takes minutes.

    Args:
        spec: with a path for each role, from `placed`.
        account: the account of the roles.
    """

    def __init__(self, spec: Spec, account: Account) -> None:
        self.spec, self.account = spec, account
        arns = {role.name: account.role_arn(role.path, role.name) for role in spec.roles}
        self._sources: dict[str, tuple[str, ...]] = {
            role.name: tuple(name if name.startswith("arn:") else arns[name] for name in role.assumed_by)
            for role in spec.roles
            if role.assumed_by
        }
        self._chained: dict[str, list[RoleSpec]] = {}
        for role in spec.roles:
            for arn in dict.fromkeys(self._sources.get(role.name, ())):
                self._chained.setdefault(arn, []).append(role)

    def trust(self, role: RoleSpec) -> dict[str, Any]:
        """Return the trust policy of a role: a statement for each issuer, or one for the roles that assume it."""
        if role.assumed_by:
            return trust_policy(for_roles(self._sources[role.name], session_tags=role.session_tags))
        return trust_policy(
            *(
                for_tokens(
                    self.account.provider_arn(issuer), audience=role.audience, subjects=subjects, patterns=patterns
                )
                for issuer in self.spec.issuers
                for subjects, patterns in ((role.subjects, False), (role.subjects_like, True))
                if subjects
            )
        )

    def chains(self, role: RoleSpec) -> dict[str, Mapping[str, Any]]:
        """Return the inline policies that let a role assume other roles of the ``Spec``."""
        return {
            CHAIN_PREFIX + other.name: {
                "Version": VERSION,
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": ["sts:AssumeRole", "sts:TagSession"] if other.session_tags else "sts:AssumeRole",
                        "Resource": self.account.role_arn(other.path, other.name),
                    }
                ],
            }
            for other in self._chained.get(self.account.role_arn(role.path, role.name), ())
        }


def placed(spec: Spec, observed: Observed) -> Spec:
    """Return the ``Spec`` with a path for each role; a role without one gets the path of the existing role, or /."""
    paths = {name: role.path for name, role in observed.roles.items()}
    roles = (replace(role, path=role.path or paths.get(role.name, "/")) for role in spec.roles)
    return replace(spec, roles=tuple(roles))
