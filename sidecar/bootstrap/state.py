"""What IAM has, and one change of it. Pure.

A change carries the exact parameters of one call of the IAM API, so that what is planned, what is applied and what
``--emit cli`` prints are one thing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.bootstrap.spec import Issuer

__all__ = ("OPERATIONS", "Account", "Change", "Observed", "Operation", "Provider", "Role")


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account: its id and the partition that it is in."""

    id: str
    partition: str = "aws"

    def provider_arn(self, issuer: Issuer) -> str:
        """Return the ARN of an issuer's provider."""
        return f"arn:{self.partition}:iam::{self.id}:oidc-provider/{issuer.url.removeprefix('https://')}"

    def role_arn(self, path: str, name: str) -> str:
        """Return the ARN of a role."""
        return f"arn:{self.partition}:iam::{self.id}:role{path}{name}"


@dataclass(frozen=True, slots=True)
class Provider:
    """An OIDC provider of IAM."""

    client_ids: tuple[str, ...] = ()
    thumbprints: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Role:
    """A role of IAM.

    Attributes:
        trust: its trust policy.
        path: of its ARN.
        max_session_seconds: the longest life of its credentials.
        policy_arns: managed policies that are attached.
        inline: {name of an inline policy: its document}; None for one that nobody asked for.
        tags: of the role.
    """

    trust: Mapping[str, Any]
    path: str = "/"
    max_session_seconds: int = 3_600
    policy_arns: tuple[str, ...] = ()
    inline: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there of a set-up.

    Attributes:
        account: where.
        providers: by ARN; those that exist.
        roles: by name; those that exist.
        trusting: {ARN of a provider: names of the roles whose trust policies name it}; None where roles were not
            listed, or may not be.
    """

    account: Account
    providers: Mapping[str, Provider] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    trusting: Mapping[str, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of an AWS API.

    Attributes:
        method: of boto3's client; with dashes, the AWS CLI's command.
        actions: the rights that it needs.
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
        ("ListAttachedRolePolicies", "list_attached_role_policies", ()),
        ("ListRolePolicies", "list_role_policies", ()),
        ("GetRolePolicy", "get_role_policy", ()),
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
"""Every operation that is used.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One change: one call of IAM.

    Attributes:
        operation: a key of `OPERATIONS`.
        target: "role NAME" or "provider HOST/PATH".
        parameters: of the call, all of them, as the API names them.
        what: of the target, such as "trust policy"; "" for the whole of it.
        before: what is there; None for nothing.
        after: what is to be there; None for nothing.
        why: one line for a person.
        foreign: whether the target is somebody else's.
    """

    operation: str
    target: str
    parameters: Mapping[str, Any]
    what: str = ""
    before: Any = None
    after: Any = None
    why: str = ""
    foreign: bool = False

    @property
    def kind(self) -> str:
        """The operation as the AWS CLI names it."""
        return OPERATIONS[self.operation].method.replace("_", "-")

    @property
    def call(self) -> tuple[str, ...]:
        """What is called, and on what; the same for two changes that differ only in what they make of it."""
        names = (str(self.parameters.get(name, "")) for name in ("ClientID", "PolicyArn", "PolicyName"))
        return self.operation, self.target, *names
