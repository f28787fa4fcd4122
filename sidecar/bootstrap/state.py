"""The state of IAM, and one change of it. Pure.

A change has the exact parameters of one call of the IAM API, so that ``--plan``, the run that applies it, and
``--emit cli`` use the same parameters.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.bootstrap.spec import Issuer
from sidecar.iam.account import Provider, Role

__all__ = (
    "OPERATIONS",
    "Account",
    "Change",
    "Observed",
    "Operation",
    "Usage",
    "removals",
)


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account: its id and its partition."""

    id: str
    partition: str = "aws"

    def provider_arn(self, issuer: Issuer) -> str:
        """Return the ARN of an issuer's provider."""
        return f"arn:{self.partition}:iam::{self.id}:oidc-provider/{issuer.url.removeprefix('https://')}"

    def role_arn(self, path: str, name: str) -> str:
        """Return the ARN of a role; `path` is the path of its ``RoleSpec``, "" means /."""
        return f"arn:{self.partition}:iam::{self.id}:role{path or '/'}{name}"


@dataclass(frozen=True, slots=True)
class Observed:
    """The providers and roles of a ``Spec`` that exist.

    Attributes:
        account: the account of both.
        providers: the existing providers by ARN.
        roles: the existing roles by name.
        trusting: {ARN of a provider: names of the roles whose trust policies name it}; None if roles were not listed,
            or iam:ListRoles was denied.
        instance_profiles: {name of a role: the instance profiles that have it}; {} if they were not read.
    """

    account: Account
    providers: Mapping[str, Provider] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    trusting: Mapping[str, tuple[str, ...]] | None = None
    instance_profiles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """The quotas of the account, and what it uses of them.

    Attributes:
        summary: as GetAccountSummary returns it; {} if it was not read.
            https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountSummary.html
        providers: the number of OIDC providers, which that summary adds to the SAML providers; None if it was not read.
    """

    summary: Mapping[str, int] = field(default_factory=dict)
    providers: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of an AWS API.

    Attributes:
        method: of boto3's client; with dashes, the command of the AWS CLI.
        actions: the permissions that it needs.
    """

    method: str
    actions: tuple[str, ...]


def _operations(*rows: tuple[str, str, tuple[str, ...]]) -> dict[str, Operation]:
    return {name: Operation(method, (f"iam:{name}", *more)) for name, method, more in rows}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "GetCallerIdentity": Operation("get_caller_identity", ("sts:GetCallerIdentity",)),
    **_operations(
        ("GetOpenIDConnectProvider", "get_open_id_connect_provider", ()),
        ("GetRole", "get_role", ()),
        ("ListRoles", "list_roles", ()),
        ("ListOpenIDConnectProviders", "list_open_id_connect_providers", ()),
        ("GetAccountAuthorizationDetails", "get_account_authorization_details", ()),
        ("GetAccountSummary", "get_account_summary", ()),
        ("ListAttachedRolePolicies", "list_attached_role_policies", ()),
        ("ListRolePolicies", "list_role_policies", ()),
        ("GetRolePolicy", "get_role_policy", ()),
        ("ListInstanceProfilesForRole", "list_instance_profiles_for_role", ()),
        ("CreateOpenIDConnectProvider", "create_open_id_connect_provider", ("iam:TagOpenIDConnectProvider",)),
        ("AddClientIDToOpenIDConnectProvider", "add_client_id_to_open_id_connect_provider", ()),
        ("UpdateOpenIDConnectProviderThumbprint", "update_open_id_connect_provider_thumbprint", ()),
        ("TagOpenIDConnectProvider", "tag_open_id_connect_provider", ()),
        ("CreateRole", "create_role", ("iam:TagRole",)),
        ("UpdateAssumeRolePolicy", "update_assume_role_policy", ()),
        ("UpdateRole", "update_role", ()),
        ("TagRole", "tag_role", ()),
        ("AttachRolePolicy", "attach_role_policy", ()),
        ("PutRolePolicy", "put_role_policy", ()),
        ("DetachRolePolicy", "detach_role_policy", ()),
        ("DeleteRolePolicy", "delete_role_policy", ()),
        ("DeleteRole", "delete_role", ()),
        ("DeleteOpenIDConnectProvider", "delete_open_id_connect_provider", ()),
    ),
}
"""The operations that are used.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One change: one call of IAM.

    Attributes:
        operation: a key of `OPERATIONS`.
        target: "role NAME" or "provider HOST/PATH".
        parameters: all parameters of the call, with their names in the API.
        what: the part of the target, such as "trust policy"; "" for the whole target.
        before: the current value; None if there is none.
        after: the new value; None if it is removed.
        why: the reason, one line.
        foreign: whether this command did not create the target, and --adopt is not given.
        removes: a line for each part that the change removes or shortens.
    """

    operation: str
    target: str
    parameters: Mapping[str, Any]
    what: str = ""
    before: Any = None
    after: Any = None
    why: str = ""
    foreign: bool = False
    removes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The command of the AWS CLI for the operation."""
        return OPERATIONS[self.operation].method.replace("_", "-")

    @property
    def call(self) -> tuple[str, ...]:
        """The operation and its object; equal for two changes that differ only in the new value."""
        names = (str(self.parameters.get(name, "")) for name in ("ClientID", "PolicyArn", "PolicyName"))
        return self.operation, self.target, *names


def removals(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return a line for each part that these changes remove or shorten."""
    return tuple(f"{change.target}: {line}" for change in changes for line in change.removes)
