"""Reads an issuer's documents over HTTPS as AWS does: no redirect, five seconds, and trust by CA or by thumbprint."""

import base64
import http.client
import re
import socket
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from sidecar.connect_to import ConnectTo, Target
from sidecar.errors import SettingsError
from sidecar.issuer.certificates import Chain, served_by

__all__ = (
    "Answer",
    "IssuerReader",
    "Trouble",
    "Unreadable",
    "environment_proxy",
    "parse_proxy",
    "proxy_beside",
    "proxy_headers",
)

# "IDPCommunicationError": https://repost.aws/knowledge-center/iam-sts-invalididentitytoken
TIMEOUT_SECONDS: Final = 5.0
_BODY_MAX_BYTES: Final = 1 << 20
_HTTPS_PORT: Final = 443
_PROXY_PORT: Final = 80  # as urllib3, and so boto3, takes it
_TUNNEL_REFUSED: Final = re.compile(r"Tunnel connection failed: ([0-9]{3})")


class Trouble(StrEnum):
    """Why a server could not be asked."""

    NAME = "name"
    """Its name cannot be resolved."""
    CONNECTION = "connection"
    """Nobody listens, or the network or a proxy refuses."""
    TIMEOUT = "timeout"
    """No answer within the time."""
    TLS = "tls"
    """What answers speaks no TLS, or its certificate is not valid for this name and time by any trust."""
    HTTP = "http"
    """What answers speaks no HTTP, breaks off, or sends too much."""


class Unreadable(Exception):  # noqa: N818 - a state of the issuer
    """A URL could not be read.

    Args:
        url: which.
        trouble: why.
        detail: in words of the system or of ours; nothing of an answer.
    """

    def __init__(self, url: str, trouble: Trouble, detail: str) -> None:
        super().__init__(f"{url}: {detail}")
        self.url, self.trouble, self.detail = url, trouble, detail


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        status: of HTTP.
        content: the body.
        date: of its Date header, seconds since the epoch; None without one.
        chain: the certificates that it sent.
    """

    status: int
    content: bytes
    date: float | None
    chain: Chain


class IssuerReader:
    """Reads URLs of issuers.

    A server is trusted by `ca_file` and nothing else. Without one it is by this machine's root CAs, else, as IAM does
    it by thumbprint, by the last certificate that it sends itself: the first look at a private issuer has nothing else,
    and nothing secret is sent.

    Args:
        ca_file: a file with the CAs that a server has to be of, PEM: a public CA vouches for whoever has the name.
        timeout_seconds: for connecting and for each read.
        proxy: gives the URL of the proxy for a host, or None; that of the environment by default.
        by_thumbprint: whether a server may be trusted by what it sends itself.
        token: goes to every server as a bearer token; then none is trusted by what it sends itself, whoever it is.

    Raises:
        SettingsError: `ca_file` cannot be read, or holds no certificate.
    """

    def __init__(
        self,
        ca_file: Path | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        proxy: Callable[[str], str | None] | None = None,
        *,
        by_thumbprint: bool = True,
        token: str | None = None,
    ) -> None:
        self._ca = None if ca_file is None else _anchored_in(ca_file)
        self._timeout_seconds = timeout_seconds
        self._proxy = proxy or environment_proxy
        self._by_thumbprint = by_thumbprint and token is None
        # Not application/json: an API server's key set is application/jwk-set+json, and anything else gets 406.
        self._headers = {"Accept": "*/*"} | ({} if token is None else {"Authorization": f"Bearer {token}"})

    def get(self, url: str) -> Answer:
        """Return the answer to a GET of `url`, whatever its status; redirects are not followed.

        Raises:
            Unreadable: there was none.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _HTTPS_PORT
        except ValueError:
            host, port, parts = None, 0, urlsplit("")
        if parts.scheme != "https" or not host:
            raise Unreadable(url, Trouble.CONNECTION, "is not an https URL")
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        try:
            proxy = parse_proxy(self._proxy(host))
        except ValueError:
            raise Unreadable(url, Trouble.CONNECTION, "no connection (HTTPS_PROXY is no URL of a proxy)") from None
        try:
            return self._ask((host, port), proxy, target)
        except (OSError, http.client.HTTPException, ValueError) as error:
            trouble, detail = _trouble(error)
            # A proxy's URL can hold a password; its host and port are what one looks for.
            via = "" if proxy is None else f", by way of the proxy {proxy.hostname}"
            raise Unreadable(url, trouble, detail + via) from None

    def _ask(self, server: Target, proxy: SplitResult | None, target: str) -> Answer:
        public = ssl.create_default_context()
        public.verify_flags &= ~ssl.VERIFY_X509_STRICT  # since Python 3.13; it refuses CAs that real clusters have
        if self._ca is not None:
            answer = self._get(server, proxy, target, self._ca, public=False)
            return replace(answer, chain=replace(answer.chain, public=self._verifies(server, proxy, public)))
        try:
            return self._get(server, proxy, target, public, public=True)
        except ssl.SSLCertVerificationError:
            if not self._by_thumbprint:
                raise
        probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        probe.check_hostname = False
        probe.verify_mode = ssl.CERT_NONE  # it reads the chain and sends nothing
        connection = self._connect(server, proxy, probe)
        try:
            last = served_by(connection.sock)[-1]
        finally:
            connection.close()
        return self._get(server, proxy, target, _anchored(ssl.DER_cert_to_PEM_cert(last.der)), public=False)

    def _verifies(self, server: Target, proxy: SplitResult | None, context: ssl.SSLContext) -> bool:
        try:
            self._connect(server, proxy, context).close()
        except ssl.SSLCertVerificationError:
            return False
        return True

    def _get(
        self, server: Target, proxy: SplitResult | None, target: str, context: ssl.SSLContext, *, public: bool
    ) -> Answer:
        connection = self._connect(server, proxy, context)
        try:
            connection.request("GET", target, headers=self._headers)
            chain = Chain(served_by(connection.sock), public)
            response = connection.getresponse()
            content = response.read(_BODY_MAX_BYTES + 1)
            if len(content) > _BODY_MAX_BYTES:
                raise http.client.HTTPException(f"more than {_BODY_MAX_BYTES} bytes")
            if response.length:  # of what was announced; a read that is given a size does not complain
                raise http.client.IncompleteRead(b"")
            return Answer(response.status, content, _date(response.getheader("Date")), chain)
        finally:
            connection.close()

    def _connect(
        self, server: Target, proxy: SplitResult | None, context: ssl.SSLContext
    ) -> http.client.HTTPSConnection:
        first = server if proxy is None else (proxy.hostname or "", proxy.port or _PROXY_PORT)
        connection = http.client.HTTPSConnection(*first, context=context, timeout=self._timeout_seconds)
        if proxy is not None:
            connection.set_tunnel(*server, proxy_headers(proxy))
        connection.connect()
        return connection


