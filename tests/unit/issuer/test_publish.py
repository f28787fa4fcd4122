"""The published documents of an issuer: which keys, for how long, and the differences to the cluster."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from examples.local.keys import SigningKey
from sidecar.issuer.documents import Discovery, DocumentError, parse_discovery
from sidecar.issuer.publish import (
    KEEP_SECONDS,
    differences,
    discovery_document,
    gone_document,
    keys_document,
    merge,
    parse_gone,
    public_keys,
)

ISSUER = "https://issuer.test"
JWKS = ISSUER + "/openid/v1/jwks"
RSA = {"kty": "RSA", "kid": "a", "use": "sig", "alg": "RS256", "n": "AQ", "e": "AQAB"}
EC = {"kty": "EC", "kid": "b", "use": "sig", "alg": "ES256", "crv": "P-256", "x": "AQ", "y": "Ag"}
NOW = 1_800_000_000.0


def key_set(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


# --- public keys ---


def test_keys_of_both_types_keep_their_public_members() -> None:
    assert public_keys(key_set(RSA, EC)) == {"a": RSA, "b": EC}
    made = [SigningKey("RS256").jwk(), SigningKey("ES256").jwk()]
    assert list(public_keys(key_set(*made)).values()) == made


def test_members_that_no_verifier_needs_are_left_out() -> None:
    assert public_keys(key_set(RSA | {"x5c": ["AQ"], "key_ops": ["verify"], "note": "internal"})) == {"a": RSA}


def test_alg_and_use_may_be_absent() -> None:
    bare = {name: RSA[name] for name in ("kty", "kid", "n", "e")}
    assert public_keys(key_set(bare)) == {"a": bare}


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("kind", ["RSA", "EC", "oct", None])
def test_a_private_member_is_rejected_by_name_and_its_value_is_not_quoted(name: str, kind: str | None) -> None:
    with pytest.raises(DocumentError, match=f"^key 2 has the private member {name}$"):
        public_keys(key_set(RSA, EC | {"kty": kind, name: "secret"}))


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ([], "has no keys"),
        ([RSA, "key"], "key 2 is not an object"),
        ([{**RSA, "kty": "OKP"}], "key 1 has a kty that AWS does not accept: neither RSA nor EC"),
        ([{**RSA, "kty": ["RSA"]}], "key 1 has a kty that AWS does not accept: neither RSA nor EC"),
        ([{**RSA, "kid": ""}], "key 1 has no kid"),
        ([{**RSA, "kid": "a\n"}], "key 1 has no kid"),
        ([{**RSA, "kid": None}], "key 1 has no kid"),
        ([RSA, {**EC, "kid": "a"}], "key 2 has the kid of another key"),
        ([{**RSA, "n": None}], "key 1 has no valid n"),
        ([{**RSA, "n": "A Q"}], "key 1 has no valid n"),
        ([{**RSA, "e": 65537}], "key 1 has no valid e"),
        ([{**RSA, "alg": "\n"}], "key 1 has no valid alg"),
        ([{**EC, "crv": ""}], "key 1 has no valid crv"),
        ([EC | {"y": "="}], "key 1 has no valid y"),
    ],
)
def test_a_key_that_cannot_verify_a_token_is_rejected(keys: list[Any], what: str) -> None:
    with pytest.raises(DocumentError, match=f"^{what}$"):
        public_keys(key_set(*keys))


def test_a_written_key_set_can_be_read_back() -> None:
    assert public_keys(keys_document({"a": RSA, "b": EC})) == {"a": RSA, "b": EC}


# --- the discovery document ---


def test_the_discovery_document_is_that_of_the_cluster_with_issuer_and_jwks_uri() -> None:
    content = json.dumps(
        {
            "issuer": ISSUER,
            "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
    ).encode()
    written = discovery_document(content, ISSUER, JWKS, {"a": RSA})
    assert json.loads(written) == json.loads(content) | {"jwks_uri": JWKS}
    assert parse_discovery(written) == Discovery(ISSUER, JWKS)


@pytest.mark.parametrize("named", [["RS256"], ["RS256", "ES256"], [], None, "RS256", [1]])
def test_the_algorithms_of_kept_keys_stay_in_the_document(named: object) -> None:
    content = json.dumps({"id_token_signing_alg_values_supported": named}).encode()
    document = json.loads(discovery_document(content, ISSUER, JWKS, {"a": RSA, "b": EC}))
    assert document["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]


# --- which keys, for how long ---


def test_the_keys_of_the_cluster_are_published_at_once() -> None:
    merged = merge({"a": RSA, "b": EC}, {}, {}, now=NOW, keep_seconds=KEEP_SECONDS)
    assert (merged.keys, merged.added, merged.gone, merged.dropped) == ({"a": RSA, "b": EC}, ("a", "b"), {}, ())


def test_a_gone_key_is_kept_for_the_given_time_and_then_dropped() -> None:
    first = merge({"b": EC}, {"a": RSA}, {}, now=NOW, keep_seconds=100)
    assert (dict(first.keys), dict(first.gone), first.added) == ({"b": EC, "a": RSA}, {"a": NOW}, ("b",))
    later = merge({"b": EC}, first.keys, first.gone, now=NOW + 99, keep_seconds=100)
    assert (later.keys, later.gone, later.dropped) == (first.keys, first.gone, ())
    last = merge({"b": EC}, later.keys, later.gone, now=NOW + 100, keep_seconds=100)
    assert (dict(last.keys), dict(last.gone), last.dropped) == ({"b": EC}, {}, ("a",))


def test_the_time_of_a_kept_key_begins_when_a_run_first_finds_it_gone() -> None:
    merged = merge({"b": EC}, {"a": RSA, "b": EC}, {}, now=NOW + 10_000_000, keep_seconds=100)
    assert merged.gone == {"a": NOW + 10_000_000}


def test_a_key_that_returns_is_no_longer_gone() -> None:
    merged = merge({"a": RSA}, {"a": RSA}, {"a": NOW - 99}, now=NOW, keep_seconds=100)
    assert (merged.gone, merged.added) == ({}, ())


def test_with_zero_keep_seconds_a_key_is_dropped_at_once() -> None:
    merged = merge({"b": EC}, {"a": RSA}, {}, now=NOW, keep_seconds=0)
    assert (dict(merged.keys), merged.dropped) == ({"b": EC}, ("a",))


def test_a_clock_that_was_ahead_keeps_no_key_for_longer() -> None:
    merged = merge({"b": EC}, {"a": RSA}, {"a": NOW + 1_000_000}, now=NOW, keep_seconds=100)
    assert merged.gone == {"a": NOW}


def test_the_key_of_the_cluster_wins_over_a_published_key_with_its_kid() -> None:
    assert merge({"a": RSA}, {"a": RSA | {"n": "Ag"}}, {}, now=NOW, keep_seconds=100).keys == {"a": RSA}


def test_each_key_has_a_status() -> None:
    old = {"a": RSA, "c": RSA, "d": RSA}
    merged = merge({"a": RSA, "b": EC}, old, {"d": NOW - 100}, now=NOW, keep_seconds=100)
    assert merged.statuses(100) == [
        ("a", "published", None),
        ("b", "new", None),
        ("c", "kept", NOW + 100),
        ("d", "dropped", None),
    ]


KIDS = st.sets(st.sampled_from("abcdef"))


@given(
    cluster=KIDS,
    published=KIDS,
    gone=st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 200)),
    now=st.floats(0, 200),
    keep=st.floats(0, 100),
)
def test_each_key_of_the_cluster_is_published_and_no_unknown_key(
    cluster: set[str], published: set[str], gone: dict[str, float], now: float, keep: float
) -> None:
    ours, theirs = ({kid: RSA | {"kid": kid} for kid in sorted(kids)} for kids in (cluster, published))
    merged = merge(ours, theirs, gone, now=now, keep_seconds=keep)
    assert cluster <= set(merged.keys) <= cluster | published
    assert set(merged.gone) == set(merged.keys) - cluster
    assert set(merged.dropped) == published - set(merged.keys)
    # A second run at the same time changes nothing.
    again = merge(ours, merged.keys, merged.gone, now=now, keep_seconds=keep)
    assert (list(again.keys), again.gone, again.added, again.dropped) == (list(merged.keys), merged.gone, (), ())


def test_written_times_can_be_read_back() -> None:
    assert parse_gone(gone_document({"a": NOW, "b": 0.5})) == {"a": NOW, "b": 0.5}


TIMES = (b'"soon"', b"-1", b"NaN", b"1e300", b"null", b"[]")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", *(b'{"gone": %s}' % gone for gone in (b"[]", *(b'{"a": %s}' % time for time in TIMES)))],
)
def test_a_time_that_cannot_be_read_is_omitted(content: bytes) -> None:
    assert parse_gone(content) == {}


# --- differences ---


def found(**changes: object) -> list[str]:
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "jwks_uri": JWKS,
        "cluster": {"a": RSA, "b": EC},
        "discovery": Discovery(ISSUER, JWKS),
        "published": {"a": RSA, "b": EC},
    }
    return [difference.kind for difference in differences(**given | changes)]


def test_matching_documents_have_no_difference() -> None:
    assert found() == []
    assert found(published={"a": RSA, "b": EC, "c": RSA}) == []
    assert found(published={"a": {**RSA, "use": "enc", "alg": "RS512"}, "b": EC}) == []


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"published": {"a": RSA}}, ["key"]),
        ({"published": {}}, ["key", "key"]),
        ({"published": {"a": RSA | {"n": "Ag"}, "b": EC}}, ["key"]),
        ({"published": {"a": RSA, "b": EC | {"crv": "P-384"}}}, ["key"]),
        ({"published": {"a": EC | {"kid": "a"}, "b": EC}}, ["key"]),
        ({"published": None}, []),
        ({"discovery": Discovery(ISSUER + "/", JWKS)}, ["issuer"]),
        ({"discovery": Discovery(ISSUER, JWKS + "/")}, ["jwks_uri"]),
        ({"discovery": Discovery("x", "y"), "published": {"b": EC}}, ["issuer", "jwks_uri", "key"]),
    ],
)
def test_each_difference_is_found(changes: dict[str, Any], kinds: list[str]) -> None:
    assert found(**changes) == kinds
