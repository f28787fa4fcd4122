"""sts:AssumeRole with issued credentials: role chaining."""

import json

import pytest

from examples.local.records import AccessKey
from examples.local.world import World
from tests.local.calls import IDENTITY, ROLE_ARN, ROLE_NAME, Answer, get_parameter, issued, signed

_NEXT = "arn:aws:iam::123456789012:role/Next"
_ROOT = "arn:aws:iam::123456789012:root"


def _next_role(world: World, *, action: str = "sts:AssumeRole", **statement: object) -> None:
    document = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": {"AWS": ROLE_ARN}, "Action": action, **statement},
    }
    world.admin_client("iam").create_role(
        RoleName="Next", AssumeRolePolicyDocument=json.dumps(document), MaxSessionDuration=43200
    )


def _assume(world: World, keys: AccessKey, **parameters: str) -> Answer:
    named = {"RoleArn": _NEXT, "RoleSessionName": "second", **parameters}
    return signed(world, keys, {"Action": "AssumeRole", "Version": "2011-06-15", **named})


def _put_assume_policy(world: World, effect: str) -> None:
    statement = {"Effect": effect, "Action": "sts:AssumeRole", "Resource": _NEXT}
    world.admin_client("iam").put_role_policy(
        RoleName=ROLE_NAME,
        PolicyName="chain",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
    )


def test_chained_credentials_belong_to_the_second_role_and_have_its_permissions(fresh_world: World) -> None:
    world = fresh_world
    first = issued(world)
    _next_role(world)
    answer = _assume(world, first)
    assert answer.element("Arn") == "arn:aws:sts::123456789012:assumed-role/Next/second"
    second = world.aws.issued()[-1]
    assert signed(world, second, IDENTITY).element("Arn") == second.caller.arn
    assert get_parameter(world, second).code == "AccessDeniedException"
    assert [call.outcome for call in world.aws.calls("AssumeRole")] == ["ok"]


@pytest.mark.parametrize(
    "principal",
    [ROLE_ARN, "arn:aws:sts::123456789012:assumed-role/KubernetesParameterStoreRole/test-session"],
)
def test_a_trust_policy_that_names_the_caller_allows_it(fresh_world: World, principal: str) -> None:
    first = issued(fresh_world)
    _next_role(fresh_world, Principal={"AWS": principal})
    assert _assume(fresh_world, first).status == 200


def test_a_trust_policy_that_names_another_role_denies(fresh_world: World) -> None:
    first = issued(fresh_world)
    fresh_world.set_up_trust(role=ROLE_NAME + "2")
    _next_role(fresh_world, Principal={"AWS": ROLE_ARN + "2"})
    answer = _assume(fresh_world, first)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.element("Message") == (
        f"User: {first.caller.arn} is not authorized to perform: sts:AssumeRole on resource: {_NEXT}"
    )


@pytest.mark.parametrize("principal", [_ROOT, "123456789012"])
def test_a_trust_policy_that_names_the_account_needs_a_permission_as_well(fresh_world: World, principal: str) -> None:
    first = issued(fresh_world)
    _next_role(fresh_world, Principal={"AWS": principal})
    assert _assume(fresh_world, first).code == "AccessDenied"
    _put_assume_policy(fresh_world, "Allow")
    assert _assume(fresh_world, first).status == 200


def test_an_explicit_deny_in_the_callers_policy_overrides_the_trust_policy(fresh_world: World) -> None:
    first = issued(fresh_world)
    _next_role(fresh_world)
    _put_assume_policy(fresh_world, "Deny")
    assert _assume(fresh_world, first).code == "AccessDenied"


def test_an_external_id_in_the_trust_policy_is_required(fresh_world: World) -> None:
    first = issued(fresh_world)
    _next_role(fresh_world, Condition={"StringEquals": {"sts:ExternalId": "tenant-7"}})
    assert _assume(fresh_world, first).code == "AccessDenied"
    assert _assume(fresh_world, first, ExternalId="tenant-8").code == "AccessDenied"
    assert _assume(fresh_world, first, ExternalId="tenant-7").status == 200


def test_a_chained_session_lasts_at_most_an_hour(fresh_world: World) -> None:
    first = issued(fresh_world)
    _next_role(fresh_world)
    assert _assume(fresh_world, first, DurationSeconds="3600").status == 200
    answer = _assume(fresh_world, first, DurationSeconds="3601")
    assert (answer.status, answer.code) == (400, "ValidationError")
    assert "role chaining" in answer.text


def test_the_limit_of_role_chaining_does_not_apply_to_the_administrator(fresh_world: World) -> None:
    _next_role(fresh_world, Principal={"AWS": _ROOT})
    assert _assume(fresh_world, fresh_world.aws.admin, DurationSeconds="43200").status == 200


def test_session_tags_must_be_allowed_by_the_trust_policy(fresh_world: World) -> None:
    first = issued(fresh_world)
    tags = {"Tags.member.1.Key": "pod", "Tags.member.1.Value": "aws-test"}
    _next_role(fresh_world)
    answer = _assume(fresh_world, first, **tags)
    assert answer.code == "AccessDenied"
    assert "sts:TagSession" in answer.text
    document = {
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": ROLE_ARN},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
    }
    fresh_world.admin_client("iam").update_assume_role_policy(
        RoleName="Next", PolicyDocument=json.dumps({"Version": "2012-10-17", **document})
    )
    assert _assume(fresh_world, first, **tags).status == 200


def test_parameters_are_checked_as_in_assume_role_with_web_identity(fresh_world: World) -> None:
    first = issued(fresh_world)
    assert _assume(fresh_world, first, RoleSessionName="a").code == "ValidationError"
    assert _assume(fresh_world, first, RoleArn="arn:aws:iam::123456789012:user/x").code == "ValidationError"
