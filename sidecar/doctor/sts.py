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

__all__ = ("Step", "StsLook", "look")

_TIMEOUT_SECONDS: Final = 3.0


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
        url: of STS.
        step: where it ended; ANSWERED is all of it.
        detail: why, in the system's words or ours.
        proxy: host and port of the proxy in between, or "".
        date: of the answer's Date header, seconds since the epoch; None without one.
        asked_at: wall time of the request.
    """

    url: str
    step: Step
    detail: str
    proxy: str
    date: float | None
    asked_at: float


def look(url: str, clock: Clock, proxy_of: Callable[[str], str | None]) -> StsLook:
    """Ask STS for nothing in particular; any answer will do. Raises nothing.

    Args:
        url: of STS, http or https.
        clock: tells the time.
        proxy_of: gives the URL of the proxy for a host, or None.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    proxy = urlsplit(proxy_of(host) or "") if secure else urlsplit("")
    to_host, to_port = (proxy.hostname, proxy.port or 80) if proxy.hostname else (host, port)
    through = f"{to_host}:{to_port}" if proxy.hostname else ""
    asked_at = clock.now().wall

    def ended(step: Step, detail: str, date: float | None = None) -> StsLook:
        return StsLook(url, step, detail, through, date, asked_at)

    try:
        socket.getaddrinfo(to_host, to_port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ended(Step.NAME, f"{to_host} cannot be resolved")
    try:
        connection = _connection(to_host, to_port, secure=secure)
    except OSError as error:
        return ended(Step.TLS, f"the CA bundle cannot be read ({error.strerror or type(error).__name__})")
    if through:
        connection.set_tunnel(host, port)
    try:
        return ended(Step.ANSWERED, *_ask(connection))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return ended(*_trouble(error, f"{to_host}:{to_port}"))
    finally:
        connection.close()


def _connection(host: str, port: int, *, secure: bool) -> http.client.HTTPConnection:
    if not secure:
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)
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
