"""Decides whether a request is served. Pure.

The endpoint can be reached by all containers of the pod, by a browser on the machine through a malicious page, and by
an application that fetches URLs for its users. So each request is checked completely and separately; an earlier
request of the same connection makes no difference.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sidecar.limits import ENDPOINT_PATH

__all__ = ("REJECTIONS", "Accepted", "Decision", "Guard", "Rejection", "RejectionReason")


class RejectionReason(StrEnum):
    """Why a request is rejected; also the ``reason`` label of the metric."""

    TARGET = "target"
    METHOD = "method"
    ORIGIN = "origin"
    FORWARDED = "forwarded"
    HOST = "host"
    PATH = "path"
    AUTHORIZATION_REPEATED = "authorization_repeated"
    AUTHORIZATION_MISSING = "authorization_missing"
    AUTHORIZATION_WRONG = "authorization_wrong"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request gets the credentials of ``profile``."""

    profile: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """The request is not served.

    Attributes:
        status: the HTTP status.
        reason: why; the `reason` label of the metric.
        message: one line for people, with the fix; it quotes nothing of the request.
    """

    status: int
    reason: RejectionReason
    message: str


Decision = Accepted | Rejection

_TARGET = Rejection(400, RejectionReason.TARGET, "the request target is not a path; send GET /v1/credentials/<profile>")
_METHOD = Rejection(405, RejectionReason.METHOD, "this endpoint accepts only GET; send GET")
_ORIGIN = Rejection(403, RejectionReason.ORIGIN, "requests from a browser are rejected; use an AWS SDK")
_FORWARDED = Rejection(
    403, RejectionReason.FORWARDED, "this request came through a proxy; set NO_PROXY=127.0.0.1 in the application"
)
# RFC 9112 section 3.2 requires 400 if Host is missing or repeated.
_HOST_COUNT = Rejection(400, RejectionReason.HOST, "the Host header is missing or repeated; send exactly one")
_HOST_FOREIGN = Rejection(
    403, RejectionReason.HOST, "the Host header is not a loopback name; use http://127.0.0.1 in the URL"
)
_PATH = Rejection(404, RejectionReason.PATH, "unknown path; credentials are at /v1/credentials/<profile>")
_REPEATED = Rejection(
    400, RejectionReason.AUTHORIZATION_REPEATED, "the Authorization header is repeated; send exactly one"
)
_MISSING = Rejection(
    403,
    RejectionReason.AUTHORIZATION_MISSING,
    "no Authorization header; set AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE in the application, or update its SDK",
)
_WRONG = Rejection(
    403,
    RejectionReason.AUTHORIZATION_WRONG,
    "the auth token is wrong for this path; mount the volume of the profile in the URL",
)

REJECTIONS: Final = (
    _TARGET,
    _METHOD,
    _ORIGIN,
    _FORWARDED,
    _HOST_COUNT,
    _HOST_FOREIGN,
    _PATH,
    _REPEATED,
    _MISSING,
    _WRONG,
)
"""All rejections, so that their answers are rendered and their counters exist before the first request."""

_WATCHED: Final = {
    # Each of these must appear once: of two values, two parsers could use different ones, and the Authorization of a
    # proxy must not be taken for that of the application.
    b"host": _HOST_COUNT,
    b"authorization": _REPEATED,
    # Headers that proxies add. An application with an SSRF vulnerability often fetches URLs through a proxy, or
    # forwards the headers of its client.
    b"forwarded": _FORWARDED,
    b"via": _FORWARDED,
    b"x-forwarded-for": _FORWARDED,
    b"x-forwarded-host": _FORWARDED,
    # A browser adds it to the request of a page.
    b"origin": _ORIGIN,
}
# W3C Fetch Metadata: browsers send these also without Origin, for example for an <img>.
_FETCH_METADATA: Final = b"sec-fetch-"
# With any port or without a port: the AWS CRT sends no port.
_HOST: Final = re.compile(rb"[ \t]*(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?[ \t]*", re.IGNORECASE)
# SDKs send the value without a scheme; people who use curl often write Bearer (RFC 6750).
_BEARER: Final = b"bearer "


class Guard:
    """Checks requests. Immutable.

    Args:
        tokens: the auth token of each profile.
        prefix: the path of the endpoint, without a trailing slash.

    Raises:
        ValueError: there is no profile, or a token is empty: an empty token would accept all clients.
    """

    __slots__ = ("_absent", "_prefix", "_routes", "_under")

    def __init__(self, tokens: Mapping[str, bytes], prefix: str = ENDPOINT_PATH) -> None:
        if not tokens or not all(token.strip() for token in tokens.values()):
            msg = "every profile needs an auth token, and there must be a profile"
            raise ValueError(msg)
        self._prefix = prefix.encode()
        self._under = self._prefix + b"/"
        self._routes = {self._under + name.encode(): (Accepted(name), token.strip()) for name, token in tokens.items()}
        # The path without a profile stands for `default`, or for the profile if there is just one.
        plain = "default" if "default" in tokens else next(iter(tokens)) if len(tokens) == 1 else None
        if plain is not None:
            self._routes[self._prefix] = self._routes[self._under + plain.encode()]
        # An unknown profile is compared with this, so that the time of the answer does not reveal which profiles exist.
        self._absent = b"\0" * max(len(token) for token in tokens.values())

    def __repr__(self) -> str:
        return f"<Guard of {len(self._routes)} paths under {self._prefix.decode()}>"

    def check(self, method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Decision:
        """Check one request.

        Args:
            method: as sent.
            target: the request target, as sent.
            headers: the field lines in order, names in any case.

        Returns:
            ``Accepted`` with the profile, or one of ``REJECTIONS``. Never raises.
        """
        if target[:1] != b"/":
            # Clients send absolute-form to a forward proxy (RFC 9112 section 3.2.2); this is not a proxy.
            return _TARGET
        if method != b"GET":
            # A form of another site can POST; its page cannot read the answer, but POST is not needed.
            return _METHOD
        host = authorization = None
        for raw_name, value in headers:
            name = raw_name.lower()
            if name in _WATCHED:
                if name == b"host" and host is None:
                    host = value
                elif name == b"authorization" and authorization is None:
                    authorization = value
                else:
                    return _WATCHED[name]
            elif name.startswith(_FETCH_METADATA):
                return _ORIGIN
        return self._check_values(target, host, authorization or b"")

    def _check_values(self, target: bytes, host: bytes | None, authorization: bytes) -> Decision:
        if host is None:
            return _HOST_COUNT
        if not _HOST.fullmatch(host):
            # DNS rebinding: the name evil.example now resolves to 127.0.0.1, so for the browser its page and this
            # endpoint have the same origin. The page cannot change the Host header.
            return _HOST_FOREIGN
        # No percent-decoding: a second spelling of a path could pass a filter.
        path = target.partition(b"?")[0].removesuffix(b"/")
        route = self._routes.get(path)
        if route is None and path != self._prefix and not path.startswith(self._under):
            return _PATH
        token = authorization.strip()
        if token[:7].lower() == _BEARER:
            token = token[7:].strip()
        if not token:
            return _MISSING
        # An unknown profile has the same answer as a wrong token: 404 would reveal which profiles exist.
        accepted, expected = (_WRONG, self._absent) if route is None else route
        # Constant time: with `==` the time of the answer would reveal how many leading bytes are right.
        return accepted if hmac.compare_digest(token, expected) else _WRONG
