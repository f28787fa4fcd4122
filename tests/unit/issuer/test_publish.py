"""What is published of an issuer: which keys, for how long, and when it does not fit."""

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


def test_keys_of_both_kinds_are_taken_with_their_public_members() -> None:
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
def test_a_private_member_is_refused_by_name_and_never_quoted(name: str, kind: str | None) -> None:
    with pytest.raises(DocumentError, match=f"^has a private key: {name} of key 2$"):
        public_keys(key_set(RSA, EC | {"kty": kind, name: "secret"}))


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ([], "has no keys"),
        ([RSA, "key"], "has no object as key 2"),
        ([{**RSA, "kty": "OKP"}], "has a key that AWS does not take: kty of key 1 is neither RSA nor EC"),
        ([{**RSA, "kty": ["RSA"]}], "has a key that AWS does not take: kty of key 1 is neither RSA nor EC"),
        ([{**RSA, "kid": ""}], "has no kid in key 1"),
        ([{**RSA, "kid": "a\n"}], "has no kid in key 1"),
        ([{**RSA, "kid": None}], "has no kid in key 1"),
        ([RSA, {**EC, "kid": "a"}], "has the kid of key 2 twice"),
        ([{**RSA, "n": None}], "has no usable n in key 1"),
        ([{**RSA, "n": "A Q"}], "has no usable n in key 1"),
        ([{**RSA, "e": 65537}], "has no usable e in key 1"),
        ([{**RSA, "alg": "\n"}], "has no usable alg in key 1"),
        ([{**EC, "crv": ""}], "has no usable crv in key 1"),
        ([EC | {"y": "="}], "has no usable y in key 1"),
    ],
)
def test_a_key_that_nobody_could_verify_by_is_refused(keys: list[Any], what: str) -> None:
    with pytest.raises(DocumentError, match=f"^{what}$"):
        public_keys(key_set(*keys))


def test_a_key_set_that_is_written_reads_as_it_was() -> None:
    assert public_keys(keys_document({"a": RSA, "b": EC})) == {"a": RSA, "b": EC}


# --- the discovery document ---


def test_the_discovery_document_is_the_clusters_with_the_issuer_and_the_place_of_the_keys() -> None:
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
def test_the_algorithms_of_kept_keys_stay_named(named: object) -> None:
    content = json.dumps({"id_token_signing_alg_values_supported": named}).encode()
    document = json.loads(discovery_document(content, ISSUER, JWKS, {"a": RSA, "b": EC}))
    assert document["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]


# --- which keys, for how long ---


def test_the_keys_of_the_cluster_are_published_at_once() -> None:
    merged = merge({"a": RSA, "b": EC}, {}, {}, now=NOW, keep_seconds=KEEP_SECONDS)
    assert (merged.keys, merged.added, merged.gone, merged.dropped) == ({"a": RSA, "b": EC}, ("a", "b"), {}, ())


def test_a_key_that_is_gone_is_kept_for_as_long_as_asked_and_then_dropped() -> None:
    first = merge({"b": EC}, {"a": RSA}, {}, now=NOW, keep_seconds=100)
    assert (dict(first.keys), dict(first.gone), first.added) == ({"b": EC, "a": RSA}, {"a": NOW}, ("b",))
    later = merge({"b": EC}, first.keys, first.gone, now=NOW + 99, keep_seconds=100)
    assert (later.keys, later.gone, later.dropped) == (first.keys, first.gone, ())
    last = merge({"b": EC}, later.keys, later.gone, now=NOW + 100, keep_seconds=100)
    assert (dict(last.keys), dict(last.gone), last.dropped) == ({"b": EC}, {}, ("a",))


def test_the_while_begins_when_it_is_found_gone_however_long_nobody_looked() -> None:
    merged = merge({"b": EC}, {"a": RSA, "b": EC}, {}, now=NOW + 10_000_000, keep_seconds=100)
    assert merged.gone == {"a": NOW + 10_000_000}


def test_a_key_that_comes_back_is_gone_no_more() -> None:
    merged = merge({"a": RSA}, {"a": RSA}, {"a": NOW - 99}, now=NOW, keep_seconds=100)
    assert (merged.gone, merged.added) == ({}, ())


def test_with_nothing_to_keep_it_is_dropped_at_once() -> None:
    merged = merge({"b": EC}, {"a": RSA}, {}, now=NOW, keep_seconds=0)
    assert (dict(merged.keys), merged.dropped) == ({"b": EC}, ("a",))


def test_a_clock_that_was_ahead_keeps_no_key_for_longer() -> None:
    merged = merge({"b": EC}, {"a": RSA}, {"a": NOW + 1_000_000}, now=NOW, keep_seconds=100)
    assert merged.gone == {"a": NOW}


def test_the_key_of_the_cluster_wins_over_one_of_its_name() -> None:
    assert merge({"a": RSA}, {"a": RSA | {"n": "Ag"}}, {}, now=NOW, keep_seconds=100).keys == {"a": RSA}


def test_what_becomes_of_each_key_is_told() -> None:
    old = {"a": RSA, "c": RSA, "d": RSA}
    merged = merge({"a": RSA, "b": EC}, old, {"d": NOW - 100}, now=NOW, keep_seconds=100)
    assert merged.told(100) == [
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
def test_no_key_of_the_cluster_is_ever_left_out_and_no_other_comes_in(
    cluster: set[str], published: set[str], gone: dict[str, float], now: float, keep: float
) -> None:
    ours, theirs = ({kid: RSA | {"kid": kid} for kid in sorted(kids)} for kids in (cluster, published))
    merged = merge(ours, theirs, gone, now=now, keep_seconds=keep)
    assert cluster <= set(merged.keys) <= cluster | published
    assert set(merged.gone) == set(merged.keys) - cluster
    assert set(merged.dropped) == published - set(merged.keys)
    # A second look at the same moment changes nothing.
    again = merge(ours, merged.keys, merged.gone, now=now, keep_seconds=keep)
    assert (list(again.keys), again.gone, again.added, again.dropped) == (list(merged.keys), merged.gone, (), ())


def test_the_times_read_as_they_were_written() -> None:
    assert parse_gone(gone_document({"a": NOW, "b": 0.5})) == {"a": NOW, "b": 0.5}


TIMES = (b'"soon"', b"-1", b"NaN", b"1e300", b"null", b"[]")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", *(b'{"gone": %s}' % gone for gone in (b"[]", *(b'{"a": %s}' % time for time in TIMES)))],
)
def test_a_time_that_cannot_be_read_is_none(content: bytes) -> None:
    assert parse_gone(content) == {}


# --- whether it fits ---


def found(**changes: object) -> list[str]:
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "jwks_uri": JWKS,
        "cluster": {"a": RSA, "b": EC},
        "discovery": Discovery(ISSUER, JWKS),
        "published": {"a": RSA, "b": EC},
    }
    return [difference.kind for difference in differences(**given | changes)]


def test_what_is_published_as_it_is_fits() -> None:
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
def test_what_does_not_fit_is_found(changes: dict[str, Any], kinds: list[str]) -> None:
    assert found(**changes) == kinds
