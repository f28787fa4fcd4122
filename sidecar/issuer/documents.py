"""The two documents of an issuer, from bytes: discovery and key set. Pure.

OpenID Connect Discovery 1.0, section 3 (``issuer``, ``jwks_uri``), and RFC 7517 (``keys``, ``kid``).
"""

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.errors import InvalidValueError

__all__ = (
    "DISCOVERY_PATH",
    "Discovery",
    "DocumentError",
    "Keys",
    "below",
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
    """A document is not valid; the text names the wrong part and contains nothing of the document."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """A discovery document: its `issuer` and its `jwks_uri`."""

    issuer: str
    jwks_uri: str


@dataclass(frozen=True, slots=True)
class Keys:
    """A key set: the `kid` of each key that has a printable one, in the document's order."""

    kids: tuple[str, ...]


def check_issuer(url: str) -> str:
    """Return an issuer's URL if IAM accepts it.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html: https, no port, no
    query. STS compares it to the tokens' `iss` to the last character, so a slash at its end, which the issuers of AKS,
    Auth0 and Entra have, is part of it: it stays in the provider's URL, its ARN and the condition keys.

    Raises:
        InvalidValueError: it is not such a URL.
    """
    # urlsplit drops line feeds, so its result is not the whole text.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidValueError("not a URL", "give the issuer exactly as in the token's iss")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidValueError("not a URL", "give the issuer exactly as in the token's iss") from None
    if not url.startswith("https://") or not parts.hostname:
        raise InvalidValueError("not an https URL", "use an https URL: IAM accepts no other issuer")
    if len(url) > _URL_MAX_CHARS:
        raise InvalidValueError(f"over {_URL_MAX_CHARS} characters", "use a shorter issuer: this is IAM's limit")
    if port is not None or parts.netloc.endswith(":"):
        raise InvalidValueError(
            "has a port, which IAM does not accept in an issuer",
            "serve it on port 443 (--connect-to reaches another port)",
        )
    if parts.username is not None or "?" in url or "#" in url:
        fix = "remove the user, query and fragment: IAM does not accept them in an issuer"
        raise InvalidValueError("has more than a host and a path", fix)
    return url


def below(issuer: str, path: str) -> str:
    """Return the URL of an issuer's document at `path`, such as `DISCOVERY_PATH`.

    One slash at the end of the issuer is dropped before `path` is appended: OpenID Connect Discovery 1.0, section 4.
    """
    return issuer.removesuffix("/") + path


def check_https(url: str) -> str:
    """Return the https URL of a document or a server; it may have a port and a path.

    Raises:
        InvalidValueError: it is not such a URL.
    """
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and parts.port != 0 and parts.username is None and "#" not in url
    except ValueError:
        good = False
    if not good or not url.startswith("https://") or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidValueError("not an https URL", "write it as https://host/path")
    return url


def parse_discovery(content: bytes) -> Discovery:
    """Return a discovery document.

    Raises:
        DocumentError: it is not a JSON object, or has no valid `issuer` or `jwks_uri`.
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
        DocumentError: it is not a JSON object, or its `keys` is not an array.
    """
    keys = parse_object(content).get("keys")
    if not isinstance(keys, list):
        raise DocumentError("has no keys")
    kids = (key.get("kid") for key in keys if isinstance(key, dict))
    # Documents are untrusted input: a line feed in a name must not start a new line of a report.
    return Keys(tuple(kid for kid in kids if isinstance(kid, str) and kid and kid.isprintable()))


def parse_object(content: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        DocumentError: it is not a JSON object.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise DocumentError("is not JSON") from None
    if not isinstance(document, dict):
        raise DocumentError("is not a JSON object")
    return document
