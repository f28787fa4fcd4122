"""The one object that is applied: it lets everybody read the API server's two public documents, and nothing else."""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from sidecar.bootstrap_cluster.api import ApiAnswer, ApiClient
from sidecar.issuer.documents import DocumentError, parse_object
from sidecar.issuer.reader import Unreadable

__all__ = ("FIELD_MANAGER", "NAME", "Applied", "apply", "judge_refusal", "manifest", "says_the_same")

NAME: Final = "allow-anon-openid"
FIELD_MANAGER: Final = "aws-oidc-sidecar"

_GROUP: Final = "rbac.authorization.k8s.io"
_ROLE: Final = "system:service-account-issuer-discovery"
_EVERYBODY: Final = "system:unauthenticated"
_PATH: Final = f"/apis/{_GROUP}/v1/clusterrolebindings/{NAME}"
# pkg/registry/rbac/validation/rule.go and staging/src/k8s.io/apiserver/pkg/authorization of Kubernetes 1.36.
_ESCALATION: Final = "attempting to grant RBAC permissions not currently held"
# Measured on 1.29.6: the reason is left out where a PATCH would create (docs/design/0005).
_NO_REASON: Final = "is forbidden: "
_LACKS: Final = re.compile(r"cannot (patch|create|get) resource")


class Applied(StrEnum):
    """What became of the binding."""

    CREATED = "created"
    UNCHANGED = "as it has to be"
    """Or put right: the API server does not tell the two apart."""
    OF_OTHERS = "there already, of another's making"
    DIFFERS = "there already, and says something else"
    LACKS_PATCH = "the right to patch it is missing"
    LACKS_CREATE = "the right to create it is missing"
    LACKS_GET = "another's is there, and the right to get it is missing"
    LACKS_BIND = "the right to give away what it gives is missing"
    NO_LOGIN = "the API server does not take the ServiceAccount's token"
    FORBIDDEN = "RBAC or an admission policy forbids it"
    NO_RBAC = "the API server has no RBAC"
    REFUSED = "the API server refuses it"
    BUSY = "the API server cannot do it now"
    UNREACHABLE = "the API server cannot be reached"


def manifest() -> dict[str, Any]:
    """Return the ClusterRoleBinding: the tutorial's own, by the ClusterRole that Kubernetes has for it today.

    https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
    """
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": _ROLE},
        "subjects": [{"apiGroup": _GROUP, "kind": "Group", "name": _EVERYBODY}],
    }


def says_the_same(found: Mapping[str, Any]) -> bool:
    """Return whether a ClusterRoleBinding gives what `manifest` gives; it may give it to others too."""
    role = found.get("roleRef")
    if not isinstance(role, dict) or (role.get("kind"), role.get("name")) != ("ClusterRole", _ROLE):
        return False
    subjects = found.get("subjects")
    return isinstance(subjects, list) and any(
        isinstance(subject, dict) and (subject.get("kind"), subject.get("name")) == ("Group", _EVERYBODY)
        for subject in subjects
    )


def apply(api: ApiClient) -> Applied:
    """Apply the binding by one server-side apply, without force, and return what became of it.

    Any number may do so at the same time. What another field manager made is left as it is.

    Raises:
        SettingsError: the token cannot be read.
    """
    try:
        # JSON is YAML.
        answer = api.apply(f"{_PATH}?fieldManager={FIELD_MANAGER}", json.dumps(manifest()).encode())
        # 409: a field of it is another's. 422: its roleRef, which cannot be changed, is another.
        if answer.status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
            return _of_others(api.get(_PATH, login=True))
    except Unreadable:
        return Applied.UNREACHABLE
    good: dict[int, Applied] = {HTTPStatus.CREATED: Applied.CREATED, HTTPStatus.OK: Applied.UNCHANGED}
    return good.get(answer.status) or judge_refusal(answer)


def judge_refusal(answer: ApiAnswer) -> Applied:
    """Return what an answer means that is neither a success nor a conflict."""
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return Applied.NO_LOGIN
    if answer.status == HTTPStatus.FORBIDDEN:
        return _forbidden(answer.content)
    if answer.status == HTTPStatus.NOT_FOUND:
        return Applied.NO_RBAC
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Applied.BUSY
    return Applied.REFUSED


def _of_others(answer: ApiAnswer) -> Applied:
    if answer.status == HTTPStatus.NOT_FOUND:
        return Applied.BUSY  # it went away meanwhile
    if answer.status != HTTPStatus.OK:
        return judge_refusal(answer)
    try:
        return Applied.OF_OTHERS if says_the_same(parse_object(answer.content)) else Applied.DIFFERS
    except DocumentError:
        return Applied.DIFFERS


def _forbidden(content: bytes) -> Applied:
    try:
        message = str(parse_object(content).get("message"))
    except DocumentError:
        message = ""
    if _ESCALATION in message:
        return Applied.LACKS_BIND
    if message.endswith(_NO_REASON):
        return Applied.LACKS_CREATE
    lacks = _LACKS.search(message)
    verbs = {"patch": Applied.LACKS_PATCH, "create": Applied.LACKS_CREATE, "get": Applied.LACKS_GET}
    return verbs[lacks[1]] if lacks else Applied.FORBIDDEN