def environment_proxy(host: str) -> str | None:
    """Return the proxy that this process's environment names for https URLs of a host, or None."""
    if urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get("https")


def proxy_beside(connect_to: ConnectTo) -> Callable[[str], str | None]:
    """Return `environment_proxy` for hosts that ``--connect-to`` does not name; those are reached where that says."""
    hosts = {host for host, _ in connect_to}
    return lambda host: None if host in hosts else environment_proxy(host)


def parse_proxy(url: str | None) -> SplitResult | None:
    """Return the parts of a proxy's URL, or None where it names none.

    Raises:
        ValueError: it is no URL.
    """
    # HTTPS_PROXY=proxy.example:3128 is common, and curl takes it as well, as boto3 does.
    proxy = urlsplit(url if url and "://" in url else f"http://{url or ''}")
    _ = proxy.port  # a ValueError where it is none
    return proxy if proxy.hostname else None


def proxy_headers(proxy: SplitResult) -> dict[str, str]:
    """Return the headers of CONNECT that a proxy is asked with: its own password, where its URL has one."""
    if proxy.username is None:
        return {}
    name_and_password = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(name_and_password.encode()).decode()}"}


def _anchored_in(path: Path) -> ssl.SSLContext:
    fix = "give a file with CA certificates, PEM"
    try:
        # What is between certificates is a comment, in any encoding.
        return _anchored(path.read_bytes().decode("ascii", "ignore"))
    except ssl.SSLError:
        raise SettingsError(str(path), "holds no certificate", fix) from None
    except OSError as error:
        raise SettingsError(str(path), f"cannot be read ({error.strerror})", fix) from None
    except ValueError:
        raise SettingsError(str(path), "holds no certificate", fix) from None


def _anchored(pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem)
    # The last certificate of a chain need be no root, and a leaf that is sent alone is its own.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _date(text: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(text or "")
        # "-0000" is UTC too (RFC 5322, section 3.3), and would be taken for this machine's zone.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _trouble(error: Exception) -> tuple[Trouble, str]:
    if isinstance(error, socket.gaierror):
        return Trouble.NAME, "its name cannot be resolved"
    if isinstance(error, TimeoutError):
        return Trouble.TIMEOUT, "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble.TLS, f"its certificate does not verify ({error.verify_message})"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Trouble.TLS, f"TLS failed ({error.reason})"
    if isinstance(error, OSError):
        refused = _TUNNEL_REFUSED.match(str(error))
        why = f"HTTP {refused[1]}" if refused else error.strerror
        return Trouble.CONNECTION, f"no connection ({why or type(error).__name__})"
    return Trouble.HTTP, f"no usable HTTP ({type(error).__name__})"
