"""The quotas of IAM, and the principals of a trust policy."""

import json
from typing import Any

import pytest

from examples.local.partitions import Account
from examples.local.world import World
from tests.local.calls import aws_error

_ARN = "arn:aws:iam::123456789012:oidc-provider/issuer.test"
_NOBODY = json.dumps(
    {"Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}
)


def _trusting(*arns: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": arns}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_role_has_at_most_ten_managed_policies_until_the_quota_is_raised(fresh_world: World) -> None:
    iam = fresh_world.admin_client("iam")
    iam.create_role(RoleName="R", AssumeRolePolicyDocument=_NOBODY)
    document = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}'
    arns = [iam.create_policy(PolicyName=f"P{i}", PolicyDocument=document)["Policy"]["Arn"] for i in range(11)]
    for arn in arns[:10]:
        iam.attach_role_policy(RoleName="R", PolicyArn=arn)
    iam.attach_role_policy(RoleName="R", PolicyArn=arns[0])
    with aws_error("LimitExceeded"):
        iam.attach_role_policy(RoleName="R", PolicyArn=arns[10])
    fresh_world.aws.quotas.attached = 11
    iam.attach_role_policy(RoleName="R", PolicyArn=arns[10])


def test_all_inline_policies_of_a_role_together_have_a_limit_without_white_space(fresh_world: World) -> None:
    iam = fresh_world.admin_client("iam")
    iam.create_role(RoleName="R", AssumeRolePolicyDocument=_NOBODY)

    def put(name: str, characters: int) -> None:
        statement = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::" + "x" * characters}
        text = json.dumps({"Version": "2012-10-17", "Statement": statement}, indent=8)
        iam.put_role_policy(RoleName="R", PolicyName=name, PolicyDocument=text)

    put("a", 6_000)
    with aws_error("LimitExceeded"):
        put("b", 6_000)
    put("a", 4_000)
    put("b", 6_000)


def test_an_account_has_a_quota_of_roles_and_of_providers(fresh_world: World) -> None:
    iam = fresh_world.admin_client("iam")
    fresh_world.aws.quotas.roles = 1
    iam.create_role(RoleName="A", AssumeRolePolicyDocument=_NOBODY)
    with aws_error("LimitExceeded"):
        iam.create_role(RoleName="B", AssumeRolePolicyDocument=_NOBODY)
    summary = iam.get_account_summary()["SummaryMap"]
    assert (summary["Roles"], summary["RolesQuota"], summary["AssumeRolePolicySizeQuota"]) == (1, 1, 2_048)
    for number in range(100):
        iam.create_open_id_connect_provider(Url=f"https://issuer-{number}.test", ClientIDList=["a"])
    with aws_error("LimitExceeded"):
        iam.create_open_id_connect_provider(Url="https://issuer.test", ClientIDList=["a"])


def test_the_hundredth_and_first_client_id_cannot_be_added(fresh_world: World) -> None:
    iam = fresh_world.admin_client("iam")
    iam.create_open_id_connect_provider(Url="https://issuer.test", ClientIDList=[f"client-{i}" for i in range(100)])
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=_ARN, ClientID="client-7")
    with aws_error("LimitExceeded"):
        iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=_ARN, ClientID="client-100")


@pytest.mark.parametrize("kind", ["role", "user"])
def test_a_trust_policy_names_no_principal_that_does_not_exist(fresh_world: World, kind: str) -> None:
    iam = fresh_world.admin_client("iam")
    named: Any = {"RoleName": "R", "AssumeRolePolicyDocument": _trusting(f"arn:aws:iam::123456789012:{kind}/Absent")}
    with aws_error("MalformedPolicyDocument"):
        iam.create_role(**named)
    if kind == "user":
        iam.create_user(UserName="Absent")
    else:
        iam.create_role(RoleName="Absent", AssumeRolePolicyDocument=_NOBODY)
    iam.create_role(**named)
    with aws_error("MalformedPolicyDocument"):
        iam.update_assume_role_policy(RoleName="R", PolicyDocument=_trusting("arn:aws:iam::123456789012:role/None"))


@pytest.mark.parametrize(
    "principal", ["210987654321", "arn:aws:iam::210987654321:root", "arn:aws:iam::210987654321:role/Other"]
)
def test_a_trust_policy_names_principals_of_other_accounts_only_if_they_exist(
    fresh_world: World, principal: str
) -> None:
    named: Any = {"RoleName": "R", "AssumeRolePolicyDocument": _trusting(principal)}
    iam = fresh_world.admin_client("iam")
    refusal = f'Invalid principal in policy: "AWS":"{principal}"'
    with aws_error("MalformedPolicyDocument", refusal):
        iam.create_role(**named)
    fresh_world.aws.add_account(Account("210987654321", "aws-cn"))
    with aws_error("MalformedPolicyDocument", refusal):
        iam.create_role(**named)
    other = fresh_world.client_of(fresh_world.aws.add_account(Account("210987654321")), "iam", "eu-central-1")
    other.create_role(RoleName="Other", AssumeRolePolicyDocument=_NOBODY)
    iam.create_role(**named)


def test_the_names_of_roles_are_not_distinguished_by_case(fresh_world: World) -> None:
    iam = fresh_world.admin_client("iam")
    iam.create_role(RoleName="Reader", Path="/teams/", AssumeRolePolicyDocument=_NOBODY)
    with aws_error("EntityAlreadyExists"):
        iam.create_role(RoleName="reader", AssumeRolePolicyDocument=_NOBODY)
