"""Reads the providers and roles of a ``Spec`` from IAM, and makes one change."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from sidecar.bootstrap.calls import Calls, HandledError, MalformedError
from sidecar.bootstrap.failure import BootstrapError
from sidecar.bootstrap.spec import CHAIN_PREFIX, RoleSpec, Spec
from sidecar.bootstrap.state import OPERATIONS, Account, Change, Observed, Usage
from sidecar.errors import InvalidValueError
from sidecar.exits import Exit
from sidecar.iam.account import Provider, Role, parse_provider, parse_role
from sidecar.iam.policies import document, items

__all__ = ("Iam",)

_Parsed = TypeVar("_Parsed")
_Read = TypeVar("_Read")

# IAM does not accept a new role as a principal for some seconds: "IAM ... eventual consistency",
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventually-consistent
_PROPAGATION_PAUSES: Final = (2.0, 4.0, 8.0, 16.0)
# A role needs at least one call, an existing one at least three; a page of a list has up to a thousand roles:
# https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
_MANY_ROLES: Final = 50
_PAGE: Final = 1_000


class Iam:
    """IAM of one account, with the settings of the AWS CLI.

    Args:
        region: of STS, or None for the region of the environment.
        pause: waits for a number of seconds.
        note: receives one line for each optional permission that the credentials do not have.

    Raises:
        BootstrapError: boto3 finds no valid settings or credentials (2).
    """

    def __init__(
        self,
        region: str | None = None,
        pause: Callable[[float], None] = time.sleep,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._pause = pause
        self._calls = Calls(region)
        self._note = note
        self._noted: set[str] = set()

    def account(self) -> Account:
        """Return the account of the credentials.

        Raises:
            BootstrapError: as for each method: no credentials (2), AWS is unreachable (3), AWS returned an error (4),
                a permission is missing (6).
        """
        answer = self._calls.identity()
        return Account(answer["Account"], answer["Arn"].split(":")[1])

    def observe(self, spec: Spec, account: Account, *, trusting: bool = False) -> Observed:
        """Return the providers and roles of a ``Spec`` that exist.

        Args:
            spec: the providers and roles to read.
            account: the account of the credentials.
            trusting: whether to find the roles that trust its providers, which lists all roles, and the instance
                profiles that have its roles.
        """
        providers = {arn: self._provider(arn) for arn in map(account.provider_arn, spec.issuers)}
        listed = self._listed() if len(spec.roles) > _MANY_ROLES else None
        roles = {role.name: self._role(role, listed) for role in spec.roles}
        existing = {name: found for name, found in roles.items() if found is not None}
        return Observed(
            account,
            {arn: found for arn, found in providers.items() if found is not None},
            existing,
            self._trusting(tuple(providers)) if trusting else None,
            {name: self._instance_profiles(name, listed) for name in existing} if trusting else {},
        )

    def usage(self) -> Usage:
        """Return the quotas of the account and what it uses of them, as far as the permissions allow to read them."""
        summary = self._optional(
            lambda: self._calls.call("GetAccountSummary")["SummaryMap"],
            "the quotas of the account are not known; the changes are compared with IAM's defaults",
        )
        providers = self._optional(
            lambda: len(self._calls.call("ListOpenIDConnectProviders")["OpenIDConnectProviderList"]),
            "the OIDC providers of the account are not counted",
        )
        return Usage({} if summary is None else summary, providers)

    def apply(self, change: Change) -> None:
        """Make one change.

        Raises:
            BootstrapError: see `account`; `changed` is set if the object differs from what was read.
        """
        names_roles = any('"Principal":{"AWS":' in str(value) for value in change.parameters.values())
        for pause in (*(_PROPAGATION_PAUSES if names_roles else ()), None):
            try:
                self._calls.call(change.operation, **change.parameters)
            except HandledError as handled:
                if pause is None or not isinstance(handled, MalformedError):
                    raise handled.error from None
                self._pause(pause)
            else:
                return

    def settle(self) -> None:
        """Wait for IAM's eventual consistency, before reading again what was changed."""
        self._pause(_PROPAGATION_PAUSES[0])

    def _provider(self, arn: str) -> Provider | None:
        answer = self._calls.find("GetOpenIDConnectProvider", OpenIDConnectProviderArn=arn)
        return None if answer is None else _parsed(partial(parse_provider, arn), answer, f"provider {arn}")

    def _listed(self) -> Mapping[str, Mapping[str, Any]] | None:
        """Return the answers of two lists for each role of the account, or None without the permissions for both."""

        def read() -> Mapping[str, Mapping[str, Any]]:
            found = {
                role["RoleName"]: role
                for page in self._calls.pages("GetAccountAuthorizationDetails", Filter=["Role"], MaxItems=_PAGE)
                for role in page["RoleDetailList"]
            }
            # The details have no maximum session duration and no description.
            for page in self._calls.pages("ListRoles", MaxItems=_PAGE):
                for role in page["Roles"]:
                    # A role that was created between the two lists is read by itself.
                    found[role["RoleName"]] = {**found[role["RoleName"]], **role} if role["RoleName"] in found else {}
            return found

        return self._optional(read, "each role is read by itself, which takes longer")

    def _role(self, spec: RoleSpec, listed: Mapping[str, Mapping[str, Any]] | None) -> Role | None:
        if listed is not None and spec.name not in listed:
            return None
        found = (listed or {}).get(spec.name)
        return self._read_role(spec) if not found else _listed_role(spec, found)

    def _read_role(self, spec: RoleSpec) -> Role | None:
        name = spec.name
        answer = self._calls.find("GetRole", RoleName=name)
        if answer is None:
            return None
        role = _parsed(parse_role, answer["Role"], f"role {name}")
        names = [one for page in self._calls.pages("ListRolePolicies", RoleName=name) for one in page["PolicyNames"]]
        return replace(
            role,
            policy_arns=tuple(
                policy["PolicyArn"]
                for page in self._calls.pages("ListAttachedRolePolicies", RoleName=name)
                for policy in page["AttachedPolicies"]
            ),
            inline={one: self._inline(name, one) if _is_configured(spec, one) else None for one in names},
        )

    def _inline(self, role: str, name: str) -> Mapping[str, Any] | None:
        found = self._calls.find("GetRolePolicy", RoleName=role, PolicyName=name)
        return (
            None if found is None else _parsed(document, found["PolicyDocument"], f"role {role}: inline policy {name}")
        )

    def _instance_profiles(self, role: str, listed: Mapping[str, Mapping[str, Any]] | None) -> tuple[str, ...]:
        """Return () also without the permission: AWS then does not delete the role, and says so."""
        found = (listed or {}).get(role)
        profiles = (
            found["InstanceProfileList"]
            if found
            else self._optional(
                lambda: [
                    profile
                    for page in self._calls.pages("ListInstanceProfilesForRole", RoleName=role)
                    for profile in page["InstanceProfiles"]
                ],
                "a role in an instance profile is found when AWS does not delete it",
            )
        )
        return tuple(profile["InstanceProfileName"] for profile in profiles or ())

    def _trusting(self, arns: tuple[str, ...]) -> Mapping[str, tuple[str, ...]] | None:
        roles = self._optional(
            lambda: [role for page in self._calls.pages("ListRoles") for role in page["Roles"]],
            "it is not known which roles trust the providers",
        )
        if roles is None:
            return None
        named = {
            role["RoleName"]: _federated(
                _parsed(document, role.get("AssumeRolePolicyDocument", {}), f"role {role['RoleName']}: trust policy")
            )
            for role in roles
        }
        return {arn: tuple(name for name, found in named.items() if arn in found) for arn in arns}

    def _optional(self, read: Callable[[], _Read], otherwise: str) -> _Read | None:
        """Return the result of some calls; without their permissions None, after a note of what this means."""
        try:
            return read()
        except BootstrapError as error:
            if error.exit_code != Exit.RIGHTS or error.where not in OPERATIONS:
                raise
            line = f"no permission for {' and '.join(OPERATIONS[error.where].actions)}: {otherwise}"
            if line not in self._noted:
                self._noted.add(line)
                self._note(line)
            return None


def _parsed(parse: Callable[[Any], _Parsed], content: object, where: str) -> _Parsed:
    try:
        return parse(content)
    except InvalidValueError as error:
        raise BootstrapError(where, error.what, error.fix, Exit.REFUSED) from None


def _is_configured(spec: RoleSpec, policy: str) -> bool:
    return policy in spec.inline or policy.startswith(CHAIN_PREFIX)


def _listed_role(spec: RoleSpec, found: Mapping[str, Any]) -> Role:
    where = f"role {spec.name}"
    inline = {one["PolicyName"]: one["PolicyDocument"] for one in found.get("RolePolicyList", ())}
    return replace(
        _parsed(parse_role, found, where),
        policy_arns=tuple(policy["PolicyArn"] for policy in found.get("AttachedManagedPolicies", ())),
        inline={
            name: _parsed(document, policy, f"{where}: inline policy {name}") if _is_configured(spec, name) else None
            for name, policy in inline.items()
        },
    )


def _federated(policy: Mapping[str, Any]) -> frozenset[str]:
    principals = [one.get("Principal") for one in items(policy.get("Statement")) if isinstance(one, Mapping)]
    return frozenset(str(arn) for one in principals if isinstance(one, Mapping) for arn in items(one.get("Federated")))
