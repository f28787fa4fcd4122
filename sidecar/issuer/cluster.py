"""Reads a cluster's own discovery document and key set from its API server, with a ServiceAccount's token."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from sidecar.errors import SettingsError
from sidecar.issuer.documents import DISCOVERY_PATH
from sidecar.issuer.publish import KEYS_PATH
from sidecar.issuer.reader import IssuerReader

__all__ = ("ApiServer", "HttpRefusal", "of_this_pod", "read_documents", "read_token")

# https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api
_POD_DIRECTORY: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_TOKEN_MAX_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where a cluster's API server is.

    Attributes:
        url: without a slash at its end.
        token_file: who asks; None for anonymous.
        ca_file: who vouches for it; None for this machine's root CAs.
    """

    url: str
    token_file: Path | None
    ca_file: Path | None


class HttpRefusal(Exception):  # noqa: N818 - an answer
    """The API server answers with another status than 200.

    Args:
        url: of what.
        status: of HTTP.
    """

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"{url}: HTTP {status}")
        self.url, self.status = url, status

    @property
    def forbidden(self) -> bool:
        """Whether it does so for want of rights."""
        return self.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

    @property
    def temporary(self) -> bool:
        """Whether it may be well again later."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR or self.status == HTTPStatus.TOO_MANY_REQUESTS


def of_this_pod(environment: Mapping[str, str]) -> ApiServer | None:
    """Return the API server of the pod with this environment, with the pod's own token; None outside of one."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return None
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return ApiServer(url, _POD_DIRECTORY / "token", _POD_DIRECTORY / "ca.crt")


def read_token(path: Path) -> str:
    """Return the token in a file, without the white space around it.

    Raises:
        SettingsError: it cannot be read, or holds nothing that fits an HTTP header.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_TOKEN_MAX_BYTES + 1).decode("ascii").strip()
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise SettingsError(str(path), what, "give the file with a ServiceAccount's token") from None
    except ValueError:
        text = ""
    if len(text) > _TOKEN_MAX_BYTES or not _TOKEN.fullmatch(text):
        raise SettingsError(str(path), "holds no token", "give the file with a ServiceAccount's token")
    return text


def read_documents(reader: IssuerReader, url: str) -> tuple[bytes, bytes]:
    """Return an API server's discovery document and its key set.

    Both are read from `url`, not from where the first says the second is: that is made for others, and the token goes
    nowhere else.

    Raises:
        HttpRefusal: one of them is not to be had.
        Unreadable: there was no answer.
    """
    return _get(reader, url + DISCOVERY_PATH), _get(reader, url + KEYS_PATH)


def _get(reader: IssuerReader, url: str) -> bytes:
    answer = reader.get(url)
    if answer.status != HTTPStatus.OK:
        raise HttpRefusal(url, answer.status)
    return answer.content
