"""``bootstrap aws`` and an issuer that AWS cannot use: an error of one line, before any call of IAM."""

import socket

import pytest

from examples.local.world import World
from tests.functional.bootstrapping import USUAL, bootstrap, stopped


def test_a_discovery_document_with_another_issuer_is_rejected(fresh_world: World) -> None:
    fresh_world.issuer.advertised_issuer = "https://issuer.test/"
    error = stopped(bootstrap(fresh_world, *USUAL), 5)
    assert (
        "the discovery document has issuer https://issuer.test/, and the token's iss is https://issuer.test: " in error
    )


def test_an_issuer_that_refuses_connections_is_unreachable(fresh_world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        fresh_world.aws.connect_to[("issuer.test", 443)] = taken.getsockname()
        assert "no connection" in stopped(bootstrap(fresh_world, *USUAL), 3)


@pytest.mark.parametrize(
    ("attribute", "value", "fix"),
    [("anonymous", False, "AuthenticationConfiguration"), ("bearer", "a-token", "create clusterrolebinding")],
)
def test_discovery_that_denies_anonymous_access_is_reported(
    fresh_world: World, attribute: str, value: object, fix: str
) -> None:
    setattr(fresh_world.issuer, attribute, value)
    error = stopped(bootstrap(fresh_world, *USUAL), 5)
    assert "/.well-known/openid-configuration: the API server returns 40" in error
    assert fix in error


@pytest.mark.parametrize(
    ("jwks_uri", "what"),
    [
        ("https://issuer.test/elsewhere", "https://issuer.test/elsewhere, has no valid key set (HTTP 404); set the"),
        ("http://issuer.test/openid/v1/jwks", "http://issuer.test/openid/v1/jwks, is not an https URL; set the"),
        ("https://10.0.0.10:6443/openid/v1/jwks", "10.0.0.10 is a private address; change the issuer or its jwks_uri"),
    ],
)
def test_keys_that_aws_cannot_read_are_an_issuer_error(fresh_world: World, jwks_uri: str, what: str) -> None:
    fresh_world.issuer.jwks_uri = jwks_uri
    assert what in stopped(bootstrap(fresh_world, *USUAL), 5)


def test_an_issuer_that_only_the_cluster_knows_is_rejected_before_it_is_read(fresh_world: World) -> None:
    given = ["--issuer", "https://kubernetes.default.svc.cluster.local", *USUAL[2:]]
    error = stopped(bootstrap(fresh_world, *given), 5)
    assert "kubernetes.default.svc.cluster.local is a name inside a cluster; " in error
    assert "publish-issuer" in error
    assert "open" not in error.partition("; ")[2]


def test_an_issuer_that_limits_requests_is_unreachable_now(fresh_world: World) -> None:
    fresh_world.issuer.instead["/.well-known/openid-configuration"] = (429, {}, b"")
    assert "in a minute" in stopped(bootstrap(fresh_world, *USUAL), 3)
