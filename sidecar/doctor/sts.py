"""The way to STS, step by step: name, connection, TLS, HTTP."""

import http.client
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from sidecar.clock import Clock
from sidecar.issuer.reader import parse_proxy, proxy_headers

__all__ = ("Step", "StsLook", "look")

_TIMEOUT_SECONDS: Final = 3.0
_HTTPS_PORT, _HTTP_PORT = 443, 80


class Step(StrEnum):
    """How far one gets on the way."""

    NAME = "name"
    CONNECTION = "connection"
    TLS = "tls"
    HTTP = "http"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class StsLook:
    """What one request to STS showed.

    Attributes:
        host: of STS, an IPv6 address in brackets.
        port: of STS.
        step: where it ended; ANSWERED is all of it.
        detail: why, in the system's words or ours.
        proxy: host and port of the proxy in between, or "".
        date: of the answer's Date header, seconds since the epoch; None without one.
        asked_at: wall time of the request.
    """

    host: str
    port: int
    step: Step
    detail: str
    proxy: str
    date: float | None
    asked_at: float


def look(url: str, clock: Clock, proxy_of: Callable[[str], str | None]) -> StsLook:
    """Ask STS for nothing in particular; any answer will do.

    Args:
        url: of STS, http or https.
        clock: tells the time.
        proxy_of: gives the URL of the proxy for a host, or None.

    Raises:
        ValueError: the port in `url` is none.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (_HTTPS_PORT if secure else _HTTP_PORT)
    asked_at, through = clock.now().wall, ""

    def ended(step: Step, detail: str, date: float | None = None) -> StsLook:
        # A URL can hold a password: of STS's and the proxy's no more than host and port is told.
        return StsLook(f"[{host}]" if ":" in host else host, port, step, detail, through, date, asked_at)

    try:
        proxy = parse_proxy(proxy_of(host)) if secure else None
        to_host, to_port = (proxy.hostname or "", proxy.port or _HTTP_PORT) if proxy else (host, port)
    except ValueError:
        return ended(Step.CONNECTION, "HTTPS_PROXY is no URL of a proxy")
    through = f"{to_host}:{to_port}" if proxy else ""
    try:
        socket.getaddrinfo(to_host, to_port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ended(Step.NAME, f"{to_host} cannot be resolved")
    try:
        connection = _connection(to_host, to_port, secure=secure)
    except OSError as error:
        return ended(Step.TLS, f"the CA bundle cannot be read ({error.strerror or type(error).__name__})")
    if proxy:
        connection.set_tunnel(host, port, proxy_headers(proxy))
    try:
        return ended(Step.ANSWERED, *_ask(connection))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return ended(*_trouble(error, f"{to_host}:{to_port}"))
    finally:
        connection.close()


def _connection(host: str, port: int, *, secure: bool) -> http.client.HTTPConnection:
    if not secure:
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")  # as boto3 looks for it
    context = ssl.create_default_context(cafile=bundle or None)
    # Set since Python 3.13, and not by boto3; it refuses CAs that proxies have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)


def _ask(connection: http.client.HTTPConnection) -> tuple[str, float | None]:
    connection.request("GET", "/")
    response = connection.getresponse()
    text = response.getheader("Date")
    return f"HTTP {response.status}", parsedate_to_datetime(text).timestamp() if text else None


def _trouble(error: Exception, where: str) -> tuple[Step, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Step.TLS, f"its certificate does not verify ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return Step.TLS, f"TLS failed ({error.reason})"
    if isinstance(error, TimeoutError):
        return Step.CONNECTION, f"no answer from {where} within {_TIMEOUT_SECONDS:.0f} s"
    if isinstance(error, OSError):
        return Step.CONNECTION, f"{where}: {error.strerror or type(error).__name__}"
    return Step.HTTP, f"what answers speaks no HTTP ({type(error).__name__})"
