"""The input of the cluster's checks: the doctor's case and the responses of the API server, each read once."""

import json
import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from sidecar.cluster.anonymous import BEYOND, DOCUMENTS, PUBLIC_INFO
from sidecar.cluster.api import ApiClient
from sidecar.cluster.binding import Applied
from sidecar.doctor.case import Case
from sidecar.errors import SettingsError
from sidecar.https.connect_to import Target, redirected
from sidecar.https.failures import FetchError
from sidecar.issuer.answers import Sender, sender_of
from sidecar.issuer.documents import DISCOVERY_PATH, below
from sidecar.issuer.reader import IssuerReader, IssuerResponse

__all__ = ("ClusterProbe", "Server")

_HTTPS_PORT: Final = 443
_MINOR: Final = re.compile(r"([0-9]{1,3})\+?")


class Server(StrEnum):
    """The server at the issuer's URL."""

    API_SERVER = "api-server"
    ELSEWHERE = "elsewhere"
    """A managed issuer, or a web server with published documents: the API server needs no anonymous requests."""
    UNKNOWN = "unknown"


class ClusterProbe:
    """The input of the cluster's checks.

    Args:
        case: the doctor's.
        api: the API server; None if none is known.
        applied: the result of applying the binding; None if it was not applied.
        to_apply: whether to apply the binding if AWS can use it.
    """

    def __init__(self, case: Case, api: ApiClient | None, applied: Applied | None, *, to_apply: bool) -> None:
        self.case, self.api, self.applied, self.to_apply = case, api, applied, to_apply

    @cached_property
    def error(self) -> FetchError | None:
        """Why the API server cannot be reached; None if it can be reached, or if none is known."""
        if self.api is None:
            return None
        response = _ask(self.api, DISCOVERY_PATH)
        return response if isinstance(response, FetchError) else None

    @cached_property
    def documents(self) -> dict[str, int]:
        """{path: HTTP status} of anonymous requests of both documents; without those that got no response."""
        return self._statuses(DOCUMENTS)

    @cached_property
    def statuses(self) -> dict[str, int]:
        """The same for all paths that are tried."""
        return self.documents | self._statuses((*PUBLIC_INFO, *BEYOND))

    @property
    def documents_open(self) -> bool:
        """Whether the API server returns both documents to all clients."""
        return all(self.documents.get(path) == HTTPStatus.OK for path in DOCUMENTS)

    @property
    def anonymous_off(self) -> bool:
        """Whether the API server rejects anonymous requests of the documents before RBAC."""
        return HTTPStatus.UNAUTHORIZED in self.documents.values()

    @cached_property
    def server(self) -> Server:
        """The server at the issuer's URL.

        It is the API server if that has a certificate for the issuer's name, or if the response is a Status of
        Kubernetes with 401 or 403. An API server has its documents only at the root (pkg/routes/openidmetadata.go of
        Kubernetes), so an issuer with a path is another server.
        """
        try:
            parts = urlsplit(self.case.issuer)
            target = parts.hostname or "", parts.port or _HTTPS_PORT
        except ValueError:
            return Server.UNKNOWN
        if parts.path.strip("/"):
            return Server.ELSEWHERE
        if _is_rejection(self.case.discovery_response):
            return Server.API_SERVER
        return self._by_certificate(target) if target[0] else Server.UNKNOWN

    def _statuses(self, paths: Iterable[str]) -> dict[str, int]:
        if self.api is None or self.error is not None:
            return {}
        responses = {path: _ask(self.api, path) for path in paths}
        return {path: response for path, response in responses.items() if isinstance(response, int)}

    def _by_certificate(self, target: Target) -> Server:
        if self.api is None or self.error is not None:
            return Server.UNKNOWN
        # Connect to the API server under the issuer's name: its certificate shows whether it is the issuer.
        reader = IssuerReader(self.api.server.ca_file, proxy=lambda _: None, by_thumbprint=False)
        try:
            with redirected({target: self.api.target}):
                reader.get(below(self.case.issuer, DISCOVERY_PATH))
        except FetchError as error:
            return Server.ELSEWHERE if error.kind.of_tls else Server.UNKNOWN
        return Server.API_SERVER

    @cached_property
    def minor(self) -> int | None:
        """The minor version of Kubernetes, such as 36; None if the API server does not return it."""
        if self.api is None or self.error is not None:
            return None
        for login in (False, True):
            try:
                response = self.api.get("/version", login=login)
                found = _MINOR.fullmatch(str(json.loads(response.content)["minor"]))
            except (SettingsError, FetchError, ValueError, KeyError, TypeError):
                continue
            if found and response.status == HTTPStatus.OK:
                return int(found[1])
        return None


def _ask(api: ApiClient, path: str) -> int | FetchError:
    try:
        return api.anonymous(path)
    except FetchError as error:
        return error


def _is_rejection(response: IssuerResponse | FetchError) -> bool:
    """Return whether an API server rejects the request."""
    rejections = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    return (
        isinstance(response, IssuerResponse)
        and response.status in rejections
        and sender_of(response.content) is Sender.API_SERVER
    )
