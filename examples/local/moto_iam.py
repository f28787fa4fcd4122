"""moto's state of IAM in one account: what its API does not have, and what the checks of a change read."""

from collections.abc import Mapping
from typing import Any

from moto.iam.models import iam_backends

from examples.local.partitions import Account, account_of
from examples.local.quotas import Quotas

__all__ = ("MotoIam",)


class MotoIam:
    """IAM of one account.

    Args:
        account: which account.
        accounts: all accounts that exist.
    """

    def __init__(self, account: Account, accounts: frozenset[Account]) -> None:
        self._account, self._accounts = account, accounts

    @property
    def state(self) -> Any:  # noqa: ANN401 - of moto, which types only a part
        """The backend of moto."""
        return _state(self._account)

    def change_client_ids(self, operation: str, arn: str, client_id: str) -> None:
        """Do AddClientIDTo... or RemoveClientIDFromOpenIDConnectProvider, which moto has not; both are idempotent.

        Raises:
            KeyError: no such provider.
        """
        provider = self.state.open_id_providers[arn]
        others = [known for known in provider.client_id_list if known != client_id]
        provider.client_id_list = [*others, client_id] if operation.startswith("Add") else others

    def role_names(self) -> tuple[str, ...]:
        """Return the names of all roles."""
        return tuple(role.name for role in self.state.roles.values())

    def provider_count(self) -> int:
        """Return the number of OIDC providers."""
        return len(self.state.open_id_providers)

    def attached(self, role: str) -> frozenset[str]:
        """Return the ARNs of a role's managed policies; none for an unknown role."""
        return frozenset(arn for found in self._roles(role) for arn in found.managed_policies)

    def inline(self, role: str) -> Mapping[str, str]:
        """Return a role's inline policies; none for an unknown role."""
        return {name: document for found in self._roles(role) for name, document in found.policies.items()}

    def client_ids(self, provider: str) -> frozenset[str]:
        """Return a provider's client ids; none for an unknown provider."""
        found = self.state.open_id_providers.get(provider)
        return frozenset(found.client_id_list) if found else frozenset()

    def exists(self, principal: str) -> bool:
        """Return whether an account with this id, or a role, user or account with this ARN, is in this partition."""
        account = account_of(principal) if ":" in principal else Account(principal, self._account.partition)
        if account not in self._accounts or account.partition != self._account.partition:
            return False
        if principal in {account.id, f"{account.iam}:root"}:
            return True
        state = _state(account)
        return any(found.arn == principal for found in (*state.roles.values(), *state.users.values()))

    def set_quotas(self, quotas: Quotas) -> None:
        """Let GetAccountSummary return these quotas."""
        summary = self.state.account_summary
        # moto has no public way to set them.
        vars(summary).update(
            _assume_role_policy_size_quota=quotas.trust_policy,
            _attached_policies_per_role_quota=quotas.attached,
            _roles_quota=quotas.roles,
        )

    def _roles(self, name: str) -> list[Any]:
        return [role for role in self.state.roles.values() if role.name == name]


def _state(account: Account) -> Any:  # noqa: ANN401 - as above
    return iam_backends[account.id][account.partition]
