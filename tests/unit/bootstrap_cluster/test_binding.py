"""When another's binding says the same, and what each refusal of an API server means."""

import json
from typing import Any

import pytest

from sidecar.bootstrap_cluster.api import ApiAnswer
from sidecar.bootstrap_cluster.binding import Applied, judge_refusal, manifest, says_the_same


def test_what_is_applied_says_the_same_as_itself() -> None:
    assert says_the_same(manifest())


def test_more_subjects_and_an_apiserver_that_leaves_out_a_group_change_nothing() -> None:
    found = manifest()
    found["subjects"] = [{"kind": "User", "name": "jane"}, {"kind": "Group", "name": "system:unauthenticated"}]
    assert says_the_same(found)


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
def test_another_role_or_other_subjects_do_not(change: dict[str, Any]) -> None:
    assert not says_the_same(manifest() | change)


def _status(message: Any) -> bytes:  # noqa: ANN401 - of any type
    return json.dumps({"kind": "Status", "message": message}).encode()


@pytest.mark.parametrize(
    ("status", "content", "applied"),
    [
        (401, b"", Applied.NO_LOGIN),
        (403, _status('User "a" cannot patch resource "clusterrolebindings"'), Applied.LACKS_PATCH),
        (403, _status('User "a" cannot create resource "clusterrolebindings"'), Applied.LACKS_CREATE),
        (403, _status('clusterrolebindings "allow-anon-openid" is forbidden: '), Applied.LACKS_CREATE),  # 1.29.6
        (403, _status('User "a" cannot get resource "clusterrolebindings"'), Applied.LACKS_GET),
        (403, _status("is attempting to grant RBAC permissions not currently held:"), Applied.LACKS_BIND),
        (403, _status('admission webhook "x" denied the request'), Applied.FORBIDDEN),
        (403, _status(None), Applied.FORBIDDEN),
        (403, b"<html>", Applied.FORBIDDEN),
        (404, b"", Applied.NO_RBAC),
        (400, b"", Applied.REFUSED),
        (415, b"", Applied.REFUSED),
        (429, b"", Applied.BUSY),
        (500, b"", Applied.BUSY),
        (503, b"", Applied.BUSY),
    ],
)
def test_a_refusal_is_told_apart(status: int, content: bytes, applied: Applied) -> None:
    assert judge_refusal(ApiAnswer(status, content)) is applied
