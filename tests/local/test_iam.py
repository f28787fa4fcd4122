"""The limits of OIDC providers in IAM, and the propagation of IAM changes to STS."""

import json

import pytest

from examples.local.world import World, trust_policy
from tests.local.calls import aws_error, get_parameter, issued, web_identity

_ARN = "arn:aws:iam::123456789012:oidc-provider/issuer.test"
_PRINT = "0" * 40


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.test",
        "issuer.test",
        "https://",
        "https://issuer.test:443",
        "https://issuer.test:",
        "https://issuer.test/?x=1",
        "https://issuer.test/?",
        "https://issuer.test/#x",
        "https://user@issuer.test",
        "https://issuer.test/" + "a" * 256,
    ],
)
def test_an_invalid_provider_url_is_rejected(fresh_world: World, url: str) -> None:
    with aws_error("InvalidInput"):
        fresh_world.admin_client("iam").create_open_id_connect_provider(Url=url, ClientIDList=["a"])


@pytest.mark.parametrize("thumbprints", [[_PRINT] * 6, ["g" * 40]])
def test_invalid_thumbprints_are_rejected(fresh_world: World, thumbprints: list[str]) -> None:
    iam = fresh_world.admin_client("iam")
    with aws_error("InvalidInput"):
        iam.create_open_id_connect_provider(Url="https://issuer.test", ThumbprintList=thumbprints)
    iam.create_open_id_connect_provider(Url="https://issuer.test", ThumbprintList=[_PRINT] * 5)
    with aws_error("InvalidInput"):
        iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=_ARN, ThumbprintList=thumbprints)


def test_more_than_a_hundred_client_ids_are_rejected(fresh_world: World) -> None:
    iam = fresh_world.admin_client("iam")
    with aws_error("LimitExceeded"):
        iam.create_open_id_connect_provider(Url="https://issuer.test", ClientIDList=[f"client-{i}" for i in range(101)])
    iam.create_open_id_connect_provider(Url="https://issuer.test", ClientIDList=[f"client-{i}" for i in range(100)])


def test_a_client_id_can_be_added_and_removed(fresh_world: World) -> None:
    fresh_world.set_up_trust()
    iam = fresh_world.admin_client("iam")
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=_ARN, ClientID="vault")
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=_ARN, ClientID="vault")
    provider = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=_ARN)
    assert provider["ClientIDList"] == ["sts.amazonaws.com", "vault"]
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=_ARN, ClientID="vault")
    provider = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=_ARN)
    assert provider["ClientIDList"] == ["sts.amazonaws.com"]


def test_a_provider_url_with_a_trailing_slash_does_not_match_an_issuer_without_it(fresh_world: World) -> None:
    world = fresh_world
    world.admin_client("iam").create_open_id_connect_provider(
        Url="https://issuer.test/", ClientIDList=["sts.amazonaws.com"]
    )
    assert web_identity(world, world.issuer.mint()).code == "InvalidIdentityToken"


def test_a_change_takes_effect_in_sts_after_its_propagation(fresh_world: World) -> None:
    world = fresh_world
    world.aws.propagation_seconds = 10
    world.set_up_trust()
    assert web_identity(world, world.issuer.mint()).element("Message").startswith("No OpenIDConnect provider")
    world.clock.advance(9)
    assert web_identity(world, world.issuer.mint()).element("Message").startswith("No OpenIDConnect provider")
    world.clock.advance(2)
    assert web_identity(world, world.issuer.mint()).status == 200


def test_the_old_trust_policy_is_in_effect_until_the_new_one_has_propagated(fresh_world: World) -> None:
    world = fresh_world
    world.set_up_trust()
    world.aws.propagation_seconds = 15
    world.set_up_trust(service_account="other")
    assert web_identity(world, world.issuer.mint()).status == 200
    assert web_identity(world, world.issuer.mint(service_account="other")).code == "AccessDenied"
    world.clock.advance(16)
    assert web_identity(world, world.issuer.mint()).code == "AccessDenied"
    assert web_identity(world, world.issuer.mint(service_account="other")).status == 200


def test_a_change_without_delay_takes_effect_after_earlier_delayed_changes(fresh_world: World) -> None:
    world = fresh_world
    world.aws.propagation_seconds = 5
    world.set_up_trust()
    world.aws.propagation_seconds = 0
    world.set_up_trust(service_account="other")
    assert web_identity(world, world.issuer.mint(service_account="other")).status == 400
    world.clock.advance(6)
    assert web_identity(world, world.issuer.mint(service_account="other")).status == 200


def test_permission_changes_propagate_with_the_same_delay(fresh_world: World) -> None:
    world = fresh_world
    keys = issued(world)
    world.aws.propagation_seconds = 10
    world.admin_client("iam").detach_role_policy(
        RoleName="KubernetesParameterStoreRole", PolicyArn="arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"
    )
    assert get_parameter(world, keys).code == "ParameterNotFound"
    world.clock.advance(11)
    assert get_parameter(world, keys).code == "AccessDeniedException"


def test_a_token_of_a_deleted_provider_is_rejected(fresh_world: World) -> None:
    world = fresh_world
    world.set_up_trust()
    world.admin_client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=_ARN)
    assert web_identity(world, world.issuer.mint()).code == "InvalidIdentityToken"


def test_a_client_id_over_255_characters_is_rejected(fresh_world: World) -> None:
    with aws_error("InvalidInput"):
        fresh_world.admin_client("iam").create_open_id_connect_provider(
            Url="https://issuer.test", ClientIDList=["a" * 256]
        )


def test_set_up_trust_is_idempotent(fresh_world: World) -> None:
    iam = fresh_world.admin_client("iam")
    arns = set()
    documents = []
    for _ in range(2):
        arns.add(fresh_world.set_up_trust())
        documents.append(iam.get_role(RoleName="KubernetesParameterStoreRole")["Role"]["AssumeRolePolicyDocument"])
    assert arns == {"arn:aws:iam::123456789012:role/KubernetesParameterStoreRole"}
    assert documents[0] == documents[1]
    provider = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=_ARN)
    assert provider["ClientIDList"] == ["sts.amazonaws.com"]
    assert provider["ThumbprintList"] == [fresh_world.issuer.thumbprints[-1]]
    attached = iam.list_attached_role_policies(RoleName="KubernetesParameterStoreRole")
    assert len(attached["AttachedPolicies"]) == 1


@pytest.mark.parametrize(
    ("name", "path", "limit"),
    [
        ("a" * 65, "/", "at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64"),
        ("a/b", "/", "at 'roleName' failed to satisfy constraint: Member must satisfy regular expression pattern"),
        ("a", "/" + "a" * 511 + "/", "at 'path' failed to satisfy constraint: Member must have length less than or"),
        ("a", "/a", "at 'path' failed to satisfy constraint: Member must satisfy regular expression pattern"),
    ],
)
def test_a_name_or_a_path_over_the_limits_of_iam_is_rejected(
    fresh_world: World, name: str, path: str, limit: str
) -> None:
    document = json.dumps(trust_policy(_ARN, audience="a", subject="s"))
    with aws_error("ValidationError", limit):
        fresh_world.admin_client("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=document)
