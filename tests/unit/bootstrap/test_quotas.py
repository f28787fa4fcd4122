"""The quotas of IAM that a plan would exceed."""

from typing import Any

import pytest

from sidecar.bootstrap.plan import plan
from sidecar.bootstrap.quotas import over_quota
from sidecar.bootstrap.spec import Issuer, RoleSpec, Spec
from sidecar.bootstrap.state import Account, Change, Observed, Usage
from sidecar.errors import SettingsError
from sidecar.iam.account import Role
from sidecar.iam.policies import length

_ACCOUNT = Account("123456789012")
_ISSUER = Issuer("https://issuer.test", ())
_EMPTY = Observed(_ACCOUNT)
_DEFAULTS = Usage()


def _subjects(number: int) -> tuple[str, ...]:
    return tuple(f"system:serviceaccount:namespace-{one:04}:application" for one in range(number))


def _arns(number: int) -> tuple[str, ...]:
    return tuple(f"arn:aws:iam::aws:policy/P{one}" for one in range(number))


def _plan(*roles: RoleSpec, observed: Observed = _EMPTY) -> tuple[Change, ...]:
    return plan(Spec((_ISSUER,), roles), observed, {_ISSUER.url: ()})


def _lines(*roles: RoleSpec, usage: Usage = _DEFAULTS, observed: Observed = _EMPTY) -> tuple[str, ...]:
    return over_quota(_plan(*roles, observed=observed), observed, usage)


def test_a_plan_within_the_default_quotas_has_no_line() -> None:
    assert _lines(RoleSpec("A", _subjects(30), policy_arns=_arns(10))) == ()
    roles = [RoleSpec(f"R{one}", ("s",)) for one in range(1_000)]
    assert _lines(*roles, usage=Usage(providers=99)) == ()


def test_three_thousand_service_accounts_in_one_role_are_an_error_before_any_change() -> None:
    with pytest.raises(SettingsError, match=r"trust policy: would have 1\d{5} characters, and IAM allows at most 8192"):
        _plan(RoleSpec("A", _subjects(3_000)))


def test_a_trust_policy_between_the_default_and_the_highest_quota_is_a_warning_with_both_ways_out() -> None:
    role = RoleSpec("A", _subjects(60))
    found = length(_plan(role)[1].after["trust policy"])
    (line,) = _lines(role)
    assert line == (
        f"role A: trust policy would have {found} characters, and IAM's default quota is 2048: "
        'raise "Role trust policy length" in Service Quotas (to at most 8192), '
        "or use a pattern of --subject-like (subjects_like in a file) or several roles"
    )
    assert _lines(role, usage=Usage({"AssumeRolePolicySizeQuota": 4_096})) == ()
    (line,) = _lines(role, usage=Usage({"AssumeRolePolicySizeQuota": found - 1}))
    assert f"the account's quota is {found - 1}" in line


def test_policies_that_are_attached_already_count() -> None:
    existing = Role(_ACCOUNT.role_arn("", "A"), {}, policy_arns=_arns(8))
    observed = Observed(_ACCOUNT, {}, {"A": existing})
    assert _lines(RoleSpec("A", ("s",), policy_arns=_arns(10)), observed=observed) == ()
    more: dict[str, Any] = {"observed": observed, "usage": Usage(providers=0)}
    (line,) = _lines(RoleSpec("A", ("s",), policy_arns=("arn:aws:iam::aws:policy/Q", *_arns(10))), **more)
    assert line.startswith("role A would have 11 managed policies, and IAM's default quota is 10")
    with pytest.raises(SettingsError, match="would have 26 managed policies, and IAM allows at most 25"):
        _plan(RoleSpec("A", ("s",), policy_arns=("arn:aws:iam::aws:policy/Q", *_arns(25))), observed=observed)


def test_what_the_account_has_already_counts() -> None:
    usage = Usage({"Roles": 999, "RolesQuota": 1_000}, providers=100)
    lines = _lines(RoleSpec("A", ("s",)), RoleSpec("B", ("s",)), usage=usage)
    assert [line.partition(":")[0] for line in lines] == [
        "the account would have 1001 roles, and the account's quota is 1000",
        "the account would have 101 OIDC providers, and IAM's default quota is 100",
    ]
