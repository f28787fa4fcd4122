"""Asks an API server: without a login, as AWS does, or as the pod. Neither a proxy nor a redirect is followed."""

import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sidecar.errors import SettingsError
from sidecar.issuer.cluster import ApiServer, read_token
from sidecar.issuer.reader import TIMEOUT_SECONDS, Trouble, Unreadable

__all__ = ("ApiAnswer", "ApiClient")

_BODY_MAX_BYTES: Final = 1 << 20
_HTTPS_PORT: Final = 443


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What an API server answered: the status of HTTP, and of the body at most a MiB."""

    status: int
    content: bytes


class ApiClient:
    """An API server.

    Args:
        server: where it is, who asks, and who vouches for it.
        timeout_seconds: for connecting and for each read.

    Raises:
        SettingsError: the CA file cannot be read, or holds no certificate.
    """

    def __init__(self, server: ApiServer, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.server = server
        parts = urlsplit(server.url)
        self._host, self._port = parts.hostname or "", parts.port or _HTTPS_PORT
        self._timeout_seconds = timeout_seconds
        self._context = _trusting(server.ca_file)

    @property
    def target(self) -> tuple[str, int]:
        """Its host and port."""
        return self._host, self._port

    def anonymous(self, path: str) -> int:
        """Return the status of a GET without a login; the body, which can be megabytes, is left unread.

        Raises:
            Unreadable: there was no answer.
        """
        return self._send("GET", path, {}, None, read=False).status

    def get(self, path: str, *, login: bool) -> ApiAnswer:
        """Return the answer to a GET, as the pod or without a login.

        Raises:
            SettingsError: the token cannot be read.
            Unreadable: there was no answer.
        """
        return self._send("GET", path, self._login() if login else {}, None)

    def apply(self, path: str, content: bytes) -> ApiAnswer:
        """Return the answer to a server-side apply, as the pod.

        https://kubernetes.io/docs/reference/using-api/server-side-apply/

        Raises:
            SettingsError: the token cannot be read.
            Unreadable: there was no answer.
        """
        headers = self._login() | {"Content-Type": "application/apply-patch+yaml"}
        return self._send("PATCH", path, headers, content)

    def _login(self) -> dict[str, str]:
        # Read anew each time: the kubelet swaps it.
        return (
            {} if self.server.token_file is None else {"Authorization": f"Bearer {read_token(self.server.token_file)}"}
        )

    def _send(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None, *, read: bool = True
    ) -> ApiAnswer:
        connection = http.client.HTTPSConnection(
            self._host, self._port, context=self._context, timeout=self._timeout_seconds
        )
        try:
            # Not application/json: an API server's key set is application/jwk-set+json, and anything else gets 406.
            connection.request(method, path, content, {"Accept": "*/*"} | headers)
            response = connection.getresponse()
            return ApiAnswer(response.status, response.read(_BODY_MAX_BYTES) if read else b"")
        except ssl.SSLCertVerificationError as error:
            detail = f"its certificate does not verify ({error.verify_message})"
            raise Unreadable(self.server.url + path, Trouble.TLS, detail) from None
        except TimeoutError:
            raise Unreadable(self.server.url + path, Trouble.TIMEOUT, "no answer in time") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise Unreadable(self.server.url + path, Trouble.CONNECTION, f"no connection ({why})") from None
        finally:
            connection.close()


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    fix = "give a file with CA certificates, PEM"
    try:
        # With a CA, that alone is trusted: a token goes there.
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except ssl.SSLError:
        raise SettingsError(str(ca_file), "holds no certificate", fix) from None
    except OSError as error:
        raise SettingsError(str(ca_file), f"cannot be read ({error.strerror})", fix) from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # since Python 3.13; it refuses CAs that real clusters have
    return context
