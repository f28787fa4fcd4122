"""The policies in docs/bootstrap.md have exactly the permissions that the modes need."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from examples.local.world import World
from sidecar.bootstrap.state import OPERATIONS
from tests.functional.bootstrapping import (
    PROVIDER_ARN,
    READ_ONLY,
    ROLE,
    USUAL,
    bootstrap,
    good,
    iam_now,
    keys_that_may,
    stopped,
)

_PAGE = (Path(__file__).parents[2] / "docs" / "bootstrap.md").read_text()
_SET_UP, _CHECK, _DESTROY = (
    json.loads(block)["Statement"] for block in re.findall(r"```json\n(.*?)```", _PAGE, re.DOTALL)
)


def _anywhere(statements: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The local AWS evaluates each call of IAM with the resource *."""
    return [{**statement, "Resource": "*"} for statement in statements]


def _actions(statements: Sequence[Mapping[str, Any]]) -> set[str]:
    return {
        action
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }


def test_the_documented_policies_have_exactly_the_used_actions() -> None:
    used = {action for operation in OPERATIONS.values() for action in operation.actions}
    assert _actions(_SET_UP) | _actions(_DESTROY) == used - {"sts:GetCallerIdentity"}
    assert _actions(_CHECK) == {action for action in _actions(_SET_UP) if action.startswith(("iam:Get", "iam:List"))}


def _drift(world: World) -> None:
    iam = world.admin_client("iam")
    iam.update_role(RoleName=ROLE, MaxSessionDuration=7200)
    statement = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=document)
    iam.detach_role_policy(RoleName=ROLE, PolicyArn=READ_ONLY)
    iam.delete_role_policy(RoleName=ROLE, PolicyName="read")
    iam.tag_role(RoleName=ROLE, Tags=[{"Key": "team", "Value": "else"}])
    named: Any = {"OpenIDConnectProviderArn": PROVIDER_ARN}
    iam.remove_client_id_from_open_id_connect_provider(**named, ClientID="sts.amazonaws.com")
    iam.update_open_id_connect_provider_thumbprint(**named, ThumbprintList=["0" * 40])
    iam.tag_open_id_connect_provider(**named, Tags=[{"Key": "team", "Value": "else"}])


@pytest.fixture
def usual(tmp_path: Path) -> tuple[str, ...]:
    """Flags that use each kind of call."""
    (tmp_path / "p.json").write_text(
        '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'
    )
    return (*USUAL, "--tag", "team=payments", "--inline-policy", f"read={tmp_path / 'p.json'}")


def test_each_mode_works_with_its_documented_policy(fresh_world: World, usual: tuple[str, ...]) -> None:
    world = fresh_world
    make, check, destroy = (
        keys_that_may(world, _anywhere(statements), name)
        for statements, name in ((_SET_UP, "Make"), (_CHECK, "Check"), (_DESTROY, "Destroy"))
    )
    good(bootstrap(world, *usual, environment=make))
    assert bootstrap(world, *usual, "--check", environment=check).returncode == 0
    _drift(world)
    assert bootstrap(world, *usual, "--check", environment=check).returncode == 7
    assert bootstrap(world, *usual, environment=check).returncode == 6
    good(bootstrap(world, *usual, environment=make))
    assert bootstrap(world, *usual, "--check", environment=check).returncode == 0
    assert bootstrap(world, *usual, "--destroy", environment=make).returncode == 6
    shown = good(bootstrap(world, *usual, "--destroy", environment=destroy))
    assert "stays" not in shown
    assert set(iam_now(world)["roles"]) == {"Make", "Check", "Destroy"}


def test_a_plan_without_the_optional_permissions_says_what_was_not_read_and_goes_on(
    fresh_world: World, usual: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = fresh_world
    needed = [statement for statement in _SET_UP if statement["Sid"] == "Read"]
    plan = keys_that_may(world, _anywhere(needed), "Plan")
    before = iam_now(world)
    planned = good(bootstrap(world, *usual, "--plan", environment=plan))
    assert [line.partition(": ")[::2] for line in planned.splitlines() if line.startswith("no permission")] == [
        (
            "no permission for iam:GetAccountSummary",
            "the quotas of the account are not known; the changes are compared with IAM's defaults",
        ),
        (
            "no permission for iam:ListOpenIDConnectProviders",
            "the OIDC providers of the account are not counted",
        ),
    ]
    assert planned.endswith("planned: 4 changes; nothing was changed\n")
    monkeypatch.setattr("sidecar.bootstrap.iam._MANY_ROLES", 0)
    planned = good(bootstrap(world, *usual, "--plan", environment=plan))
    assert "no permission for iam:GetAccountAuthorizationDetails: each role is read by itself" in planned
    assert iam_now(world) == before


def test_a_plan_without_a_needed_permission_stops_and_names_it(fresh_world: World) -> None:
    rights = [{"Effect": "Allow", "Action": "iam:GetOpenIDConnectProvider", "Resource": "*"}]
    done = bootstrap(fresh_world, *USUAL, "--plan", environment=keys_that_may(fresh_world, rights, "Plan"))
    assert "iam:GetRole;" in stopped(done, 6)
