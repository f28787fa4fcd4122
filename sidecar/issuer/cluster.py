"""Reads the discovery document and the key set of a cluster from its API server, with a ServiceAccount token."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from sidecar.errors import SettingsError
from sidecar.issuer.answers import Sender, sender_of
from sidecar.issuer.documents import DISCOVERY_PATH
from sidecar.issuer.publish import KEYS_PATH
from sidecar.issuer.reader import IssuerReader

__all__ = ("ApiServer", "HttpStatusError", "of_this_pod", "read_api_token", "read_documents")

# https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api
_POD_DIRECTORY: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_TOKEN_MAX_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class ApiServer:
    """How to reach a cluster's API server.

    Attributes:
        url: without a slash at its end.
        token_file: ServiceAccount token for the requests; None for anonymous requests.
        ca_file: CA certificates that verify the server; None for the root CAs of this machine.
    """

    url: str
    token_file: Path | None
    ca_file: Path | None


class HttpStatusError(Exception):
    """The API server returned another status than 200.

    Args:
        url: the requested URL.
        status: the HTTP status code.
        sender: the server that answered, by its body.
    """

    def __init__(self, url: str, status: int, sender: Sender) -> None:
        super().__init__(f"{url}: HTTP {status} with {sender}")
        self.url, self.status, self.sender = url, status, sender

    @property
    def forbidden(self) -> bool:
        """Whether the API server, and not a server before it, denies access: 401 or 403."""
        return self.sender is Sender.API_SERVER and self.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

    @property
    def temporary(self) -> bool:
        """Whether the same request can succeed later: 429 or 5xx."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR or self.status == HTTPStatus.TOO_MANY_REQUESTS


def of_this_pod(environment: Mapping[str, str]) -> ApiServer | None:
    """Return the API server of the pod with this environment, and the pod's own token; None outside a pod."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return None
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return ApiServer(url, _POD_DIRECTORY / "token", _POD_DIRECTORY / "ca.crt")


def read_api_token(path: Path) -> str:
    """Return the token in a file, without leading and trailing white space.

    Raises:
        SettingsError: the file cannot be read, or its content is not a valid HTTP header value.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_TOKEN_MAX_BYTES + 1).decode("ascii").strip()
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise SettingsError(str(path), what, "give a file with a ServiceAccount token") from None
    except ValueError:
        text = ""
    if len(text) > _TOKEN_MAX_BYTES or not _TOKEN.fullmatch(text):
        raise SettingsError(str(path), "contains no token", "give a file with a ServiceAccount token")
    return text


def read_documents(reader: IssuerReader, url: str) -> tuple[bytes, bytes]:
    """Return an API server's discovery document and its key set.

    Both are read from `url`, not from the `jwks_uri` of the first: that URL is for other clients, and the token must
    not be sent to another server.

    Raises:
        HttpStatusError: the API server returned another status than 200.
        FetchError: there was no response.
    """
    return _get(reader, url + DISCOVERY_PATH), _get(reader, url + KEYS_PATH)


def _get(reader: IssuerReader, url: str) -> bytes:
    answer = reader.get(url)
    if answer.status != HTTPStatus.OK:
        raise HttpStatusError(url, answer.status, sender_of(answer.content))
    return answer.content
