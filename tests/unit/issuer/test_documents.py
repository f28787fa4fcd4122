"""The two documents of an issuer, and the issuer's URL."""

import contextlib
import json

import pytest
from hypothesis import given, strategies as st

from sidecar.issuer.documents import (
    Discovery,
    DocumentError,
    Keys,
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


def test_a_discovery_document_says_who_it_is_and_where_its_keys_are() -> None:
    assert parse_discovery(document(response_types_supported=["id_token"])) == Discovery(ISSUER, GOOD["jwks_uri"])


@pytest.mark.parametrize("content", NO_JSON)
def test_what_is_no_json_is_no_document(content: bytes) -> None:
    for parse in (parse_discovery, parse_keys, public_keys):
        with pytest.raises(DocumentError, match=r"^is not JSON$"):
            parse(content)


@pytest.mark.parametrize("content", NO_OBJECT)
def test_what_is_no_object_is_no_document(content: bytes) -> None:
    for parse in (parse_discovery, parse_keys, public_keys):
        with pytest.raises(DocumentError, match=r"^is not a JSON object$"):
            parse(content)


@pytest.mark.parametrize("name", ["issuer", "jwks_uri"])
@pytest.mark.parametrize("value", [None, "", 1, True, ["https://issuer.test"], {}, "https://issuer.test\nall is well"])
def test_a_discovery_document_without_one_of_its_texts_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(DocumentError, match=f"^has no {name}$"):
        parse_discovery(document(**{name: value}))


# --- keys ---


def test_a_key_set_names_its_keys_in_its_order() -> None:
    assert parse_keys(b'{"keys": [{"kid": "b"}, {"kid": "a"}]}') == Keys(("b", "a"))


def test_a_key_that_cannot_be_named_or_printed_is_passed_over() -> None:
    keys = [{"kid": "a"}, {}, {"kid": ""}, {"kid": 1}, {"kid": "b\nall is well"}, None, "c", {"kid": "d"}]
    assert parse_keys(json.dumps({"keys": keys}).encode()) == Keys(("a", "d"))


@pytest.mark.parametrize("value", [None, {}, "keys", 1])
def test_a_key_set_without_a_list_is_refused(value: object) -> None:
    with pytest.raises(DocumentError, match=r"^has no keys$"):
        parse_keys(json.dumps({"keys": value}).encode())


# --- whatever it is ---


def parses_or_says_why(content: bytes) -> None:
    for parse in (parse_object, parse_discovery, parse_keys, public_keys):
        with contextlib.suppress(DocumentError):
            parse(content)
    assert all(time >= 0 for time in parse_gone(content).values())


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    parses_or_says_why(content)


@given(JSON)
def test_any_json(value: object) -> None:
    parses_or_says_why(json.dumps(value).encode())


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
def test_any_members(value: object) -> None:
    parses_or_says_why(json.dumps(value).encode())


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
    ],
)
def test_an_issuer_is_taken_as_it_is(url: str) -> None:
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
        ("https://issuer.test/", "ends in a slash"),
        ("https://issuer.test/path/", "ends in a slash"),
        ("https://issuer.test/" + "x" * 236, "over 255 characters"),
    ],
)
def test_what_iam_takes_for_no_issuer_is_refused_with_why_and_what_to_do(url: str, what: str) -> None:
    with pytest.raises(ValueError, match=f"^{what}.*; .") as caught:
        check_issuer(url)
    assert str(caught.value).isprintable()


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
def test_anything_else_is_no_https_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^not an https URL; ") as caught:
        check_https(url)
    assert "u:p" not in str(caught.value)
