"""The two documents of an issuer, and the issuer's URL."""

import contextlib
import json

import pytest
from hypothesis import given, strategies as st

from sidecar.issuer.documents import (
    DISCOVERY_PATH,
    Discovery,
    DocumentError,
    Keys,
    below,
    check_https,
    check_issuer,
    parse_discovery,
    parse_keys,
    parse_object,
)
from sidecar.issuer.publish import parse_gone, public_keys

ISSUER = "https://issuer.test"
GOOD = {"issuer": ISSUER, "jwks_uri": ISSUER + "/openid/v1/jwks"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NO_JSON = [b"", b"{", b"\xff", b"<html>", b"[" * 100_000, b'{"issuer": ' + b"9" * 5_000 + b"}"]
NO_OBJECT = [b"[]", b"null", b"1", b'"text"', b"NaN"]


def document(**members: object) -> bytes:
    return json.dumps(GOOD | members).encode()


# --- discovery ---


def test_a_discovery_document_has_issuer_and_jwks_uri() -> None:
    assert parse_discovery(document(response_types_supported=["id_token"])) == Discovery(ISSUER, GOOD["jwks_uri"])


@pytest.mark.parametrize("content", NO_JSON)
def test_invalid_json_is_rejected(content: bytes) -> None:
    for parse in (parse_discovery, parse_keys, public_keys):
        with pytest.raises(DocumentError, match=r"^is not JSON$"):
            parse(content)


@pytest.mark.parametrize("content", NO_OBJECT)
def test_json_that_is_not_an_object_is_rejected(content: bytes) -> None:
    for parse in (parse_discovery, parse_keys, public_keys):
        with pytest.raises(DocumentError, match=r"^is not a JSON object$"):
            parse(content)


@pytest.mark.parametrize("name", ["issuer", "jwks_uri"])
@pytest.mark.parametrize("value", [None, "", 1, True, ["https://issuer.test"], {}, "https://issuer.test\nall is well"])
def test_a_missing_member_of_a_discovery_document_is_named(name: str, value: object) -> None:
    with pytest.raises(DocumentError, match=f"^has no {name}$"):
        parse_discovery(document(**{name: value}))


# --- keys ---


def test_a_key_set_keeps_the_order_of_its_keys() -> None:
    assert parse_keys(b'{"keys": [{"kid": "b"}, {"kid": "a"}]}') == Keys(("b", "a"))


def test_a_key_without_a_printable_kid_is_skipped() -> None:
    keys = [{"kid": "a"}, {}, {"kid": ""}, {"kid": 1}, {"kid": "b\nall is well"}, None, "c", {"kid": "d"}]
    assert parse_keys(json.dumps({"keys": keys}).encode()) == Keys(("a", "d"))


@pytest.mark.parametrize("value", [None, {}, "keys", 1])
def test_a_key_set_without_a_list_is_rejected(value: object) -> None:
    with pytest.raises(DocumentError, match=r"^has no keys$"):
        parse_keys(json.dumps({"keys": value}).encode())


# --- any input ---


def parses_or_rejects(content: bytes) -> None:
    for parse in (parse_object, parse_discovery, parse_keys, public_keys):
        with contextlib.suppress(DocumentError):
            parse(content)
    assert all(time >= 0 for time in parse_gone(content).values())


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_parsed_or_rejected(content: bytes) -> None:
    parses_or_rejects(content)


@given(JSON)
def test_arbitrary_json_is_parsed_or_rejected(value: object) -> None:
    parses_or_rejects(json.dumps(value).encode())


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("issuer", "jwks_uri", "gone"), JSON))
    | st.fixed_dictionaries(
        {
            "keys": st.lists(
                JSON
                | st.fixed_dictionaries(
                    {"kty": st.sampled_from(["RSA", "EC", "OKP"]) | JSON},
                    optional=dict.fromkeys(("kid", "n", "e", "x", "y", "crv", "alg", "use", "d"), st.text() | JSON),
                ),
                max_size=3,
            )
        }
    )
)
def test_arbitrary_members_are_parsed_or_rejected(value: object) -> None:
    parses_or_rejects(json.dumps(value).encode())


# --- the issuer's URL ---


@pytest.mark.parametrize(
    "url",
    [
        ISSUER,
        "https://issuer.test/projects/garden/shoots/0123-abc/issuer",
        "https://bucket.s3.eu-central-1.amazonaws.com",
        "https://192.0.2.1",
        "https://[2001:db8::1]",
        "https://issuer.test/" + "x" * 235,
        "https://issuer.test/",
        "https://oidc.prod-aks.azure.com/00000000-0000-0000-0000-000000000000/",
        "https://issuer.test//",
        "https://Issuer.TEST/Path/",
    ],
)
def test_a_valid_issuer_is_not_changed(url: str) -> None:
    assert check_issuer(url) == url


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("", "not an https URL"),
        ("issuer.test", "not an https URL"),
        ("http://issuer.test", "not an https URL"),
        ("HTTPS://issuer.test", "not an https URL"),
        ("https://", "not an https URL"),
        ("https:///path", "not an https URL"),
        ("https://[issuer.test", "not a URL"),
        ("https://issuer.test:x", "not a URL"),
        ("https://issuer.test\n", "not a URL"),
        ("https://issuer.te\tst", "not a URL"),
        (" https://issuer.test", "not a URL"),
        ("https://issuer.test/a b", "not a URL"),
        ("https://issüer.test", "not a URL"),
        ("https://issuer.test:443", "has a port"),
        ("https://issuer.test:", "has a port"),
        ("https://issuer.test:8443/path", "has a port"),
        ("https://user@issuer.test", "has more than a host and a path"),
        ("https://issuer.test?query", "has more than a host and a path"),
        ("https://issuer.test?", "has more than a host and a path"),
        ("https://issuer.test#", "has more than a host and a path"),
        ("https://issuer.test/?query", "has more than a host and a path"),
        ("https://issuer.test/path/#fragment", "has more than a host and a path"),
        ("https://issuer.test:443/", "has a port"),
        ("https://issuer.test/" + "x" * 236, "over 255 characters"),
    ],
)
def test_an_invalid_issuer_is_rejected_with_reason_and_fix(url: str, what: str) -> None:
    with pytest.raises(ValueError, match=f"^{what}.*; .") as caught:
        check_issuer(url)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://issuer.test", "https://issuer.test/.well-known/openid-configuration"),
        ("https://issuer.test/", "https://issuer.test/.well-known/openid-configuration"),
        ("https://issuer.test/a/b", "https://issuer.test/a/b/.well-known/openid-configuration"),
        ("https://issuer.test/a/b/", "https://issuer.test/a/b/.well-known/openid-configuration"),
        # Only one slash is dropped: the others are a part of the issuer's path.
        ("https://issuer.test//", "https://issuer.test//.well-known/openid-configuration"),
    ],
)
def test_one_slash_at_the_end_of_an_issuer_is_dropped_where_a_documents_path_is_appended(issuer: str, url: str) -> None:
    assert below(issuer, DISCOVERY_PATH) == url


@pytest.mark.parametrize("url", [ISSUER, ISSUER + ":6443", ISSUER + "/a/b?c=d", "https://[::1]:6443/"])
def test_a_document_may_be_at_any_https_url(url: str) -> None:
    assert check_https(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://a",
        "https://",
        "https://a:0",
        "https://a:x",
        "https://a b",
        "https://a\n",
        "https://u:p@a",
        "https://a#b",
        "https://[a",
    ],
)
def test_an_invalid_https_url_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match=r"^not an https URL; ") as caught:
        check_https(url)
    assert "u:p" not in str(caught.value)
