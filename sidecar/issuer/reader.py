"""Reads an issuer's documents over HTTPS as AWS does: no redirects, five seconds, trust by CA or by thumbprint."""

import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sidecar.clock import SystemClock
from sidecar.https.client import ClientConnection
from sidecar.https.connect_to import ConnectTo
from sidecar.https.failures import FailureKind, FetchError
from sidecar.https.proxy import ProxyOf, proxy_beside
from sidecar.https.trust import anchored, anchored_in, no_trust, roots
from sidecar.issuer.certificates import Chain, served_by

__all__ = ("TIMEOUT_SECONDS", "IssuerReader", "IssuerResponse")

# "IDPCommunicationError": https://repost.aws/knowledge-center/iam-sts-invalididentitytoken
TIMEOUT_SECONDS: Final = 5.0
_HTTPS_PORT: Final = 443
_BODY_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class IssuerResponse:
    """The response of a server.

    Attributes:
        status: the HTTP status code.
        content: the body.
        date: time of the Date header, seconds since the epoch; None without the header.
        chain: the certificates that the server sent.
        location: of the Location header; "" without it.
        seconds: from the first step of the connection to the end of the body; without earlier connections that only
            read the certificates.
        addresses: that the name of the server resolved to; () through a proxy, and with ``--connect-to``.
    """

    status: int
    content: bytes
    date: float | None
    chain: Chain
    location: str = ""
    seconds: float = 0.0
    addresses: tuple[str, ...] = ()


class IssuerReader:
    """Reads URLs of issuers.

    With `ca_file`, a server is trusted by these CAs only. Without it, a server is trusted by the root CAs of this
    machine; if they do not verify it, by the last certificate that the server itself sends, as IAM does with a
    thumbprint. For the first request to a private issuer there is no other information, and the request contains no
    secret.

    Args:
        ca_file: PEM file with the CAs that may verify the server. A public CA issues a certificate to any owner of a
            name, so root CAs do not count then.
        timeout_seconds: for connecting and for each read.
        connect_to: other addresses for hosts; connections to these hosts use no proxy.
        proxy: returns the URL of the proxy for a host, or None; by default the proxy of the environment.
        by_thumbprint: whether a server may be trusted by the certificate that it sends itself.
        token: sent to each server as a bearer token; then no server is trusted by the certificate that it sends itself.

    Raises:
        SettingsError: `ca_file` cannot be read, or contains no certificate.
    """

    def __init__(
        self,
        ca_file: Path | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        proxy: ProxyOf | None = None,
        *,
        connect_to: ConnectTo | None = None,
        by_thumbprint: bool = True,
        token: str | None = None,
    ) -> None:
        self._ca = None if ca_file is None else anchored_in(ca_file)
        self._timeout_seconds = timeout_seconds
        self._clock = SystemClock()
        self._connect_to = connect_to or {}
        self._proxy = proxy or proxy_beside(self._connect_to)
        self._by_thumbprint = by_thumbprint and token is None
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def get(self, url: str) -> IssuerResponse:
        """Return the response to a GET of `url`, with any status; redirects are not followed.

        Raises:
            FetchError: there was no response.
        """
        try:
            answer = self._ask(url)
        except FetchError as error:
            if self._redirected(url):
                error.addresses = ()
            raise
        return replace(answer, addresses=()) if self._redirected(url) else answer

    def _redirected(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            target = parts.hostname or "", parts.port or _HTTPS_PORT
        except ValueError:
            return False
        return target in self._connect_to

    def _ask(self, url: str) -> IssuerResponse:
        if self._ca is not None:
            answer = self._get(url, self._ca, public=False)
            return replace(answer, chain=replace(answer.chain, public=self._is_public(url)))
        try:
            return self._get(url, roots(), public=True)
        except FetchError as unreadable:
            if unreadable.kind is not FailureKind.CERTIFICATE or not self._by_thumbprint:
                raise
        with self._connection(url, no_trust()) as connection:
            last = served_by(connection.tls)[-1]
        return self._get(url, anchored(last.der), public=False)

    def _is_public(self, url: str) -> bool:
        try:
            with self._connection(url, roots()):
                return True
        except FetchError as unreadable:
            if unreadable.kind is not FailureKind.CERTIFICATE:
                raise
        return False

    def _get(self, url: str, trust: ssl.SSLContext, *, public: bool) -> IssuerResponse:
        began = self._clock.now().mono
        with self._connection(url, trust) as connection:
            chain = Chain(served_by(connection.tls), public)
            response = connection.ask(headers=self._headers, body_max=_BODY_MAX_BYTES)
        seconds = self._clock.now().mono - began
        return IssuerResponse(
            response.status, response.content, response.date, chain, response.location, seconds, connection.addresses
        )

    def _connection(self, url: str, trust: ssl.SSLContext) -> ClientConnection:
        return ClientConnection(url, trust, self._proxy, timeout_seconds=self._timeout_seconds)
