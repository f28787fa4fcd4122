"""The thumbprint rule of IAM."""

import pytest

from examples.local.issuer import Issuer
from examples.local.pki import Authority, server_context
from examples.local.world import World
from tests.local.calls import web_identity

_ARN = "arn:aws:iam::123456789012:oidc-provider/issuer.test"
_MISMATCH = "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint"


@pytest.fixture
def trusted(fresh_world: World) -> World:
    fresh_world.set_up_trust()
    return fresh_world


def _register(world: World, *thumbprints: str) -> None:
    world.admin_client("iam").update_open_id_connect_provider_thumbprint(
        OpenIDConnectProviderArn=_ARN, ThumbprintList=list(thumbprints)
    )


def _outcome(world: World) -> str:
    answer = web_identity(world, world.issuer.mint())
    return "ok" if answer.status == 200 else answer.element("Message")


def test_the_thumbprint_of_the_ca_matches_after_the_leaf_is_reissued(trusted: World) -> None:
    _register(trusted, trusted.issuer.thumbprints[-1])
    assert _outcome(trusted) == "ok"
    trusted.issuer.reissue_certificate()
    assert _outcome(trusted) == "ok"


def test_the_thumbprint_of_the_leaf_matches_until_the_leaf_is_reissued(trusted: World) -> None:
    _register(trusted, trusted.issuer.thumbprints[0])
    assert _outcome(trusted) == "ok"
    trusted.issuer.reissue_certificate()
    assert _outcome(trusted) == _MISMATCH


def test_thumbprints_are_compared_without_case(trusted: World) -> None:
    _register(trusted, trusted.issuer.thumbprints[-1].upper())
    assert _outcome(trusted) == "ok"


def test_the_thumbprint_of_a_ca_that_the_server_does_not_send_does_not_match(trusted: World) -> None:
    _register(trusted, trusted.issuer.thumbprints[-1])
    trusted.issuer.leaf_only = True
    assert _outcome(trusted) == _MISMATCH
    _register(trusted, trusted.issuer.thumbprints[0])
    assert _outcome(trusted) == "ok"


def test_a_chain_without_a_registered_thumbprint_is_rejected(trusted: World) -> None:
    _register(trusted, "0" * 40)
    assert _outcome(trusted) == _MISMATCH


def test_one_matching_thumbprint_of_several_is_sufficient(trusted: World) -> None:
    _register(trusted, "0" * 40, trusted.issuer.thumbprints[-1], "f" * 40)
    assert _outcome(trusted) == "ok"


def test_thumbprints_are_ignored_when_a_public_ca_verifies_the_chain(trusted: World) -> None:
    _register(trusted, "0" * 40)
    trusted.aws.identity_providers.public_cas = (Authority("some public CA").pem, trusted.issuer.ca_pem)
    trusted.issuer.leaf_only = True
    assert _outcome(trusted) == "ok"


def test_thumbprints_are_checked_when_no_public_ca_verifies_the_chain(trusted: World) -> None:
    trusted.aws.identity_providers.public_cas = (Authority("some public CA").pem,)
    assert _outcome(trusted) == "ok"
    _register(trusted, "0" * 40)
    assert _outcome(trusted) == _MISMATCH


def test_a_chain_with_the_trusted_ca_appended_to_a_leaf_of_another_ca_is_rejected(trusted: World) -> None:
    genuine = trusted.issuer.authority
    trusted.issuer.replace_authority(Authority("issuer CA"))
    stolen = trusted.issuer.certificate
    mixed = type(stolen)(stolen.leaf_pem, genuine.pem, stolen.key_pem)
    trusted.issuer._contexts = (server_context(mixed), server_context(mixed))
    assert _outcome(trusted).startswith("Couldn't retrieve verification key")


def test_a_certificate_for_another_name_is_rejected_even_with_its_thumbprint(trusted: World) -> None:
    trusted.issuer.certificate = trusted.issuer.authority.issue(["other.test"])
    trusted.issuer._contexts = trusted.issuer._make_contexts()
    _register(trusted, *trusted.issuer.thumbprints)
    assert _outcome(trusted).startswith("Couldn't retrieve verification key")
    trusted.issuer.reissue_certificate()


def test_an_issuer_with_a_path_that_is_not_part_of_the_world_is_accepted(
    fresh_world: World,
) -> None:
    world = fresh_world
    url = "https://discovery.example.test/projects/local/shoots/3f1c/issuer"
    with Issuer(url, clock=world.clock) as foreign:
        world.aws.connect_to.update(foreign.connect_to)
        own, world.issuer = world.issuer, foreign
        try:
            world.set_up_trust()
            assert _outcome(world) == "ok"
        finally:
            world.issuer = own
