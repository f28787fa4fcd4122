"""Any bytes in the token file give a valid ``Token`` or a ``TokenError``."""

import math

from hypothesis import given, strategies as st

from sidecar.errors import TokenError
from sidecar.tokens.jwt import parse_token
from tests.helpers.values import jwt_bytes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def check_token(content: bytes) -> None:
    try:
        token = parse_token(content)
    except TokenError:
        return
    assert token.raw.isascii()
    assert not any(character.isspace() for character in token.raw)
    assert token.issuer
    assert token.subject
    assert token.audience
    assert math.isfinite(token.expires_at)
    assert token.raw not in repr(token)


@given(st.binary(max_size=400))
def test_any_bytes(content: bytes) -> None:
    check_token(content)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("iss", "sub", "aud", "exp", "iat", "kubernetes.io"), JSON)))
def test_any_claims(claims: dict[str, object]) -> None:
    check_token(jwt_bytes(**claims))


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_valid_token_with_bytes_overwritten(position: int, change: bytes) -> None:
    good = jwt_bytes()
    position %= len(good)
    check_token(good[:position] + change + good[position + len(change) :])
