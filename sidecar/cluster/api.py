"""Client of an API server: without a login, as AWS, or as the pod. Uses no proxy and follows no redirect."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from sidecar.https.client import ClientConnection
from sidecar.https.trust import anchored_in, roots
from sidecar.issuer.cluster import ApiServer, read_api_token
from sidecar.issuer.reader import TIMEOUT_SECONDS

__all__ = ("ApiClient", "ApiResponse")

_BODY_MAX_BYTES: Final = 1 << 20
_HTTPS_PORT: Final = 443


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """The response of an API server: the HTTP status, and the body, at most 1 MiB."""

    status: int
    content: bytes


class ApiClient:
    """An API server.

    Args:
        server: its URL, the token for it, and the CA that verifies it.
        timeout_seconds: for connecting and for each read.

    Raises:
        SettingsError: the CA file cannot be read, or holds no certificate.
    """

    def __init__(self, server: ApiServer, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.server = server
        parts = urlsplit(server.url)
        self._host, self._port = parts.hostname or "", parts.port or _HTTPS_PORT
        self._timeout_seconds = timeout_seconds
        # With a CA, only this CA is trusted: the client sends a token there.
        self._trust = roots() if server.ca_file is None else anchored_in(server.ca_file)

    @property
    def target(self) -> tuple[str, int]:
        """Host and port of the API server."""
        return self._host, self._port

    def anonymous(self, path: str) -> int:
        """Return the status of a GET without a login; the body, which can be megabytes, is not read.

        Raises:
            FetchError: there was no valid response.
        """
        return self._send("GET", path, {}, None, body_max=0).status

    def get(self, path: str, *, login: bool) -> ApiResponse:
        """Return the response to a GET, as the pod or without a login.

        Raises:
            SettingsError: the token cannot be read.
            FetchError: there was no valid response.
        """
        return self._send("GET", path, self._login() if login else {}, None)

    def apply(self, path: str, content: bytes) -> ApiResponse:
        """Return the response to a server-side apply, as the pod.

        https://kubernetes.io/docs/reference/using-api/server-side-apply/

        Raises:
            SettingsError: the token cannot be read.
            FetchError: there was no valid response.
        """
        headers = self._login() | {"Content-Type": "application/apply-patch+yaml"}
        return self._send("PATCH", path, headers, content)

    def _login(self) -> dict[str, str]:
        # Read again for each request: the kubelet rotates it.
        return (
            {}
            if self.server.token_file is None
            else {"Authorization": f"Bearer {read_api_token(self.server.token_file)}"}
        )

    def _send(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None, *, body_max: int = _BODY_MAX_BYTES
    ) -> ApiResponse:
        url = self.server.url + path
        with ClientConnection(url, self._trust, timeout_seconds=self._timeout_seconds) as connection:
            response = connection.ask(method, headers, content, body_max=body_max)
        return ApiResponse(response.status, response.content)
