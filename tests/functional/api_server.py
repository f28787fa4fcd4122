"""An API server that is its own issuer, with RBAC for the requests of ``bootstrap cluster``."""

import json
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

from examples.local.issuer import Issuer
from examples.local.loopback import LoopbackHandler
from sidecar.cluster.anonymous import BEYOND, DOCUMENTS, PUBLIC_INFO

__all__ = ("BINDING", "HOST", "UNAUTHENTICATED", "ApiServer", "binding")

HOST = "api.shoot.test"
BINDING = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/allow-anon-openid"
GROUP = "rbac.authorization.k8s.io"
ROLE, UNAUTHENTICATED = "system:service-account-issuer-discovery", "system:unauthenticated"
USER = "system:serviceaccount:shop:bootstrap"

Json = dict[str, Any]


def binding(role: str = ROLE, kind: str = "Group", subject: str = UNAUTHENTICATED, *more: Json) -> Json:
    """Return a ClusterRoleBinding; by default the one that is wanted."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "allow-anon-openid"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": GROUP, "kind": kind, "name": subject}, *more],
    }


class ApiServer(Issuer):
    """An API server of Kubernetes for these few paths, with the messages of 1.36.3.

    Attributes that tests set at any time:
        limited: the paths that anonymous requests are let in for at all, as an AuthenticationConfiguration says; None
            for every path.
        opened: the paths that RBAC opens to anonymous requests, in addition to the two documents.
        token: the bearer token that it knows.
        verbs: what its ServiceAccount may do with the one binding.
        holds: whether its ServiceAccount may read the documents, so that it may give that away.
        bound: the binding that is there, and whose; None for none.
        lag: how many requests for the discovery document see no effect of the binding yet.
        busy: how many PATCH requests get 503 first.
        admission: whether a policy of others refuses the binding.
        rbac: whether it has RBAC.
        minor: of its version.
        applied: query and body of each accepted PATCH.
    """

    def __init__(self, url: str = f"https://{HOST}", **named: Any) -> None:  # noqa: ANN401 - of Issuer
        super().__init__(url, addresses=["127.0.0.1"], **named)
        self._lock = threading.Lock()
        self.limited: set[str] | None = None
        self.opened: set[str] = set(PUBLIC_INFO)
        self.token = self.mint(namespace="shop", service_account="bootstrap", audience="https://kubernetes.test")
        self.verbs = {"get", "create", "patch"}
        self.holds = True
        self.bound: tuple[Json, str] | None = None
        self.lag, self.busy = 0, 0
        self.admission = False
        self.rbac = True
        self.minor = "36"
        self.applied: list[tuple[dict[str, list[str]], Json]] = []

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return next(iter(self.connect_to.values()))

    def _handler(self) -> type[LoopbackHandler]:
        server = self

        class Handler(LoopbackHandler):
            def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
                server._get(self)

            def do_PATCH(self) -> None:  # noqa: N802 - the name that http.server calls
                server._patch(self)

        return Handler

    def _get(self, handler: LoopbackHandler) -> None:
        path, login = handler.path, handler.headers.get("Authorization")
        if login is None:
            if not self.anonymous or (self.limited is not None and path not in self.limited):
                _status(handler, 401, "Unauthorized")
            elif (path in DOCUMENTS and not self._documents_open(path)) or (
                path not in DOCUMENTS and path not in self.opened
            ):
                _status(handler, 403, f'forbidden: User "system:anonymous" cannot get path "{path}"')
            else:
                self._serve(handler, path)
        elif login != f"Bearer {self.token}":
            _status(handler, 401, "Unauthorized")
        elif path == BINDING:
            self._get_binding(handler)
        else:
            self._serve(handler, path)

    def _documents_open(self, path: str) -> bool:
        with self._lock:
            if self.bound is None or not _opens(self.bound[0]):
                return False
            if path == DOCUMENTS[0] and self.lag > 0:
                self.lag -= 1
                return False
            return self.lag == 0

    def _serve(self, handler: LoopbackHandler, path: str) -> None:
        if path in DOCUMENTS:
            body = self._discovery() if path == DOCUMENTS[0] else self._frozen_jwks or self._jwks()
        elif path.startswith("/version"):
            body = json.dumps({"major": "1", "minor": self.minor}).encode()
        else:
            # Larger than what a client that needs only the status reads.
            body = b"x" * (2 << 20) if path in BEYOND else b"ok"
        handler.reply(200, {"Content-Type": "application/json"}, body)

    def _get_binding(self, handler: LoopbackHandler) -> None:
        if "get" not in self.verbs:
            _forbid(handler, "get")
        elif self.bound is None:
            _status(handler, 404, "not found")
        else:
            handler.reply(200, {"Content-Type": "application/json"}, json.dumps(self.bound[0]).encode())

    def _patch(self, handler: LoopbackHandler) -> None:
        target = urlsplit(handler.path)
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        query = parse_qs(target.query)
        with self._lock:
            if handler.headers.get("Authorization") != f"Bearer {self.token}":
                _status(handler, 401, "Unauthorized")
            elif target.path != BINDING or handler.headers["Content-Type"] != "application/apply-patch+yaml":
                _status(handler, 415, "unsupported media type")
            elif not self.rbac:
                _status(handler, 404, "the server could not find the requested resource")
            elif "patch" not in self.verbs:
                _forbid(handler, "patch")
            elif self.busy > 0:
                self.busy -= 1
                _status(handler, 503, "unavailable")
            else:
                self.applied.append((query, body))
                self._apply(handler, body, query["fieldManager"][0], force=query.get("force") == ["true"])

    def _apply(self, handler: LoopbackHandler, body: Json, manager: str, *, force: bool) -> None:
        there = self.bound
        if there is None and "create" not in self.verbs:
            _forbid(handler, "create")
        elif not self.holds:
            _status(
                handler,
                403,
                f'clusterrolebindings.{GROUP} "allow-anon-openid" is forbidden: user "{USER}" '
                '(groups=["system:serviceaccounts"]) is attempting to grant RBAC permissions not currently held:',
            )
        elif self.admission:
            _status(handler, 403, 'admission webhook "policies.test" denied the request: no binding for strangers')
        elif there is not None and there[0]["subjects"] != body["subjects"] and there[1] != manager and not force:
            _status(handler, 409, f'Apply failed with 1 conflict: conflict with "{there[1]}": .subjects')
        elif there is not None and there[0]["roleRef"] != body["roleRef"]:
            _status(handler, 422, f'ClusterRoleBinding.{GROUP} "allow-anon-openid" is invalid: cannot change roleRef')
        else:
            self.bound = (body, there[1] if there else manager)
            handler.reply(200 if there else 201, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _opens(bound: Json) -> bool:
    anonymous = any(subject["name"] in (UNAUTHENTICATED, "system:anonymous") for subject in bound["subjects"])
    return anonymous and bound["roleRef"]["name"] in (ROLE, "allow-anon-openid")


def _forbid(handler: LoopbackHandler, verb: str) -> None:
    text = f'clusterrolebindings.{GROUP} "allow-anon-openid" is forbidden: User "{USER}" cannot {verb} resource '
    _status(handler, 403, f'{text}"clusterrolebindings" in API group "{GROUP}" at the cluster scope')


def _status(handler: LoopbackHandler, code: int, message: str) -> None:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    handler.reply(code, {"Content-Type": "application/json"}, json.dumps(body).encode())
