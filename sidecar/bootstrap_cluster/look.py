"""One look at the cluster's half: what the doctor's case knows, and what the API server says, each asked once."""

import json
import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from sidecar.bootstrap_cluster.anonymous import BEYOND, DOCUMENTS, PUBLIC_INFO
from sidecar.bootstrap_cluster.api import ApiClient
from sidecar.bootstrap_cluster.binding import Applied
from sidecar.connect_to import Target, redirected
from sidecar.doctor.case import Case
from sidecar.errors import SettingsError
from sidecar.issuer.documents import DISCOVERY_PATH
from sidecar.issuer.reader import Answer, IssuerReader, Trouble, Unreadable

__all__ = ("Look", "Server")

_HTTPS_PORT: Final = 443
_MINOR: Final = re.compile(r"([0-9]{1,3})\+?")


class Server(StrEnum):
    """Who answers at the issuer's URL."""

    API_SERVER = "api-server"
    ELSEWHERE = "elsewhere"
    """A managed issuer, or a web server with published documents: the API server need not answer strangers."""
    UNKNOWN = "unknown"


class Look:
    """Everything that the checks of the cluster's half know.

    Args:
        case: the doctor's.
        api: the API server; None where none is known.
        applied: what became of the binding; None where nothing was to be applied.
    """

    def __init__(self, case: Case, api: ApiClient | None, applied: Applied | None = None) -> None:
        self.case, self.api, self.applied = case, api, applied

    @cached_property
    def trouble(self) -> Unreadable | None:
        """Why the API server cannot be asked; None where it can, or none is known."""
        if self.api is None:
            return None
        answer = _ask(self.api, DISCOVERY_PATH)
        return answer if isinstance(answer, Unreadable) else None

    @cached_property
    def documents(self) -> dict[str, int]:
        """Of both documents the status that the API server gives to anonymous requests; without one that gave none."""
        return self._statuses(DOCUMENTS)

    @cached_property
    def statuses(self) -> dict[str, int]:
        """The same of every path that is tried."""
        return self.documents | self._statuses((*PUBLIC_INFO, *BEYOND))

    @property
    def documents_open(self) -> bool:
        """Whether the API server gives both documents to everybody."""
        return all(self.documents.get(path) == HTTPStatus.OK for path in DOCUMENTS)

    @property
    def anonymous_off(self) -> bool:
        """Whether anonymous requests do not arrive at the documents, so that RBAC is not even asked."""
        return HTTPStatus.UNAUTHORIZED in self.documents.values()

    @cached_property
    def server(self) -> Server:
        """Who answers at the issuer's URL.

        It is the API server where that has a certificate for the issuer's name, or where the answer is a refusal as
        only API servers write it. An API server has its documents at the root alone (pkg/routes/openidmetadata.go of
        Kubernetes), so an issuer with a path is another.
        """
        try:
            parts = urlsplit(self.case.issuer)
            target = parts.hostname or "", parts.port or _HTTPS_PORT
        except ValueError:
            return Server.UNKNOWN
        if parts.path.strip("/"):
            return Server.ELSEWHERE
        if _is_refusal_of_kubernetes(self.case.discovery_answer):
            return Server.API_SERVER
        return self._by_certificate(target) if target[0] else Server.UNKNOWN

    def _statuses(self, paths: Iterable[str]) -> dict[str, int]:
        if self.api is None or self.trouble is not None:
            return {}
        answers = {path: _ask(self.api, path) for path in paths}
        return {path: answer for path, answer in answers.items() if isinstance(answer, int)}

    def _by_certificate(self, target: Target) -> Server:
        if self.api is None or self.trouble is not None:
            return Server.UNKNOWN
        # As if DNS said that the issuer is the API server: TLS decides whether that is so.
        reader = IssuerReader(self.api.server.ca_file, proxy=lambda _: None, by_thumbprint=False)
        try:
            with redirected({target: self.api.target}):
                reader.get(self.case.issuer.removesuffix("/") + DISCOVERY_PATH)
        except Unreadable as unreadable:
            return Server.ELSEWHERE if unreadable.trouble is Trouble.TLS else Server.UNKNOWN
        return Server.API_SERVER

    @cached_property
    def minor(self) -> int | None:
        """The minor version of Kubernetes, such as 36; None where the API server does not tell us."""
        if self.api is None or self.trouble is not None:
            return None
        for login in (False, True):
            try:
                answer = self.api.get("/version", login=login)
                found = _MINOR.fullmatch(str(json.loads(answer.content)["minor"]))
            except (SettingsError, Unreadable, ValueError, KeyError, TypeError):
                continue
            if found and answer.status == HTTPStatus.OK:
                return int(found[1])
        return None


def _ask(api: ApiClient, path: str) -> int | Unreadable:
    try:
        return api.anonymous(path)
    except Unreadable as unreadable:
        return unreadable


def _is_refusal_of_kubernetes(answer: Answer | Unreadable) -> bool:
    """Return whether an answer is a Status of Kubernetes; a bucket that is not public answers 403 as well, in XML."""
    if not isinstance(answer, Answer) or answer.status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return False
    try:
        document = json.loads(answer.content)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("kind") == "Status"
