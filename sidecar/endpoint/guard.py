"""May this request be served? Pure: bytes in, verdict out.

Every container of a pod, every browser that a page can steer to loopback and every application that fetches
URLs for others can reach the endpoint. So each request is judged whole, on its own, every time; nothing
carries over from an earlier request of the same connection.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sidecar.limits import ENDPOINT_PATH

__all__ = ("REFUSALS", "Admitted", "Cause", "Guard", "Refusal", "Verdict")


class Cause(StrEnum):
    """Why a request is refused; also the ``cause`` label of the metric."""

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
class Admitted:
    """Serve the set of ``profile``."""

    profile: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Do not serve.

    Attributes:
        status: the HTTP status.
        cause: the class of the refusal.
        message: one line for a person, with the next step; never a byte of the request.
    """

    status: int
    cause: Cause
    message: str


Verdict = Admitted | Refusal

_TARGET = Refusal(400, Cause.TARGET, "the request target is not a path; send GET /v1/credentials/<profile>")
_METHOD = Refusal(405, Cause.METHOD, "this endpoint answers GET only")
_ORIGIN = Refusal(403, Cause.ORIGIN, "requests from a browser are refused; use an AWS SDK")
_FORWARDED = Refusal(
    403, Cause.FORWARDED, "this request came through a proxy; set NO_PROXY=127.0.0.1 in the application"
)
# RFC 9112 section 3.2 wants 400 where Host is missing or repeated.
_HOST_COUNT = Refusal(400, Cause.HOST, "exactly one Host header is needed")
_HOST_FOREIGN = Refusal(403, Cause.HOST, "the Host header names another machine; use http://127.0.0.1 in the URL")
_PATH = Refusal(404, Cause.PATH, "there is nothing here; credentials are under /v1/credentials")
_REPEATED = Refusal(400, Cause.AUTHORIZATION_REPEATED, "send exactly one Authorization header")
_MISSING = Refusal(
    403,
    Cause.AUTHORIZATION_MISSING,
    "no Authorization header; set AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE in the application, or update its SDK",
)
_WRONG = Refusal(
    403,
    Cause.AUTHORIZATION_WRONG,
    "the token does not fit this path; mount the volume of the profile that the URL names",
)

REFUSALS: Final = (
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
"""Every refusal there is, so that answers can be rendered and counters started ahead of time."""

_WATCHED: Final = {
    # These come once: two readers of one request could each pick another one of two, and a proxy that adds its
    # own Authorization must not pass for the application.
    b"host": _HOST_COUNT,
    b"authorization": _REPEATED,
    # What a proxy adds. An application that can be talked into fetching a URL (SSRF) often goes through one, or
    # passes on the headers of its own caller.
    b"forwarded": _FORWARDED,
    b"via": _FORWARDED,
    b"x-forwarded-for": _FORWARDED,
    b"x-forwarded-host": _FORWARDED,
    # What a browser adds to a request that a page makes.
    b"origin": _ORIGIN,
}
# W3C Fetch Metadata: browsers send these where they send no Origin, on a plain <img> for one.
_FETCH_METADATA: Final = b"sec-fetch-"
# With any port or none: the AWS CRT sends none.
_HOST: Final = re.compile(rb"[ \t]*(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?[ \t]*", re.IGNORECASE)
# SDKs send the bare value; people who try it with curl write Bearer (RFC 6750).
_BEARER: Final = b"bearer "


class Guard:
    """Judges requests; holds the tokens and nothing that changes.

    Args:
        tokens: the auth token of each profile.
        prefix: the path of the endpoint, without a trailing slash.

    Raises:
        ValueError: there is no profile, or a token is empty: an empty one would let everybody in.
    """

    __slots__ = ("_absent", "_prefix", "_routes", "_under")

    def __init__(self, tokens: Mapping[str, bytes], prefix: str = ENDPOINT_PATH) -> None:
        if not tokens or not all(token.strip() for token in tokens.values()):
            msg = "every profile needs an auth token, and there must be a profile"
            raise ValueError(msg)
        self._prefix = prefix.encode()
        self._under = self._prefix + b"/"
        self._routes = {self._under + name.encode(): (Admitted(name), token.strip()) for name, token in tokens.items()}
        # The path without a name means the profile that needs none: `default`, else the only one.
        plain = "default" if "default" in tokens else next(iter(tokens)) if len(tokens) == 1 else None
        if plain is not None:
            self._routes[self._prefix] = self._routes[self._under + plain.encode()]
        # Compared with where there is no such profile, so that the time taken does not tell.
        self._absent = b"\0" * max(len(token) for token in tokens.values())

    def __repr__(self) -> str:
        return f"<Guard of {len(self._routes)} paths under {self._prefix.decode()}>"

    def judge(self, method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Verdict:
        """Judge one request.

        Args:
            method: as sent.
            target: the request target, as sent.
            headers: every field line in order, names in any case.

        Returns:
            ``Admitted`` with the profile, or one of ``REFUSALS``. Never raises.
        """
        if target[:1] != b"/":
            # absolute-form is how a forward proxy is asked (RFC 9112 section 3.2.2); we are none.
            return _TARGET
        if method != b"GET":
            # A cross-site form can POST; its page cannot read the answer, but why let it try.
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
        return self._admit(target, host, authorization or b"")

    def _admit(self, target: bytes, host: bytes | None, authorization: bytes) -> Verdict:
        if host is None:
            return _HOST_COUNT
        if not _HOST.fullmatch(host):
            # DNS rebinding: a page of evil.example, whose name now resolves to 127.0.0.1, is same-origin with us
            # for the browser. What it cannot change is the Host header.
            return _HOST_FOREIGN
        # No percent-decoding: two spellings of one path are two chances to pass a filter.
        path = target.partition(b"?")[0].removesuffix(b"/")
        route = self._routes.get(path)
        if route is None and path != self._prefix and not path.startswith(self._under):
            return _PATH
        token = authorization.strip()
        if token[:7].lower() == _BEARER:
            token = token[7:].strip()
        if not token:
            return _MISSING
        # An unknown profile looks exactly like a wrong token: 404 would tell which profiles exist.
        admitted, expected = (_WRONG, self._absent) if route is None else route
        # Constant time: with `==` the answer's delay tells how many leading bytes were right.
        return admitted if hmac.compare_digest(token, expected) else _WRONG
