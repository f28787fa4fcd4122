"""The issuer: its documents, its tokens and its faults."""

import contextlib
import hashlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPSConnection

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from examples.local.issuer import DISCOVERY_PATH, JWKS_PATH, Issuer
from examples.local.keys import base64url, decode_segment, tamper_payload, tamper_signature

_NOW = 1_795_000_000.4


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    with Issuer(clock=lambda: _NOW) as issuer:
        yield issuer


@pytest.fixture
def issuer(running: Issuer) -> Issuer:
    running.reset()
    running.retire_old_keys()
    return running


def _get(issuer: Issuer, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    context = ssl.create_default_context(cadata=issuer.ca_pem)
    (address,) = issuer.connect_to.values()
    connection = HTTPSConnection(issuer.host, timeout=5, context=context)
    with (
        contextlib.closing(connection),
        socket.create_connection(address, 5) as raw,
        context.wrap_socket(raw, server_hostname=issuer.host) as secure,
    ):
        connection.sock = secure
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


def test_the_discovery_document_is_that_of_an_api_server(issuer: Issuer) -> None:
    status, headers, body = _get(issuer, DISCOVERY_PATH)
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "public, max-age=3600"
    assert json.loads(body) == {
        "issuer": "https://issuer.test",
        "jwks_uri": "https://issuer.test/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def test_the_key_set_has_its_own_content_type_and_only_public_members(issuer: Issuer) -> None:
    status, headers, body = _get(issuer, JWKS_PATH)
    assert status == 200
    assert headers["content-type"] == "application/jwk-set+json"
    assert headers["cache-control"] == "public, max-age=3600"
    (key,) = json.loads(body)["keys"]
    assert set(key) == {"use", "kty", "kid", "alg", "n", "e"}
    assert (key["use"], key["kty"], key["alg"], key["kid"]) == ("sig", "RSA", "RS256", issuer.kids[0])


def test_a_request_for_the_key_set_that_accepts_only_application_json_gets_406(issuer: Issuer) -> None:
    assert _get(issuer, JWKS_PATH, Accept="application/json")[0] == 406
    assert _get(issuer, JWKS_PATH, Accept="application/json, */*")[0] == 200
    assert _get(issuer, JWKS_PATH, Accept="application/jwk-set+json")[0] == 200


def test_other_paths_are_not_found(issuer: Issuer) -> None:
    assert _get(issuer, "/api")[0] == 404
    assert _get(issuer, JWKS_PATH + "/")[0] == 404


def test_a_key_is_identified_by_the_hash_of_its_public_key(issuer: Issuer) -> None:
    (key,) = json.loads(_get(issuer, JWKS_PATH)[2])["keys"]
    public = jwt.PyJWK(key).key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert issuer.kids == (base64url(hashlib.sha256(public).digest()),)


def test_a_token_has_the_claims_of_a_pod_token(issuer: Issuer) -> None:
    token = issuer.mint(namespace="shop", service_account="reader", pod="shop-0", node="node-7")
    head, payload, _ = token.split(".")
    assert decode_segment(head) == {"alg": "RS256", "kid": issuer.kids[0]}
    claims = decode_segment(payload)
    uids = {name: part.pop("uid") for name, part in claims["kubernetes.io"].items() if isinstance(part, dict)}
    assert {name: len(uid) for name, uid in uids.items()} == {"node": 36, "pod": 36, "serviceaccount": 36}
    assert len(claims.pop("jti")) == 36
    assert claims == {
        "iss": "https://issuer.test",
        "sub": "system:serviceaccount:shop:reader",
        "aud": ["sts.amazonaws.com"],
        "iat": 1_795_000_000,
        "nbf": 1_795_000_000,
        "exp": 1_795_003_600,
        "kubernetes.io": {
            "namespace": "shop",
            "node": {"name": "node-7"},
            "pod": {"name": "shop-0"},
            "serviceaccount": {"name": "reader"},
        },
    }


def test_two_tokens_of_the_same_moment_differ(issuer: Issuer) -> None:
    assert issuer.mint() != issuer.mint()


def test_lifetime_and_time_of_issue_are_arguments(issuer: Issuer) -> None:
    claims = decode_segment(issuer.mint(lifetime_seconds=600, now=1000).split(".")[1])
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (1000, 1000, 1600)


def _verify(issuer: Issuer, token: str) -> None:
    keys = {key["kid"]: jwt.PyJWK(key) for key in json.loads(_get(issuer, JWKS_PATH)[2])["keys"]}
    kid = jwt.get_unverified_header(token)["kid"]
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    jwt.decode(token, keys[kid], audience="sts.amazonaws.com", options=options)  # type: ignore[arg-type]


def test_a_token_verifies_against_the_published_keys_and_a_tampered_token_does_not(issuer: Issuer) -> None:
    token = issuer.mint()
    _verify(issuer, token)
    for tampered in (tamper_signature(token), tamper_payload(token, sub="system:serviceaccount:default:admin")):
        with pytest.raises(jwt.InvalidSignatureError):
            _verify(issuer, tampered)
    with pytest.raises(KeyError):
        _verify(issuer, issuer.sign_with_unknown_key({"aud": "sts.amazonaws.com"}))


def test_a_rotated_key_signs_at_once_and_both_keys_are_published(issuer: Issuer) -> None:
    old = issuer.mint()
    kid = issuer.rotate_key()
    new = issuer.mint()
    assert jwt.get_unverified_header(new)["kid"] == kid
    assert list(issuer.kids)[1:] == [kid]
    _verify(issuer, old)
    _verify(issuer, new)
    issuer.retire_old_keys()
    assert list(issuer.kids) == [kid]
    with pytest.raises(KeyError):
        _verify(issuer, old)


def test_a_stale_key_set_is_that_of_the_moment_when_it_became_stale(issuer: Issuer) -> None:
    old = issuer.mint()
    issuer.stale_jwks = True
    issuer.rotate_key()
    issuer.retire_old_keys()
    _verify(issuer, old)
    with pytest.raises(KeyError):
        _verify(issuer, issuer.mint())
    issuer.stale_jwks = False
    _verify(issuer, issuer.mint())


def test_an_ec_key_is_published_with_its_curve_and_algorithm(issuer: Issuer) -> None:
    issuer.rotate_key("ES256")
    assert json.loads(_get(issuer, JWKS_PATH)[2])["keys"][1]["crv"] == "P-256"
    assert json.loads(_get(issuer, DISCOVERY_PATH)[2])["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]
    _verify(issuer, issuer.mint())
    issuer.rotate_key()


def test_down_closes_connections_without_a_response(issuer: Issuer) -> None:
    issuer.down = True
    with pytest.raises((OSError, HTTPException)):
        _get(issuer, DISCOVERY_PATH)
    issuer.down = False
    assert _get(issuer, DISCOVERY_PATH)[0] == 200


def test_delay_seconds_delays_the_response(issuer: Issuer) -> None:
    issuer.delay_seconds = 0.2
    started = time.perf_counter()
    _get(issuer, DISCOVERY_PATH)
    assert time.perf_counter() - started >= 0.2


def test_the_chain_is_leaf_and_ca_or_only_the_leaf(issuer: Issuer) -> None:
    leaf, authority = issuer.thumbprints
    assert authority == issuer.authority.thumbprint
    issuer.leaf_only = True
    assert list(issuer.thumbprints) == [leaf]


def test_an_issuer_that_does_not_run_has_no_address() -> None:
    issuer = Issuer()
    assert issuer.connect_to == {}


def test_two_tokens_of_one_pod_name_the_same_objects(issuer: Issuer) -> None:
    first, second = (decode_segment(issuer.mint().split(".")[1])["kubernetes.io"] for _ in range(2))
    assert first == second
