"""Modes and owners of files, by user ids and fsGroup, as the real kubelet and the daemon set them."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster
from tests.cluster.tutorial import APPLICATION, SIDECAR, Json, application_of, apply, example, sidecar_of, with_aws

NAMESPACE = "files"
TOKEN = "/var/run/secrets/aws-oidc-sidecar/token"
RUNTIME = "/var/run/aws-oidc-sidecar"
STATE = f"{RUNTIME}/state"
PROFILE = f"{RUNTIME}/profiles/default"
SHARED = ("auth-token", "credentials.json")
OWN, APPLICATIONS, GROUP, ASSIGNED = 19841, 11000, 12000, 1000660000

# Arguments: paths; prints for each its mode, owner, group and content, or the name of the error.
LOOK = """
import errno, json, os, sys
def look(path):
    try:
        found = os.stat(path)
        text = sorted(os.listdir(path)) if os.path.isdir(path) else open(path).read()
        return [oct(found.st_mode & 0o777), found.st_uid, found.st_gid, text]
    except OSError as error:
        return errno.errorcode[error.errno]
print(json.dumps({path: look(path) for path in sys.argv[1:]}))
"""
WRITE = """
import errno, sys
try:
    open(sys.argv[1], "w").close()
    print("written")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


class Case(NamedTuple):
    """A pod, and the expected mode, owner and group of its projected token and of its shared files.

    Attributes:
        sidecar: runAsUser of the sidecar; None removes it.
        application: runAsUser of the application's container; None removes it.
        pod: the pod's security context.
        token: mode, owner and group of the projected token.
        shared: mode, owner and group of the auth token and the credentials file.
    """

    sidecar: int | None
    application: int | None
    pod: Json
    token: tuple[str, int, int]
    shared: tuple[str, int, int]


CASES = {
    # As in examples/pod.yaml. All users of a container that mounts the volume can read: the mount is the boundary.
    "two-users": Case(OWN, APPLICATIONS, {}, ("0o644", 0, 0), ("0o644", OWN, OWN)),
    "two-users-and-fsgroup": Case(OWN, APPLICATIONS, {"fsGroup": GROUP}, ("0o640", 0, GROUP), ("0o640", OWN, GROUP)),
    # If all containers of a pod have the same user, the kubelet makes that user the owner; with fsGroup also the group.
    "one-user": Case(OWN, OWN, {}, ("0o600", OWN, 0), ("0o644", OWN, OWN)),
    "one-user-and-fsgroup": Case(OWN, OWN, {"fsGroup": GROUP}, ("0o640", OWN, GROUP), ("0o640", OWN, GROUP)),
    "assigned-user": Case(None, None, {"runAsUser": ASSIGNED}, ("0o600", ASSIGNED, 0), ("0o644", ASSIGNED, OWN)),
    # OpenShift's restricted-v2 assigns both, from one range.
    "assigned-user-and-fsgroup": Case(
        None,
        None,
        {"runAsUser": ASSIGNED, "fsGroup": ASSIGNED},
        ("0o640", ASSIGNED, ASSIGNED),
        ("0o640", ASSIGNED, ASSIGNED),
    ),
}

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes and the images


@pytest.fixture(scope="module")
def pods(
    cluster: Cluster,
    session_aws: LocalAws,
    open_discovery: None,  # noqa: ARG001 - AWS has to reach the keys
    sidecar_image: str,
) -> Iterator[None]:
    """A pod for each case; all start at the same time."""
    session_aws.reset()
    role_arn = session_aws.set_up_trust(namespace=NAMESPACE)
    made = []
    for name, case in CASES.items():
        pod = with_aws(example(NAMESPACE)[1], session_aws, role_arn, sidecar_image=sidecar_image)
        pod["metadata"]["name"] = name
        pod["spec"]["securityContext"] = case.pod
        for container, user in ((sidecar_of(pod), case.sidecar), (application_of(pod), case.application)):
            if user is None:
                del container["securityContext"]["runAsUser"]
            else:
                container["securityContext"]["runAsUser"] = user
        made.append(pod)
    cluster.new_namespace(NAMESPACE)
    apply(cluster, example(NAMESPACE)[0], *made)
    yield
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.usefixtures("pods")
@pytest.mark.parametrize("name", CASES)
def test_files_have_the_expected_mode_and_owner_and_the_application_reads_only_its_own(
    cluster: Cluster, name: str
) -> None:
    case = CASES[name]
    cluster.wait(f"pod/{name}", "condition=Ready", namespace=NAMESPACE, seconds=180)

    def look(container: str, *paths: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(python(container, LOOK, *paths))
        return found

    def python(container: str, program: str, *arguments: str) -> str:
        return cluster.exec(name, container, "/usr/bin/python3", "-I", "-c", program, *arguments, namespace=NAMESPACE)

    (state,) = (f"{STATE}/{entry}" for entry in look(SIDECAR, STATE)[STATE][3])
    inside = look(SIDECAR, TOKEN, state, *(f"{PROFILE}/{file}" for file in SHARED))
    mode, owner, group, token = inside[TOKEN]
    assert (mode, owner, group) == case.token
    assert token.count(".") == 2, "the daemon's user reads a JWT"
    assert inside[state][:2] == ["0o600", case.shared[1]]
    # The application reads the two shared files; the other paths do not exist in its container.
    outside = look(APPLICATION, TOKEN, STATE, f"{RUNTIME}/profiles", *(f"{RUNTIME}/{file}" for file in SHARED))
    for file in SHARED:
        assert tuple(inside[f"{PROFILE}/{file}"][:3]) == case.shared
        assert outside[f"{RUNTIME}/{file}"] == inside[f"{PROFILE}/{file}"]
        # An emptyDir's directory is writable for all users, but it is mounted read-only.
        assert python(APPLICATION, WRITE, f"{RUNTIME}/{file}").strip() == "EROFS"
    assert [outside[path] for path in (TOKEN, STATE, f"{RUNTIME}/profiles")] == ["ENOENT"] * 3
