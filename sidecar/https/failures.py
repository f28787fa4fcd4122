"""Why a request to a server failed: one table for the errors of the system, TLS, proxies and HTTP."""

import re
import socket
import ssl
from enum import StrEnum
from http.client import HTTPException
from typing import Final

from urllib3.exceptions import HTTPError
from urllib3.util.ssl_match_hostname import CertificateError

__all__ = ("ERRORS", "FailureKind", "FetchError", "classify_error")

ERRORS: Final = (OSError, HTTPException, HTTPError, ValueError)
"""The errors of a connection; ``classify_error`` accepts all of these."""

# What OpenSSL calls a first record that is no TLS, such as "HTTP/1.1 400"; the name depends on its version.
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
# http.client, and so urllib3, has the status of the proxy only in the text of the error.
_TUNNEL_REFUSED: Final = re.compile(r"Tunnel connection failed: ([0-9]{3})")


class FailureKind(StrEnum):
    """Why a request to a server failed."""

    NAME = "name"
    """The name of the server or of the proxy cannot be resolved."""
    CONNECTION = "connection"
    """No program listens on the port, or the connection was refused or closed."""
    PROXY = "proxy"
    """The proxy rejects the request, or its URL is invalid."""
    TIMEOUT = "timeout"
    """No response within the time limit."""
    CERTIFICATE = "certificate"
    """The certificate is not valid for this name and time, or is not from a trusted CA."""
    TLS = "tls"
    """The server supports no version of TLS that is accepted here."""
    PLAINTEXT = "plaintext"
    """The server does not speak TLS."""
    HTTP = "http"
    """The response is not HTTP, is truncated, or is too large."""

    @property
    def of_tls(self) -> bool:
        """Whether the connection succeeded and TLS failed."""
        return self in {FailureKind.CERTIFICATE, FailureKind.TLS, FailureKind.PLAINTEXT}

    @property
    def of_network(self) -> bool:
        """Whether the network failed, and not the server."""
        return self in {FailureKind.NAME, FailureKind.CONNECTION, FailureKind.PROXY, FailureKind.TIMEOUT}


class FetchError(Exception):
    """A request for a URL failed.

    Args:
        url: of the request.
        kind: the class of the failure.
        why: the reason, in the words of the system or of this program; it quotes no response, no header and no proxy
            credentials.
        proxy: host and port of the proxy, or "".
        addresses: that the name of the server resolved to; () if they are not known.
    """

    def __init__(self, url: str, kind: FailureKind, why: str, proxy: str = "", addresses: tuple[str, ...] = ()) -> None:
        self.url, self.kind, self.why, self.proxy, self.addresses = url, kind, why, proxy, addresses
        super().__init__(f"{url}: {self.detail}")

    @property
    def detail(self) -> str:
        """The reason, and the proxy if there is one."""
        return f"{self.why}, through the proxy {self.proxy}" if self.proxy else self.why


def classify_error(error: BaseException) -> tuple[FailureKind, str]:  # noqa: PLR0911 - a list of cases, each with its answer
    """Return the class of an error of ``ERRORS``, and a text for it. The error's own text can quote sent data."""
    while isinstance(error, HTTPError) and error.__cause__ is not None:
        error = error.__cause__
    match error:
        case socket.gaierror():
            return FailureKind.NAME, "its name cannot be resolved"
        case TimeoutError():
            return FailureKind.TIMEOUT, "no answer in time"
        case ssl.SSLCertVerificationError():
            return FailureKind.CERTIFICATE, f"its certificate does not verify ({error.verify_message})"
        case CertificateError():  # urllib3 compares the name if the TLS library does not, such as LibreSSL
            return FailureKind.CERTIFICATE, "its certificate does not verify (it is for another name)"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():  # the peer closed the connection
            return FailureKind.CONNECTION, f"no connection ({error.strerror or type(error).__name__})"
        case ssl.SSLError():
            reason = getattr(error, "reason", None) or type(error).__name__
            return FailureKind.PLAINTEXT if reason in _NOT_TLS else FailureKind.TLS, f"TLS failed ({reason})"
        case OSError():
            refused = _TUNNEL_REFUSED.match(str(error))
            if refused:
                return FailureKind.PROXY, f"no connection (HTTP {refused[1]})"
            return FailureKind.CONNECTION, f"no connection ({error.strerror or type(error).__name__})"
    return FailureKind.HTTP, f"the response is not valid ({type(error).__name__})"
