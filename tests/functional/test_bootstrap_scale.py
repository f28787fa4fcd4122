"""``bootstrap aws`` with many roles: the calls of AWS and the operations grow at most in proportion to the roles."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from examples.local.world import World
from sidecar.bootstrap.file import build
from sidecar.bootstrap.iam import Iam
from sidecar.bootstrap.plan import PlanOptions, plan
from sidecar.bootstrap.remarks import conditional_subjects, denied_subjects, unchanged_extras
from sidecar.bootstrap.removal import removal
from sidecar.bootstrap.spec import Spec
from sidecar.bootstrap.state import Account, Observed
from sidecar.bootstrap.wanted import Wanted
from sidecar.iam.account import Role
from tests.functional.bootstrapping import Line, bootstrap, good, keys_that_may, variables

_FEW = 55  # more than the number from which roles are listed instead of read one by one
_THUMBPRINT = ("--thumbprint", "0" * 40)


def _file(folder: Path, number: int) -> Path:
    lines = ['issuer = "https://issuer.test"']
    for one in range(number):
        lines += ["[[role]]", f'name = "Role{one}"', f'service_accounts = ["namespace-{one}/app"]']
        lines += ['policy_arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]', "max_session_seconds = 7200"]
    lines += ["[[role]]", 'name = "Chained"', 'assumed_by = ["Role0", "Role1"]']
    path = folder / f"roles-{number}.toml"
    path.write_text("\n".join(lines))
    return path


def _calls(world: World, *arguments: str) -> list[str]:
    with Line(world) as line:
        good(bootstrap(world, *arguments, environment={"AWS_ENDPOINT_URL": line.url}))
    return line.calls


def test_the_number_of_calls_of_a_plan_does_not_depend_on_the_number_of_roles(
    fresh_world: World, tmp_path: Path
) -> None:
    few, more = _file(tmp_path, _FEW), _file(tmp_path, 2 * _FEW)
    empty = _calls(fresh_world, "--file", str(few), *_THUMBPRINT, "--plan")
    assert _calls(fresh_world, "--file", str(more), *_THUMBPRINT, "--plan") == empty
    good(bootstrap(fresh_world, "--file", str(few), *_THUMBPRINT))
    assert len(_calls(fresh_world, "--file", str(few), *_THUMBPRINT, "--plan")) <= len(empty)


def test_listed_roles_are_equal_to_roles_that_are_read_one_by_one(
    fresh_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _file(tmp_path, _FEW)
    good(bootstrap(fresh_world, "--file", str(file), *_THUMBPRINT))
    iam = fresh_world.admin_client("iam")
    iam.update_role(RoleName="Role3", Description="of two teams", MaxSessionDuration=3600)
    policy = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}'
    iam.put_role_policy(RoleName="Role4", PolicyName="other", PolicyDocument=policy)
    iam.create_instance_profile(InstanceProfileName="nodes")
    iam.add_role_to_instance_profile(InstanceProfileName="nodes", RoleName="Role5")
    for name, value in variables(fresh_world).items():
        monkeypatch.setenv(name, value)
    one_by_one = keys_that_may(
        fresh_world,
        [
            {
                "Effect": "Allow",
                "Action": ["iam:GetRole*", "iam:GetOpenIDConnectProvider", "iam:List*"],
                "Resource": "*",
            }
        ],
    )
    spec, account = _spec(_FEW), Account("123456789012")
    listed = Iam().observe(spec, account, trusting=True)
    for name, value in one_by_one.items():
        monkeypatch.setenv(name, value)
    assert Iam().observe(spec, account, trusting=True) == listed
    assert (listed.roles["Role3"].description, listed.roles["Role3"].max_session_seconds) == ("of two teams", 3600)
    assert listed.roles["Role4"].inline == {"other": None}
    assert listed.instance_profiles["Role5"] == ("nodes",)
    assert "aws-oidc-sidecar-assume-Chained" in listed.roles["Role0"].inline


# --- operations ---


def _spec(number: int) -> Spec:
    roles: list[dict[str, Any]] = [
        {
            "name": f"Role{one}",
            "service_accounts": [f"namespace-{one}/app"],
            "inline_policies": {"read": '{"Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}'},
        }
        for one in range(number)
    ]
    roles += [
        {"name": f"Next{one}", "assumed_by": [f"Role{one}", f"arn:aws:iam::123456789012:role/Role{one}"]}
        for one in range(number)
    ]
    return build({"issuer": "https://issuer.test", "role": roles}, lambda place, key: f"{place}{key}", lambda _: "")


def _complete(spec: Spec) -> Observed:
    account = Account("123456789012")
    wanted = Wanted(spec, account)
    roles = {
        role.name: Role(account.role_arn("", role.name), wanted.trust(role), inline=wanted.chains(role))
        for role in spec.roles
    }
    return Observed(account, {}, roles, {account.provider_arn(spec.issuers[0]): tuple(roles)})


def _whole_run(number: int) -> None:
    spec = _spec(number)
    thumbprints = {"https://issuer.test": ("0" * 40,)}
    for observed in (Observed(Account("123456789012")), _complete(spec)):
        for options in (PlanOptions(adopt=True), PlanOptions(adopt=True, replace=True)):
            plan(spec, observed, thumbprints, options)
            unchanged_extras(spec, observed, thumbprints, options)
        conditional_subjects(spec, observed)
        denied_subjects(spec, observed)
        removal(spec, observed)


def _operations(number: int) -> int:
    """Return the number of bytecode instructions of a run, which no load of the machine changes."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 - as sys.settrace takes it
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        _whole_run(number)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.timeout(120)
def test_the_operations_of_a_run_grow_in_proportion_to_the_number_of_roles() -> None:
    _whole_run(1)  # what is computed once, such as regular expressions
    base, few, many = _operations(5), _operations(25), _operations(65)
    each_of_few, each_of_many = (few - base) / 20, (many - few) / 40
    assert each_of_many < 1.1 * each_of_few, "a search among all roles for each role takes minutes with 3,000 roles"
