"""The quotas of IAM, and the principals of a trust policy: what a change must not exceed and must not name.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from examples.local.errors import AwsError, Reason
from examples.local.wire import Operation

_CLIENT_IDS, _INLINE_POLICIES = 100, 10_240  # not adjustable
_TRUSTING = {"CreateRole": "AssumeRolePolicyDocument", "UpdateAssumeRolePolicy": "PolicyDocument"}
# An account, and a principal that IAM resolves to a unique id: IAM refuses them if they do not exist.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
_RESOLVED = re.compile(r"\d{12}|arn:aws[a-z-]*:iam::\d{12}:(?:root|(?:role|user)/.+)")


@dataclass(slots=True)
class Quotas:
    """The quotas that AWS raises on request, with their defaults; a test can raise them.

    Attributes:
        trust_policy: characters of a trust policy, without white space.
        attached: managed policies of a role.
        roles: roles of an account.
        providers: OIDC providers of an account.
    """

    trust_policy: int = 2_048
    attached: int = 10
    roles: int = 1_000
    providers: int = 100


class IamState(Protocol):
    """What the checks read of IAM, as it is before the change."""

    def role_names(self) -> tuple[str, ...]:
        """Return the names of all roles."""
        ...

    def provider_count(self) -> int:
        """Return the number of OIDC providers."""
        ...

    def attached(self, role: str) -> frozenset[str]:
        """Return the ARNs of a role's managed policies; none for an unknown role."""
        ...

    def inline(self, role: str) -> Mapping[str, str]:
        """Return a role's inline policies; none for an unknown role."""
        ...

    def client_ids(self, provider: str) -> frozenset[str]:
        """Return a provider's client ids; none for an unknown provider."""
        ...

    def exists(self, principal: str) -> bool:
        """Return whether an account with this id, or a role, user or account with this ARN, is in this partition."""
        ...


def check_change(operation: Operation, quotas: Quotas, iam: IamState) -> None:
    """Check a change of IAM.

    Args:
        operation: of IAM.
        quotas: of the account.
        iam: the state of the account before the change.

    Raises:
        AwsError: `NAME_IN_USE`, `OVER_QUOTA`, `INLINE_POLICIES_TOO_LONG` or `NO_SUCH_PRINCIPAL`.
    """
    name, given = operation.name, operation.parameters
    role = given.get("RoleName", "")
    if name in _TRUSTING:
        _check_trust_policy(given.get(_TRUSTING[name], ""), quotas, iam)
    if name == "CreateRole":
        _check_new_role(role, iam.role_names(), quotas)
    if name == "CreateOpenIDConnectProvider" and iam.provider_count() >= quotas.providers:
        raise AwsError(Reason.OVER_QUOTA, quota=f"OpenIdConnectProvidersPerAccount: {quotas.providers}")
    if name == "AddClientIDToOpenIDConnectProvider":
        known = iam.client_ids(given.get("OpenIDConnectProviderArn", ""))
        if len(known | {given.get("ClientID", "")}) > _CLIENT_IDS:
            raise AwsError(Reason.OVER_QUOTA, quota=f"ClientIdsPerOpenIdConnectProvider: {_CLIENT_IDS}")
    if name == "AttachRolePolicy" and len(iam.attached(role) | {given.get("PolicyArn", "")}) > quotas.attached:
        raise AwsError(Reason.OVER_QUOTA, quota=f"PoliciesPerRole: {quotas.attached}")
    if name == "PutRolePolicy":
        policies = {**iam.inline(role), given.get("PolicyName", ""): given.get("PolicyDocument", "")}
        if sum(map(_length, policies.values())) > _INLINE_POLICIES:
            raise AwsError(Reason.INLINE_POLICIES_TOO_LONG, most=_INLINE_POLICIES, role=role)


def _check_new_role(role: str, names: Sequence[str], quotas: Quotas) -> None:
    # "Names are not distinguished by case":
    # https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
    if role.lower() in map(str.lower, names):
        raise AwsError(Reason.NAME_IN_USE, name=role)
    if len(names) >= quotas.roles:
        raise AwsError(Reason.OVER_QUOTA, quota=f"RolesPerAccount: {quotas.roles}")


def _check_trust_policy(text: str, quotas: Quotas, iam: IamState) -> None:
    # The error: https://github.com/kubeflow/kubeflow/issues/6687
    if _length(text) > quotas.trust_policy:
        raise AwsError(Reason.OVER_QUOTA, quota=f"ACLSizePerRole: {quotas.trust_policy}")
    for arn in _principals(text):
        if _RESOLVED.fullmatch(arn) and not iam.exists(arn):
            raise AwsError(Reason.NO_SUCH_PRINCIPAL, arn=arn)


def _principals(text: str) -> Iterator[str]:
    try:
        statements: Any = json.loads(text)["Statement"]
    except (ValueError, TypeError, KeyError):
        return  # moto rejects it
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal") if isinstance(statement, dict) else None
        named = principal.get("AWS", []) if isinstance(principal, dict) else []
        yield from (arn for arn in (named if isinstance(named, list) else [named]) if isinstance(arn, str))


def _length(policy: str) -> int:
    # "IAM doesn't count white space when calculating the size of a policy", reference_iam-quotas.html
    return len("".join(policy.split()))
