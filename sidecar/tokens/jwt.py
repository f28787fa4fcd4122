"""Parses bytes to a ``Token``: the claims and the expiration of a JWT (RFC 7519). Pure.

The signature is not checked, on purpose. The token comes from the kubelet over a file that only this container mounts,
and STS verifies it against the issuer's keys. A check here would need those keys, could differ from the result of STS,
and would fail first when the issuer rotates its keys.
"""

import base64
import binascii
import json
import math
import re
from typing import Any

from sidecar.errors import TokenError, TokenProblem
from sidecar.limits import TOKEN_MAX_CHARS
from sidecar.model import Token

__all__ = ("parse_token",)

# RFC 7515, section 7.1: three base64url parts without padding. No other content may reach a log, a pipe or STS.
_COMPACT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def parse_token(content: bytes) -> Token:
    """Return the token in the content of a token file.

    White space around it is dropped: STS rejects a token with a line feed.

    Args:
        content: the whole file.

    Raises:
        TokenError: EMPTY, TOO_LARGE, or MALFORMED with the part that is wrong.
    """
    raw = content.strip()
    if not raw:
        raise TokenError(TokenProblem.EMPTY)
    if len(raw) > TOKEN_MAX_CHARS:
        raise TokenError(TokenProblem.TOO_LARGE)
    if not _COMPACT.fullmatch(raw):
        raise TokenError(TokenProblem.MALFORMED, "not three base64url parts")
    header, payload, _signature = raw.split(b".")
    head = _object(header, "header")
    claims = _object(payload, "payload")
    kubernetes = _mapping(claims.get("kubernetes.io"))
    return Token(
        raw=raw.decode("ascii"),
        issuer=_text(claims, "iss"),
        subject=_text(claims, "sub"),
        audience=_audience(claims.get("aud")),
        expires_at=_seconds(claims, "exp"),
        issued_at=_seconds(claims, "iat") if "iat" in claims else 0.0,
        not_before=_seconds(claims, "nbf") if "nbf" in claims else 0.0,
        key_id=_optional_text(head.get("kid")),
        namespace=_optional_text(kubernetes.get("namespace")),
        pod=_optional_text(_mapping(kubernetes.get("pod")).get("name")),
    )


def _object(part: bytes, name: str) -> dict[str, Any]:
    try:
        decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
        value = json.loads(decoded)
    # ValueError: not JSON, not UTF-8, or an integer of thousands of digits; RecursionError: nested too deep.
    except (binascii.Error, ValueError, RecursionError):
        raise TokenError(TokenProblem.MALFORMED, f"its {name} is not JSON") from None
    if not isinstance(value, dict):
        raise TokenError(TokenProblem.MALFORMED, f"its {name} is not a JSON object")
    return value


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _optional_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise TokenError(TokenProblem.MALFORMED, f"its claim {name} is missing or not a string")
    return value


def _audience(value: object) -> tuple[str, ...]:
    # RFC 7519, section 4.1.3: one string, or an array of them.
    values = (value,) if isinstance(value, str) else value
    if isinstance(values, tuple | list) and values and all(isinstance(one, str) for one in values):
        return tuple(values)
    raise TokenError(TokenProblem.MALFORMED, "its claim aud is not a string or a list of strings")


def _seconds(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    # bool is an int in Python, and with NaN no comparison would find a token expired.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenError(TokenProblem.MALFORMED, f"its claim {name} is not a number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds) or seconds < 0:
        raise TokenError(TokenProblem.MALFORMED, f"its claim {name} is not a time")
    return seconds
