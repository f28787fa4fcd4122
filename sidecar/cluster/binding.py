"""The one object that is applied: it lets all clients read the API server's two public documents, and nothing else."""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from sidecar.cluster.api import ApiClient, ApiResponse
from sidecar.https.failures import FetchError
from sidecar.issuer.documents import DocumentError, parse_object

__all__ = ("FIELD_MANAGER", "NAME", "Applied", "apply", "classify_rejection", "grants_the_same", "manifest")

NAME: Final = "allow-anon-openid"
FIELD_MANAGER: Final = "aws-oidc-sidecar"

_GROUP: Final = "rbac.authorization.k8s.io"
_ROLE: Final = "system:service-account-issuer-discovery"
_UNAUTHENTICATED: Final = "system:unauthenticated"
_PATH: Final = f"/apis/{_GROUP}/v1/clusterrolebindings/{NAME}"
# pkg/registry/rbac/validation/rule.go and staging/src/k8s.io/apiserver/pkg/authorization of Kubernetes 1.36.
_ESCALATION: Final = "attempting to grant RBAC permissions not currently held"
# Measured on 1.29.6: the API server omits the reason if a PATCH would create the object (docs/design/0005).
_NO_REASON: Final = "is forbidden: "
_MISSING: Final = re.compile(r"cannot (patch|create|get) resource")


class Applied(StrEnum):
    """The result of applying the binding."""

    CREATED = "created"
    UNCHANGED = "up to date"
    """Or corrected: the API server returns the same status for both."""
    OF_OTHERS = "exists, created by another manager"
    DIFFERS = "exists with another role or other subjects"
    MISSING_PATCH = "the right to patch it is missing"
    MISSING_CREATE = "the right to create it is missing"
    MISSING_GET = "another manager's binding exists, and the right to get it is missing"
    MISSING_BIND = "the right to grant its permissions is missing"
    NO_LOGIN = "the API server does not accept the ServiceAccount's token"
    FORBIDDEN = "RBAC or an admission policy forbids it"
    NO_RBAC = "the API server has no RBAC"
    REJECTED = "the API server rejects it"
    BUSY = "the API server cannot process the request now"
    UNREACHABLE = "the API server cannot be reached"


def manifest() -> dict[str, Any]:
    """Return the ClusterRoleBinding of the tutorial, with the ClusterRole that Kubernetes has for it today.

    https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
    """
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": _ROLE},
        "subjects": [{"apiGroup": _GROUP, "kind": "Group", "name": _UNAUTHENTICATED}],
    }


def grants_the_same(found: Mapping[str, Any]) -> bool:
    """Return whether a ClusterRoleBinding grants what `manifest` grants; it can have more subjects."""
    role = found.get("roleRef")
    if not isinstance(role, dict) or (role.get("kind"), role.get("name")) != ("ClusterRole", _ROLE):
        return False
    subjects = found.get("subjects")
    return isinstance(subjects, list) and any(
        isinstance(subject, dict) and (subject.get("kind"), subject.get("name")) == ("Group", _UNAUTHENTICATED)
        for subject in subjects
    )


def apply(api: ApiClient) -> Applied:
    """Apply the binding with one server-side apply, without force, and return the result.

    Several processes can do this at the same time. The fields of another field manager do not change.

    Raises:
        SettingsError: the token cannot be read.
    """
    try:
        # JSON is YAML.
        response = api.apply(f"{_PATH}?fieldManager={FIELD_MANAGER}", json.dumps(manifest()).encode())
        # 409: another manager owns a field of it. 422: it has another roleRef, and a roleRef cannot be changed.
        if response.status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
            return _of_others(api.get(_PATH, login=True))
    except FetchError:
        return Applied.UNREACHABLE
    successes: dict[int, Applied] = {HTTPStatus.CREATED: Applied.CREATED, HTTPStatus.OK: Applied.UNCHANGED}
    return successes.get(response.status) or classify_rejection(response)


def classify_rejection(response: ApiResponse) -> Applied:
    """Return the result for a response that is neither a success nor a conflict."""
    if response.status == HTTPStatus.UNAUTHORIZED:
        return Applied.NO_LOGIN
    if response.status == HTTPStatus.FORBIDDEN:
        return _forbidden(response.content)
    if response.status == HTTPStatus.NOT_FOUND:
        return Applied.NO_RBAC
    if response.status == HTTPStatus.TOO_MANY_REQUESTS or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Applied.BUSY
    return Applied.REJECTED


def _of_others(response: ApiResponse) -> Applied:
    if response.status == HTTPStatus.NOT_FOUND:
        return Applied.BUSY  # it was deleted in the meantime
    if response.status != HTTPStatus.OK:
        return classify_rejection(response)
    try:
        return Applied.OF_OTHERS if grants_the_same(parse_object(response.content)) else Applied.DIFFERS
    except DocumentError:
        return Applied.DIFFERS


def _forbidden(content: bytes) -> Applied:
    try:
        message = str(parse_object(content).get("message"))
    except DocumentError:
        message = ""
    if _ESCALATION in message:
        return Applied.MISSING_BIND
    if message.endswith(_NO_REASON):
        return Applied.MISSING_CREATE
    missing = _MISSING.search(message)
    verbs = {"patch": Applied.MISSING_PATCH, "create": Applied.MISSING_CREATE, "get": Applied.MISSING_GET}
    return verbs[missing[1]] if missing else Applied.FORBIDDEN
