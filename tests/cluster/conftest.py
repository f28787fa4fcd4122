"""A cluster for the session: a running cluster is used and left running; else one is started, and ended afterwards.

``CLUSTER_NAME`` selects the cluster; ``main`` by default.
"""

import os
import re
import sys
from collections.abc import Iterator

import pytest

from sidecar import __version__
from tests.cluster.application import SIDECAR_IMAGE, application_archive, sidecar_archive
from tests.cluster.aws import LocalAws
from tests.cluster.boot import down, up
from tests.cluster.cluster import Cluster
from tests.cluster.system import Unfit
from tests.cluster.tutorial import Json, example, with_aws
from tests.helpers.long_report import report_about

NAME = os.environ.get("CLUSTER_NAME", "main")


def start(name: str) -> Cluster:
    """Start a cluster that ends at the latest when this process ends."""
    try:
        return up(name, parent=os.getpid())
    except Unfit as unfit:
        pytest.exit(str(unfit), returncode=unfit.status)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    was_up = Cluster.running(NAME) is not None
    started = start(NAME)
    report_about(Kubernetes=started.kubernetes.text)
    yield started
    if not was_up:
        down(NAME)


@pytest.fixture(scope="session")
def sidecar_image(cluster: Cluster) -> str:
    """The sidecar's image; it and the application's image are imported into containerd."""
    cluster.load(sidecar_archive(sys.stderr.write), application_archive(sys.stderr.write))
    return f"{SIDECAR_IMAGE}:{__version__}"


@pytest.fixture(scope="session")
def open_discovery(cluster: Cluster) -> None:
    """Allow anonymous requests for the issuer's documents, as the tutorial does."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "allow-anon-openid"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:service-account-issuer-discovery",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}],
    }
    cluster.apply(binding)


@pytest.fixture(scope="session")
def session_aws(cluster: Cluster) -> Iterator[LocalAws]:
    with LocalAws(cluster) as running:
        yield running


@pytest.fixture
def aws(session_aws: LocalAws) -> LocalAws:
    """The strict AWS without any state."""
    session_aws.reset()
    return session_aws


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for the test."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    cluster.new_namespace(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def pod(aws: LocalAws, namespace: str, open_discovery: None, sidecar_image: str) -> Json:  # noqa: ARG001 - AWS has to reach the keys
    """The example's pod, with a role that trusts it; the test changes and applies it."""
    return with_aws(example(namespace)[1], aws, aws.set_up_trust(namespace=namespace), sidecar_image=sidecar_image)
