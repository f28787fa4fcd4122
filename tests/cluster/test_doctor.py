"""The doctor in a pod of a real cluster, from the shipped image: it names the faults of a cluster, and no others."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster, CommandFailed
from tests.cluster.layout import API_HOST
from tests.cluster.tutorial import SIDECAR, Json, apply, example, sidecar_of, with_aws
from tests.cluster.waiting import wait_until

POD, BINDING = "aws-test", "allow-anon-openid"
DENIED = ["role_missing", "trust_namespace", "trust_service_account", "trust_subject", "trust_audience",
          "trust_principal", "trust_key", "trust_wildcard", "trust_action", "trust_denied", "trust_condition",
          "resource_control_policy", "vpc_endpoint_policy", "service_control_policy", "propagation",
          "unexplained"]  # fmt: skip

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes and the images


def run_doctor(cluster: Cluster, namespace: str) -> tuple[dict[str, dict[str, Any]], str]:
    """Return the checks of the doctor by name, and its whole output."""
    command = ["aws-oidc-sidecar", "doctor", "--json", "--connect-to", f"{API_HOST}:443:{cluster.address}:443"]
    try:
        text = cluster.exec(POD, SIDECAR, *command, namespace=namespace)
    except CommandFailed as failed:
        text = failed.output
    return {check["name"]: check for check in json.loads(text)["checks"]}, text


def causes(checks: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Return {check: names of its causes} of the broken checks, without the daemon, a symptom of the others."""
    return {
        name: [cause["name"] for cause in check["causes"]]
        for name, check in checks.items()
        if check["status"] == "broken" and name != "daemon"
    }


def start(cluster: Cluster, namespace: str, pod: Json) -> None:
    """Apply the pod and wait until its sidecar runs, whether it has credentials or not."""
    apply(cluster, example(namespace)[0], pod)

    def running() -> bool:
        statuses = cluster.get("pod", POD, "-n", namespace)["status"].get("initContainerStatuses", [])
        return any("running" in status["state"] for status in statuses if status["name"] == SIDECAR)

    wait_until(running, what="the sidecar", seconds=120)


def test_no_fault_is_reported_for_a_healthy_pod(cluster: Cluster, namespace: str, pod: Json) -> None:
    start(cluster, namespace, pod)
    cluster.wait(f"pod/{POD}", "condition=Ready", namespace=namespace)
    checks, text = run_doctor(cluster, namespace)
    assert causes(checks) == {}
    states = {name: check["status"] for name, check in checks.items()}
    assert {name for name, state in states.items() if state == "skipped"} == {
        "application_environment", "iam", "permissions",
    }  # fmt: skip
    assert {state for name, state in states.items() if state != "skipped"} == {"ok"}
    token = cluster.exec(POD, SIDECAR, "/usr/bin/python3", "-c", READ_TOKEN, namespace=namespace)
    assert len(token) > 500
    assert token not in text


READ_TOKEN = "print(open('/var/run/secrets/aws-oidc-sidecar/token').read(), end='')"


def test_a_missing_binding_is_named(cluster: Cluster, namespace: str, pod: Json) -> None:
    saved = cluster.get("clusterrolebinding", BINDING)
    cluster.kubectl("delete", "clusterrolebinding", BINDING)
    try:
        start(cluster, namespace, pod)
        checks, _ = run_doctor(cluster, namespace)
    finally:
        saved["metadata"] = {"name": BINDING}
        cluster.apply(saved)
    assert causes(checks) == {"discovery": ["discovery_forbidden"], "exchange": ["discovery_forbidden"]}
    assert "kubectl create clusterrolebinding allow-anon-openid" in checks["discovery"]["causes"][0]["fix"]


@pytest.fixture
def without_anonymous(cluster: Cluster) -> Iterator[None]:
    """Switch anonymous requests off at the API server."""
    cluster.restart_apiserver({"authentication-config": None, "anonymous-auth": "false"})
    yield
    cluster.restart_apiserver()


def test_anonymous_requests_that_are_off_are_named(
    cluster: Cluster,
    namespace: str,
    pod: Json,
    without_anonymous: None,  # noqa: ARG001
) -> None:
    start(cluster, namespace, pod)
    checks, _ = run_doctor(cluster, namespace)
    assert causes(checks) == {"discovery": ["anonymous_off"], "exchange": ["anonymous_off"]}


def test_the_wrong_service_account_is_one_of_the_possible_causes(
    cluster: Cluster,
    aws: LocalAws,
    namespace: str,
    open_discovery: None,  # noqa: ARG001
    sidecar_image: str,
) -> None:
    role = aws.set_up_trust(namespace=namespace, service_account="another")
    start(cluster, namespace, with_aws(example(namespace)[1], aws, role, sidecar_image=sidecar_image))
    checks, _ = run_doctor(cluster, namespace)
    assert causes(checks) == {"exchange": DENIED}
    named = {cause["name"]: cause for cause in checks["exchange"]["causes"]}
    assert "ServiceAccount than aws-parameter-reader" in named["trust_service_account"]["what"]
    assert not checks["exchange"]["exact"]


def test_a_signing_key_that_aws_has_not_seen_is_named(
    cluster: Cluster, aws: LocalAws, namespace: str, pod: Json
) -> None:
    start(cluster, namespace, pod)
    cluster.wait(f"pod/{POD}", "condition=Ready", namespace=namespace)  # AWS has the current keys
    cluster.kubectl("delete", "pod", POD, "-n", namespace, "--grace-period=1")
    cluster.rotate_signing_key()
    aws.faults({"kind": "stale_jwks", "scope": "web_identity"})
    start(cluster, namespace, pod)
    checks, _ = run_doctor(cluster, namespace)
    assert causes(checks) == {
        "exchange": ["issuer_closed_to_aws", "keys_not_seen_by_aws", "issuer_slow_for_aws", "unexplained"]
    }
    assert checks["keys"]["status"] == "ok", "the API server itself publishes both keys"


def test_a_token_by_subpath_is_named_while_it_still_works(cluster: Cluster, namespace: str, pod: Json) -> None:
    (mount,) = (mount for mount in sidecar_of(pod)["volumeMounts"] if mount["name"] == "aws-oidc-token")
    mount |= {"mountPath": f"{mount['mountPath']}/token", "subPath": "token"}
    start(cluster, namespace, pod)
    cluster.wait(f"pod/{POD}", "condition=Ready", namespace=namespace)
    checks, _ = run_doctor(cluster, namespace)
    assert causes(checks) == {"token_file": ["token_by_subpath"]}
    assert checks["exchange"]["status"] == "ok"
