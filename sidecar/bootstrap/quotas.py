"""What planned changes would exceed of the quotas of IAM. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html has the defaults, the highest values, and the
quotas that have one value only: client ids and thumbprints of a provider, and the inline policies of a role.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.bootstrap.state import Change, Observed, Usage
from sidecar.errors import SettingsError
from sidecar.iam.policies import length

__all__ = ("check_quotas", "over_quota")


@dataclass(frozen=True, slots=True)
class _Quota:
    """A quota that AWS raises on request.

    Attributes:
        name: in Service Quotas.
        default: its value in a new account.
        maximum: its highest value.
        member: of GetAccountSummary, with its value in the account; "" for none.
        unit: what it counts.
        fix: another way than to raise it.
    """

    name: str
    default: int
    maximum: int
    member: str
    unit: str
    fix: str


_TRUST: Final = _Quota(
    "Role trust policy length",
    2_048,
    8_192,
    "AssumeRolePolicySizeQuota",
    "characters",
    "use a pattern of --subject-like (subjects_like in a file) or several roles",
)
_ATTACHED: Final = _Quota(
    "Managed policies per role", 10, 25, "AttachedPoliciesPerRoleQuota", "managed policies", "join some of the policies"
)
_ROLES: Final = _Quota(
    "Roles per account", 1_000, 10_000, "RolesQuota", "roles", "use fewer roles, each for several ServiceAccounts"
)
_PROVIDERS: Final = _Quota(
    "OpenId connect providers per account", 100, 700, "", "OIDC providers", "remove providers that are no longer used"
)


def check_quotas(changes: Sequence[Change], observed: Observed) -> None:
    """Check that the changes stay within the highest values that AWS allows for one role.

    Raises:
        SettingsError: they do not.
    """
    for target, quota, found in _of_roles(changes, observed):
        if found > quota.maximum:
            what = f"would have {found} {quota.unit}, and IAM allows at most {quota.maximum}"
            raise SettingsError(target, what, quota.fix)


def over_quota(changes: Sequence[Change], observed: Observed, usage: Usage) -> tuple[str, ...]:
    """Return a line for each quota of the account that the changes would exceed.

    Args:
        changes: the plan.
        observed: the state that it starts from.
        usage: the quotas of the account; the default of IAM stands for one that was not read.
    """
    counted: list[tuple[str, _Quota, int]] = list(_of_roles(changes, observed))
    roles = sum(change.operation == "CreateRole" for change in changes)
    if roles:
        counted.append(("the account", _ROLES, usage.summary.get("Roles", 0) + roles))
    providers = sum(change.operation == "CreateOpenIDConnectProvider" for change in changes)
    if providers:
        counted.append(("the account", _PROVIDERS, (usage.providers or 0) + providers))
    return tuple(
        _line(target, quota, found, usage.summary)
        for target, quota, found in counted
        if found > usage.summary.get(quota.member, quota.default)
    )


def _of_roles(changes: Sequence[Change], observed: Observed) -> Iterator[tuple[str, _Quota, int]]:
    attached: dict[str, int] = {}
    for change in changes:
        if change.operation == "AttachRolePolicy":
            attached[change.target] = attached.get(change.target, 0) + 1
        elif change.operation == "CreateRole":
            yield f"{change.target}: trust policy", _TRUST, length(change.after["trust policy"])
        elif change.operation == "UpdateAssumeRolePolicy":
            yield f"{change.target}: trust policy", _TRUST, length(change.after)
    for target, number in attached.items():
        existing = observed.roles.get(target.removeprefix("role "))
        yield target, _ATTACHED, number + (len(existing.policy_arns) if existing else 0)


def _line(target: str, quota: _Quota, found: int, summary: Mapping[str, int]) -> str:
    of_account = summary.get(quota.member)
    has = f"IAM's default quota is {quota.default}" if of_account is None else f"the account's quota is {of_account}"
    raised = f'raise "{quota.name}" in Service Quotas (to at most {quota.maximum})'
    return f"{target} would have {found} {quota.unit}, and {has}: {raised}, or {quota.fix}"
