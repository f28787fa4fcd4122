"""Several accounts and partitions: who exists for whom, and role chaining between accounts."""

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import botocore.session
import pytest

from examples.local.errors import TABLE, Reason
from examples.local.moto_backend import CLIENT_CONFIG
from examples.local.partitions import PARTITIONS, Account, partition_of_host, partition_of_region
from examples.local.world import World, trust_policy
from sidecar.https.connect_to import redirected
from tests.local.calls import IDENTITY, ROLE_ARN, ROLE_NAME, aws_error, issued, signed, web_identity

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

_OTHER = Account("210987654321")
_ALLOWED = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}}


def _foreign_role(world: World, trusting: str) -> str:
    """Create a role of another account that trusts a principal; return its ARN."""
    iam = world.client_of(world.aws.add_account(_OTHER), "iam", "eu-central-1")
    statement = {"Effect": "Allow", "Principal": {"AWS": trusting}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    return iam.create_role(RoleName="Next", AssumeRolePolicyDocument=document)["Role"]["Arn"]


@pytest.mark.parametrize("trusting", [ROLE_ARN, "123456789012"])
def test_a_role_of_another_account_needs_the_trust_policy_and_a_policy_of_the_caller(
    fresh_world: World, trusting: str
) -> None:
    world = fresh_world
    first = issued(world)
    role = _foreign_role(world, trusting)
    sts = world.client_of(first, "sts", "eu-central-1")
    with aws_error("AccessDenied", f"is not authorized to perform: sts:AssumeRole on resource: {role}"):
        sts.assume_role(RoleArn=role, RoleSessionName="second")
    world.admin_client("iam").put_role_policy(
        RoleName=ROLE_NAME, PolicyName="chain", PolicyDocument=json.dumps(_ALLOWED)
    )
    sts.assume_role(RoleArn=role, RoleSessionName="second")
    second = world.aws.issued()[-1]
    identity = signed(world, second, IDENTITY)
    assert identity.element("Arn") == "arn:aws:sts::210987654321:assumed-role/Next/second"
    assert identity.element("Account") == _OTHER.id


def test_two_accounts_have_roles_and_providers_with_the_same_names(fresh_world: World) -> None:
    world = fresh_world
    issued(world)
    answer = web_identity(world, world.issuer.mint(), RoleArn=ROLE_ARN.replace("123456789012", _OTHER.id))
    assert answer.element("Message").startswith("No OpenIDConnect provider found in your account")
    iam = world.client_of(world.aws.add_account(_OTHER), "iam", "eu-central-1")
    assert iam.list_roles()["Roles"] == []
    role = _set_up_trust(world, _OTHER, iam)
    assert (
        web_identity(world, world.issuer.mint(), RoleArn=role)
        .element("Arn")
        .startswith(f"arn:aws:sts::{_OTHER.id}:assumed-role/")
    )
    world.admin_client("iam").delete_open_id_connect_provider(
        OpenIDConnectProviderArn="arn:aws:iam::123456789012:oidc-provider/issuer.test"
    )
    assert web_identity(world, world.issuer.mint(), RoleArn=role).status == 200
    assert web_identity(world, world.issuer.mint()).code == "InvalidIdentityToken"


def _set_up_trust(world: World, account: Account, iam: "IAMClient") -> str:
    arn = iam.create_open_id_connect_provider(
        Url=world.issuer.url, ClientIDList=["sts.amazonaws.com"], ThumbprintList=[world.issuer.thumbprints[-1]]
    )["OpenIDConnectProviderArn"]
    assert arn == f"{account.iam}:oidc-provider/issuer.test"
    subject = "system:serviceaccount:default:aws-parameter-reader"
    document = json.dumps(trust_policy(arn, audience="sts.amazonaws.com", subject=subject))
    return str(iam.create_role(RoleName=ROLE_NAME, AssumeRolePolicyDocument=document)["Role"]["Arn"])


@pytest.mark.parametrize("partition", PARTITIONS)
def test_each_partition_has_its_own_roles_keys_and_sts(fresh_world: World, partition: str) -> None:
    world = fresh_world
    account = Account(_OTHER.id, partition)
    keys = world.aws.add_account(account)
    world.aws.partition = partition
    role = _set_up_trust(world, account, world.client_of(keys, "iam", account.region))
    answer = web_identity(world, world.issuer.mint(), RoleArn=role)
    assert answer.element("Arn") == f"{account.sts}:assumed-role/{ROLE_NAME}/test-session"
    assert answer.element("Provider") == f"{account.iam}:oidc-provider/issuer.test"
    world.aws.partition = "aws-cn" if partition == "aws" else "aws"
    refused = web_identity(world, world.issuer.mint(), RoleArn=role)
    row = TABLE[Reason.NO_PROVIDER]
    assert (refused.code, refused.status) == (row.code, row.status)
    region = PARTITIONS[world.aws.partition].region
    with aws_error("InvalidClientTokenId"):
        world.client_of(keys, "sts", region).get_caller_identity()


def test_a_signed_request_cannot_assume_a_role_of_another_partition(fresh_world: World) -> None:
    world = fresh_world
    keys = world.aws.add_account(Account("123456789012", "aws-us-gov"))
    world.aws.partition = "aws-us-gov"
    statement = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam = world.client_of(keys, "iam", "us-gov-west-1")
    role = iam.create_role(RoleName="Next", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    world.client_of(keys, "sts", "us-gov-west-1").assume_role(RoleArn=role, RoleSessionName="test")
    world.aws.partition = "aws"
    with aws_error("AccessDenied", f"is not authorized to perform: sts:AssumeRole on resource: {role}"):
        world.admin_client("sts").assume_role(RoleArn=role, RoleSessionName="test")


@pytest.mark.parametrize("partition", PARTITIONS)
def test_the_host_names_are_those_of_the_sdk(partition: str) -> None:
    region = PARTITIONS[partition].region
    assert (partition_of_region(region), botocore.session.Session().get_partition_for_region(region)) == (
        partition,
    ) * 2
    for service in ("sts", "iam"):
        client = boto3.client(service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b")
        assert partition_of_host(urlsplit(client.meta.endpoint_url).hostname or "") == partition
        client.close()
    assert partition_of_host(f"sts.{region}.example.com") is None


def test_a_host_name_of_aws_selects_the_partition_and_the_certificate(fresh_world: World) -> None:
    world, account = fresh_world, Account(_OTHER.id, "aws-cn")
    keys = world.aws.add_account(account)
    port = urlsplit(world.aws.tls_url).port or 0
    host = "sts.cn-north-1.amazonaws.com.cn"
    session = boto3.Session(keys.access_key_id, keys.secret_access_key, region_name="cn-north-1")
    client = session.client("sts", verify=str(world.ca_file), config=CLIENT_CONFIG)
    with redirected({(host, 443): ("127.0.0.1", port)}):
        assert client.get_caller_identity()["Arn"] == f"{account.iam}:user/moto"
    client.close()
