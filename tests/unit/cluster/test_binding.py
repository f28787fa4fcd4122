"""Which bindings grant the same, and how each rejection of an API server is classified."""

import json
from typing import Any

import pytest

from sidecar.cluster.api import ApiResponse
from sidecar.cluster.binding import Applied, classify_rejection, grants_the_same, manifest


def test_the_manifest_grants_the_same_as_itself() -> None:
    assert grants_the_same(manifest())


def test_more_subjects_and_an_omitted_api_group_grant_the_same() -> None:
    found = manifest()
    found["subjects"] = [{"kind": "User", "name": "jane"}, {"kind": "Group", "name": "system:unauthenticated"}]
    assert grants_the_same(found)


@pytest.mark.parametrize(
    "change",
    [
        {"roleRef": {"kind": "ClusterRole", "name": "view"}},
        {"roleRef": {"kind": "Role", "name": "system:service-account-issuer-discovery"}},
        {"roleRef": None},
        {"subjects": []},
        {"subjects": None},
        {"subjects": ["system:unauthenticated"]},
        {"subjects": [{"kind": "Group", "name": "system:authenticated"}]},
        {"subjects": [{"kind": "User", "name": "system:unauthenticated"}]},
    ],
)
def test_another_role_or_other_subjects_do_not_grant_the_same(change: dict[str, Any]) -> None:
    assert not grants_the_same(manifest() | change)


def _status(message: Any) -> bytes:  # noqa: ANN401 - of any type
    return json.dumps({"kind": "Status", "message": message}).encode()


@pytest.mark.parametrize(
    ("status", "content", "applied"),
    [
        (401, b"", Applied.NO_LOGIN),
        (403, _status('User "a" cannot patch resource "clusterrolebindings"'), Applied.MISSING_PATCH),
        (403, _status('User "a" cannot create resource "clusterrolebindings"'), Applied.MISSING_CREATE),
        (403, _status('clusterrolebindings "allow-anon-openid" is forbidden: '), Applied.MISSING_CREATE),  # 1.29.6
        (403, _status('User "a" cannot get resource "clusterrolebindings"'), Applied.MISSING_GET),
        (403, _status("is attempting to grant RBAC permissions not currently held:"), Applied.MISSING_BIND),
        (403, _status('admission webhook "x" denied the request'), Applied.FORBIDDEN),
        (403, _status(None), Applied.FORBIDDEN),
        (403, b"<html>", Applied.FORBIDDEN),
        (404, b"", Applied.NO_RBAC),
        (400, b"", Applied.REJECTED),
        (415, b"", Applied.REJECTED),
        (429, b"", Applied.BUSY),
        (500, b"", Applied.BUSY),
        (503, b"", Applied.BUSY),
    ],
)
def test_each_rejection_is_classified(status: int, content: bytes, applied: Applied) -> None:
    assert classify_rejection(ApiResponse(status, content)) is applied
