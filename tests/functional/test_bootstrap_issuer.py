"""``bootstrap aws`` and an issuer that AWS could not use: one line that says what, before IAM is asked for anything."""

import socket

import pytest

from examples.local.world import World
from tests.functional.bootstrapping import USUAL, bootstrap, stopped


def test_an_issuer_that_says_another_name_is_refused(fresh_world: World) -> None:
    fresh_world.issuer.advertised_issuer = "https://issuer.test/"
    told = stopped(bootstrap(fresh_world, *USUAL), 5)
    assert "says that the issuer is https://issuer.test/; give --issuer as" in told


def test_an_issuer_where_nobody_listens_is_unreachable(fresh_world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        fresh_world.aws.connect_to[("issuer.test", 443)] = taken.getsockname()
        assert "no connection" in stopped(bootstrap(fresh_world, *USUAL), 3)


@pytest.mark.parametrize(("attribute", "value", "status"), [("anonymous", False, 401), ("bearer", "a-token", 403)])
def test_discovery_that_is_closed_to_anonymous_is_told_as_such(
    fresh_world: World, attribute: str, value: object, status: int
) -> None:
    setattr(fresh_world.issuer, attribute, value)
    told = stopped(bootstrap(fresh_world, *USUAL), 5)
    assert f"the discovery document is answered with HTTP {status}; let anonymous clients read" in told


@pytest.mark.parametrize(
    ("jwks_uri", "what"),
    [
        ("https://issuer.test/elsewhere", "the key set is answered with HTTP 404; is this URL the issuer?"),
        ("http://issuer.test/openid/v1/jwks", "its jwks_uri is not an https URL; have the document name one"),
    ],
)
def test_keys_that_aws_cannot_read_are_the_issuers_fault(fresh_world: World, jwks_uri: str, what: str) -> None:
    fresh_world.issuer.jwks_uri = jwks_uri
    assert what in stopped(bootstrap(fresh_world, *USUAL), 5)
