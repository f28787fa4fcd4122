"""Tests the network path to STS in stages: name, connection, TLS, HTTP."""

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from sidecar.clock import Clock
from sidecar.https.client import ClientConnection
from sidecar.https.failures import FailureKind, FetchError
from sidecar.https.proxy import ProxyOf
from sidecar.https.trust import roots

__all__ = ("Stage", "StsProbe", "probe_sts")

_TIMEOUT_SECONDS: Final = 3.0
_HTTPS_PORT, _HTTP_PORT = 443, 80


class Stage(StrEnum):
    """The stage at which the request to STS ended."""

    NAME = "name"
    CONNECTION = "connection"
    TLS = "tls"
    HTTP = "http"
    ANSWERED = "answered"


_STAGES: Final = {
    FailureKind.NAME: Stage.NAME,
    FailureKind.CONNECTION: Stage.CONNECTION,
    FailureKind.PROXY: Stage.CONNECTION,
    FailureKind.TIMEOUT: Stage.CONNECTION,
    FailureKind.CERTIFICATE: Stage.TLS,
    FailureKind.TLS: Stage.TLS,
    FailureKind.PLAINTEXT: Stage.TLS,
    FailureKind.HTTP: Stage.HTTP,
}


@dataclass(frozen=True, slots=True)
class StsProbe:
    """The result of one test request to STS.

    Attributes:
        host: of STS, an IPv6 address in brackets.
        port: of STS.
        stage: where it ended; ANSWERED if STS sent a response.
        detail: the reason, or the status of the response.
        proxy: host and port of the proxy, or "".
        date: of the response's Date header, seconds since the epoch; None without one.
        requested_at: wall time of the request.
    """

    host: str
    port: int
    stage: Stage
    detail: str
    proxy: str
    date: float | None
    requested_at: float


def probe_sts(url: str, clock: Clock, proxy_of: ProxyOf) -> StsProbe:
    """Send one request to STS without credentials; any response is a success.

    Args:
        url: of STS, http or https.
        clock: tells the time.
        proxy_of: gives the URL of the proxy for a host, or None.

    Raises:
        ValueError: the port in `url` is not valid.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (_HTTPS_PORT if secure else _HTTP_PORT)
    # A URL can contain a password: of the URLs of STS and of the proxy only host and port are shown.
    shown = f"[{host}]" if ":" in host else host
    requested_at = clock.now().wall

    def ended(stage: Stage, detail: str, proxy: str = "", date: float | None = None) -> StsProbe:
        return StsProbe(shown, port, stage, detail, proxy, date, requested_at)

    try:
        trust = roots(_bundle()) if secure else None
    except OSError as error:
        return ended(Stage.TLS, f"the CA bundle cannot be read ({error.strerror or type(error).__name__})")
    plain_url = f"{parts.scheme}://{shown}:{port}/"
    try:
        with ClientConnection(plain_url, trust, proxy_of, timeout_seconds=_TIMEOUT_SECONDS, clock=clock) as connection:
            response = connection.ask(body_max=0)
    except FetchError as error:
        return ended(_STAGES[error.kind], error.why, error.proxy)
    return ended(Stage.ANSWERED, f"HTTP {response.status}", connection.proxy, response.date)


def _bundle() -> str | None:
    # The same order as in boto3.
    return os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or None
