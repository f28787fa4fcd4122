"""The two documents of an issuer, from bytes: discovery and key set. Pure.

OpenID Connect Discovery 1.0, section 3 (``issuer``, ``jwks_uri``), and RFC 7517 (``keys``, ``kid``).
"""

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = (
    "DISCOVERY_PATH",
    "Discovery",
    "DocumentError",
    "Keys",
    "check_https",
    "check_issuer",
    "parse_discovery",
    "parse_keys",
    "parse_object",
)

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
# https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html, Url
_URL_MAX_CHARS: Final = 255


class DocumentError(ValueError):
    """A document is not what it has to be; the text says which part, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """A discovery document: who it says it is, and where its keys are."""

    issuer: str
    jwks_uri: str


@dataclass(frozen=True, slots=True)
class Keys:
    """A key set: the `kid` of every key that can be named and printed, in the document's order."""

    kids: tuple[str, ...]


def check_issuer(url: str) -> str:
    """Return an issuer's URL as IAM takes it.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html: https, no port, no
    query. It has to equal the tokens' `iss` to the last character, so a trailing slash is refused here and not dropped.

    Raises:
        ValueError: "what; fix".
    """
    # urlsplit drops line feeds, so that what it finds is not all of the text.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("not a URL; give the issuer as the token's iss has it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("not a URL; give the issuer as the token's iss has it") from None
    if not url.startswith("https://") or not parts.hostname:
        raise ValueError("not an https URL; IAM takes no other issuer")
    if len(url) > _URL_MAX_CHARS:
        raise ValueError(f"over {_URL_MAX_CHARS} characters; IAM takes no longer issuer")
    if port is not None or parts.netloc.endswith(":"):
        raise ValueError(
            "has a port, and IAM takes none in an issuer; serve it on 443 (--connect-to reaches it elsewhere)"
        )
    if parts.username is not None or "?" in url or "#" in url:
        raise ValueError("has more than a host and a path; IAM takes no user, query or fragment in an issuer")
    if url.endswith("/"):
        raise ValueError("ends in a slash; give it as the token's iss has it, which IAM compares to the last character")
    return url


def check_https(url: str) -> str:
    """Return the https URL of a document or a server; it may have a port and a path.

    Raises:
        ValueError: "what; fix".
    """
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and parts.port != 0 and parts.username is None and "#" not in url
    except ValueError:
        good = False
    if not good or not url.startswith("https://") or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("not an https URL; write it as in https://host/path")
    return url


def parse_discovery(content: bytes) -> Discovery:
    """Return a discovery document.

    Raises:
        DocumentError: it is no JSON object, or lacks one of the two texts.
    """
    document = parse_object(content)
    issuer, jwks_uri = document.get("issuer"), document.get("jwks_uri")
    for name, value in (("issuer", issuer), ("jwks_uri", jwks_uri)):
        if not isinstance(value, str) or not value or not value.isprintable():
            raise DocumentError(f"has no {name}")
    return Discovery(str(issuer), str(jwks_uri))


def parse_keys(content: bytes) -> Keys:
    """Return a key set.

    Raises:
        DocumentError: it is no JSON object, or its `keys` is no array.
    """
    keys = parse_object(content).get("keys")
    if not isinstance(keys, list):
        raise DocumentError("has no keys")
    kids = (key.get("kid") for key in keys if isinstance(key, dict))
    # Documents come from strangers: a line feed in a name must not make a line of a report.
    return Keys(tuple(kid for kid in kids if isinstance(kid, str) and kid and kid.isprintable()))


def parse_object(content: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        DocumentError: it is none.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise DocumentError("is not JSON") from None
    if not isinstance(document, dict):
        raise DocumentError("is not a JSON object")
    return document
