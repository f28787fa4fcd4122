"""The effect of the sidecar's requests and limits on a pod, as docs/resources.md describes. No pod has to run."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.cluster.cluster import Cluster, CommandFailed
from tests.cluster.tutorial import Json, application_of, apply, example, sidecar_of
from tests.cluster.waiting import wait_until

POD = "aws-test"
SMALL = {"cpu": "50m", "memory": "64Mi"}
EQUAL = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "100m", "memory": "128Mi"}}

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes


@pytest.fixture
def own_namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for a parametrized test, whose name is not valid for a namespace."""
    name = f"rejected-{uuid4().hex[:8]}"
    cluster.new_namespace(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def admitted(cluster: Cluster, namespace: str, *, application: Json | None = None, sidecar: Json | None = None) -> Json:
    """Apply the example, and return the pod as the API server admitted it."""
    account, pod = example(namespace)
    application_of(pod)["resources"] = application or {}
    if sidecar:
        sidecar_of(pod)["resources"] = sidecar
    apply(cluster, account, pod)
    found: Json = cluster.get("pod", POD, "-n", namespace)
    return found


def restrict(cluster: Cluster, namespace: str, kind: str, spec: Json) -> None:
    cluster.apply({"apiVersion": "v1", "kind": kind, "metadata": {"name": "one", "namespace": namespace}, "spec": spec})
    if kind == "ResourceQuota":  # it has no effect until its controller has seen it
        wait_until(
            lambda: cluster.get("resourcequota", "one", "-n", namespace).get("status", {}).get("used"),
            what="the quota",
            seconds=60,
        )


def test_a_guaranteed_pod_becomes_burstable(cluster: Cluster, namespace: str) -> None:
    assert admitted(cluster, namespace, application=EQUAL)["status"]["qosClass"] == "Burstable"


def test_a_best_effort_pod_becomes_burstable(cluster: Cluster, namespace: str) -> None:
    assert admitted(cluster, namespace)["status"]["qosClass"] == "Burstable"


def test_a_pod_stays_guaranteed_if_the_sidecars_requests_equal_its_limits(cluster: Cluster, namespace: str) -> None:
    pod = admitted(cluster, namespace, application=EQUAL, sidecar=EQUAL)
    assert pod["status"]["qosClass"] == "Guaranteed"


def test_a_limit_range_gives_the_sidecar_a_cpu_limit_and_changes_nothing_else(cluster: Cluster, namespace: str) -> None:
    own = sidecar_of(example(namespace)[1])["resources"]
    defaults = {"default": {"cpu": "100m", "memory": "96Mi"}, "defaultRequest": {"cpu": "50m", "memory": "32Mi"}}
    restrict(cluster, namespace, "LimitRange", {"limits": [{"type": "Container", **defaults}]})
    got = sidecar_of(admitted(cluster, namespace))["resources"]
    assert got == {"requests": own["requests"], "limits": {**own["limits"], "cpu": "100m"}}


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("LimitRange", {"limits": [{"type": "Container", "max": {"memory": "100Mi"}}]}, "maximum memory usage"),
        ("LimitRange", {"limits": [{"type": "Container", "min": {"cpu": "20m"}}]}, "minimum cpu usage"),
        ("LimitRange", {"limits": [{"type": "Container", "maxLimitRequestRatio": {"memory": "1"}}]}, "ratio is 2"),
        ("ResourceQuota", {"hard": {"limits.cpu": "1"}}, "must specify limits.cpu for: aws-oidc-sidecar"),
    ],
)
def test_a_namespace_limit_rejects_the_sidecars_resources(
    cluster: Cluster, own_namespace: str, kind: str, spec: Json, why: str
) -> None:
    restrict(cluster, own_namespace, kind, spec)
    with pytest.raises(CommandFailed, match=why):
        # The application's resources are within the limit, so the rejection is because of the sidecar.
        admitted(cluster, own_namespace, application={"requests": SMALL, "limits": SMALL})


def test_a_quota_counts_the_sidecar(cluster: Cluster, namespace: str) -> None:
    hard = {"requests.cpu": "1", "requests.memory": "1Gi", "limits.memory": "1Gi"}
    restrict(cluster, namespace, "ResourceQuota", {"hard": hard})
    admitted(cluster, namespace, application=EQUAL)
    wait_until(
        lambda: (
            cluster.get("resourcequota", "one", "-n", namespace)["status"].get("used")
            == {"requests.cpu": "110m", "requests.memory": "192Mi", "limits.memory": "256Mi"}
        ),
        what="the sidecar's resources in the quota",
        seconds=60,
    )
