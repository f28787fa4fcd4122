"""The policies in docs/bootstrap.md have exactly the permissions that the modes need."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from examples.local.world import World
from sidecar.bootstrap.state import OPERATIONS
from tests.functional.bootstrapping import PROVIDER_ARN, READ_ONLY, ROLE, USUAL, bootstrap, good, iam_now, keys_that_may

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
