import base64
from typing import Any

import pytest

from sidecar.errors import TokenError, TokenProblem
from sidecar.tokens.jwt import parse_token
from tests.helpers.values import jwt_bytes


@pytest.mark.rule("Kubernetes D3")
def test_the_claims_of_a_pod_token_are_read() -> None:
    token = parse_token(jwt_bytes())
    assert token.issuer == "https://issuer.test"
    assert token.subject == "system:serviceaccount:default:aws-parameter-reader"
    assert token.audience == ("sts.amazonaws.com",)
    assert (token.issued_at, token.expires_at) == (1_800_000_000, 1_800_003_600)
    assert (token.namespace, token.pod, token.key_id) == ("default", "aws-test", "k1")


@pytest.mark.rule("SDK 26")
def test_white_space_around_the_token_is_dropped() -> None:
    assert parse_token(b" \n" + jwt_bytes() + b"\r\n").raw.encode() == jwt_bytes()


def test_an_audience_may_be_one_string() -> None:
    assert parse_token(jwt_bytes(aud="sts.amazonaws.com")).audience == ("sts.amazonaws.com",)


def test_a_token_from_outside_kubernetes_has_no_pod() -> None:
    token = parse_token(jwt_bytes(**{"kubernetes.io": ...}, iat=...))
    assert (token.namespace, token.pod, token.issued_at) == ("", "", 0.0)


@pytest.mark.parametrize("content", [b"", b" \n\t "])
def test_a_file_without_content_is_empty(content: bytes) -> None:
    with pytest.raises(TokenError) as caught:
        parse_token(content)
    assert caught.value.problem is TokenProblem.EMPTY


def test_a_token_over_the_limit_of_sts_is_too_large() -> None:
    with pytest.raises(TokenError) as caught:
        parse_token(jwt_bytes("x" * 20_000))
    assert caught.value.problem is TokenProblem.TOO_LARGE


DEEP = base64.urlsafe_b64encode(b'{"a":' + b"[" * 6_000).rstrip(b"=")
HUGE_NUMBER = base64.urlsafe_b64encode(b'{"exp":' + b"9" * 5_000 + b"}").rstrip(b"=")


@pytest.mark.rule("Kubernetes D2")
@pytest.mark.mutant("a file that is not a token ends the watcher")
@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"not a token", "three base64url parts"),
        (b"a.b", "three base64url parts"),
        (b"a.b.c.d", "three base64url parts"),
        (jwt_bytes().replace(b".", b"\n.", 1), "three base64url parts"),
        (jwt_bytes()[: len(jwt_bytes()) // 2], "three base64url parts"),
        (b"e30.!!!!.c2ln", "three base64url parts"),
        (b"e30.e.c2ln", "payload is not JSON"),
        (b"e30.bm90IGpzb24.c2ln", "payload is not JSON"),
        (b"e30." + DEEP + b".c2ln", "payload is not JSON"),
        (b"e30." + HUGE_NUMBER + b".c2ln", "payload is not JSON"),
        (b"W10.e30.c2ln", "header is not a JSON object"),
        (b"e30.W10.c2ln", "payload is not a JSON object"),
    ],
)
def test_content_that_is_no_jwt_is_malformed_and_the_part_is_named(content: bytes, part: str) -> None:
    with pytest.raises(TokenError, match=part) as caught:
        parse_token(content)
    assert caught.value.problem is TokenProblem.MALFORMED


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("iss", ...), ("iss", ""), ("iss", 7), ("sub", ...), ("sub", None),
        ("aud", ...), ("aud", []), ("aud", [1]), ("aud", {}), ("aud", 5),
        ("exp", ...), ("exp", "1800003600"), ("exp", True), ("exp", float("nan")), ("exp", float("inf")),
        ("exp", -1), ("exp", 10**400), ("iat", "x"), ("iat", None),
    ],
)  # fmt: skip
def test_a_claim_of_the_wrong_type_is_named(claim: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(TokenError, match=f"claim {claim}") as caught:
        parse_token(jwt_bytes(**{claim: value}))
    assert caught.value.problem is TokenProblem.MALFORMED


def test_kubernetes_claims_of_the_wrong_type_count_as_missing() -> None:
    assert parse_token(jwt_bytes(**{"kubernetes.io": {"namespace": 7, "pod": "x"}})).pod == ""


@pytest.mark.rule("SDK 25")
def test_no_error_and_no_repr_shows_a_part_of_the_token() -> None:
    content = jwt_bytes(exp="soon")
    with pytest.raises(TokenError) as caught:
        parse_token(content)
    shown = f"{caught.value!r} {caught.value} {parse_token(jwt_bytes())!r}"
    assert all(part.decode() not in shown for part in jwt_bytes().split(b".") + content.split(b"."))
