"""Sends one request to one server with urllib3: with a proxy and limits of time and size, no retries, no redirects.

It uses a connection of urllib3, not a pool. A pool hides the socket, which has the certificates of the server, and it
adds retries, redirects and open connections, which are not wanted here.
"""

import contextlib
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Self, cast
from urllib.parse import SplitResult, urlsplit

from urllib3.response import HTTPResponse
from urllib3.util import SKIP_HEADER

from sidecar.clock import Clock, SystemClock
from sidecar.https.failures import ERRORS, FailureKind, FetchError, classify_error
from sidecar.https.proxy import Proxy, ProxyOf, parse_proxy
from sidecar.https.timed import Deadline, HttpConnection, HttpsConnection

__all__ = ("ClientConnection", "Response")

# Enough for several steps of a slow server; a server that sends one byte at a time would block a command for days.
_TOTAL_SECONDS: Final = 30.0
_PORTS: Final = {"https": 443, "http": 80}
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class Response:
    """The response of a server.

    Attributes:
        status: of HTTP.
        content: the body, as it was sent; b"" if it was not read.
        date: of the Date header, seconds since the epoch; None without one.
        location: of the Location header; "" without one.
    """

    status: int
    content: bytes
    date: float | None
    location: str = ""


class ClientConnection:
    """A connection for one request; it is open within its ``with`` block.

    Args:
        url: of the request.
        trust: verifies the certificate of the server; None for an http URL.
        proxy_of: returns the proxy for an https host, or None; this class does not read the proxy of the environment.
        timeout_seconds: for each step: one address of the server's name, the TLS handshake, each read and write.
        total_seconds: no step starts later than this; the time of the resolver is set by resolv.conf(5).
        clock: for the time limits.

    Raises:
        FetchError: `url` or the URL of the proxy is invalid; on entering: the connection failed.
    """

    def __init__(
        self,
        url: str,
        trust: ssl.SSLContext | None,
        proxy_of: ProxyOf | None = None,
        *,
        timeout_seconds: float,
        total_seconds: float = _TOTAL_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._url, self._trust = url, trust
        self._parts = _split(url, "http" if trust is None else "https")
        self._host, self._port = str(self._parts.hostname), self._parts.port or _PORTS[self._parts.scheme]
        self._deadline = Deadline(clock or SystemClock(), timeout_seconds, total_seconds)
        try:
            self._proxy: Proxy | None = parse_proxy(proxy_of(self._host)) if proxy_of and trust else None
        except ValueError:
            raise FetchError(url, FailureKind.PROXY, "no connection (HTTPS_PROXY is not the URL of a proxy)") from None
        self._under = self._connection()

    @property
    def proxy(self) -> str:
        """Host and port of the proxy, or ""."""
        return str(self._proxy or "")

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that the name of the server resolved to; () through a proxy, which resolves the name itself."""
        return self._under.addresses if self._proxy is None else ()

    @property
    def tls(self) -> ssl.SSLSocket:
        """The TLS socket, with the certificates of the server; available until a request is sent."""
        return cast("ssl.SSLSocket", self._under.sock)

    def __enter__(self) -> Self:
        with self._classifying_errors():
            if self._proxy is not None:
                self._under.set_tunnel(self._host, self._port, self._proxy.headers)
            self._under.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._under.close()

    def ask(
        self,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        body_max: int,
    ) -> Response:
        """Return the response to a request, with any status.

        Args:
            method: of HTTP.
            headers: in addition to Host and ``Accept: */*``.
            body: of the request.
            body_max: maximum bytes of the response's body; 0: the body is not read.

        Raises:
            FetchError: there was no valid response, its body is too large, or a header cannot be sent.
        """
        # Not application/json: the key set of an API server is application/jwk-set+json, and other types get 406.
        headers = {"Accept": "*/*", "User-Agent": SKIP_HEADER, **(headers or {})}
        if not all(map(_HEADER_VALUE.fullmatch, headers.values())):
            # The text after a line feed would be another header or another request.
            raise self._fetch_error(
                FailureKind.HTTP, "no request was sent (a header has a character that HTTP forbids)"
            )
        target = f"{self._parts.path or '/'}{'?' + self._parts.query if self._parts.query else ''}"
        with self._classifying_errors():
            self._under.request(method, target, body, headers, preload_content=False, decode_content=False)
            with contextlib.closing(self._under.getresponse()) as answer:
                content = _read(answer, body_max) if body_max else b""
        if len(content) > body_max:
            raise self._fetch_error(FailureKind.HTTP, f"the response is not valid (more than {body_max} bytes)")
        location = answer.headers.get("Location", "")
        return Response(answer.status, content, _date(answer.headers.get("Date")), location)

    def _connection(self) -> HttpConnection | HttpsConnection:
        host, port = (self._host, self._port) if self._proxy is None else (self._proxy.host, self._proxy.port)
        if self._trust is None:
            return HttpConnection(host, port, self._deadline)
        return HttpsConnection(host, port, self._deadline, self._trust)

    @contextlib.contextmanager
    def _classifying_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._under.close()
            if isinstance(error, ERRORS):
                raise self._fetch_error(*classify_error(error)) from None
            raise

    def _fetch_error(self, kind: FailureKind, why: str) -> FetchError:
        return FetchError(self._url, kind, why, self.proxy, self.addresses)


def _split(url: str, scheme: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme == scheme and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid, parts = False, urlsplit("")
    if not valid:
        raise FetchError(url, FailureKind.CONNECTION, f"is not an {scheme} URL")
    return parts


def _read(answer: HTTPResponse, body_max: int) -> bytes:
    content = b""
    # One read may return a part of the body, and the read after the last part reports a truncated body.
    while len(content) <= body_max and (piece := answer.read(body_max + 1 - len(content))):
        content += piece
    return content


def _date(text: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(text or "")
        # "-0000" is UTC too (RFC 5322, section 3.3); without a zone it would be read in the zone of this machine.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
