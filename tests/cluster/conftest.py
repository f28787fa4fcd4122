"""A cluster for the session: the one called `main` where it is up, else one that ends with the session."""

import os
from collections.abc import Iterator

import pytest

from tests.cluster.aws import LocalAws
from tests.cluster.boot import down, up
from tests.cluster.cluster import Cluster
from tests.cluster.system import Unfit


def start(name: str) -> Cluster:
    """Start a cluster that ends with this process, at the latest."""
    try:
        return up(name, parent=os.getpid())
    except Unfit as unfit:
        pytest.exit(str(unfit), returncode=unfit.status)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    was_up = Cluster.running("main") is not None
    yield start("main")
    if not was_up:
        down("main")


@pytest.fixture(scope="session")
def session_aws(cluster: Cluster) -> Iterator[LocalAws]:
    with LocalAws(cluster) as running:
        yield running


@pytest.fixture
def aws(session_aws: LocalAws) -> LocalAws:
    """The strict AWS, empty."""
    session_aws.reset()
    return session_aws


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-").lower()[:50].rstrip("-")
    cluster.new_namespace(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
