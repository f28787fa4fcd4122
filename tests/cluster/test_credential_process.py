"""``examples/credential-process/`` in real pods: unmodified clients, without the variables of the endpoint."""

import json
from typing import Any

import pytest

from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster
from tests.cluster.layout import CHECKOUT
from tests.cluster.tutorial import APPLICATION, Json, application_of, apply, example, sidecar_of

EXAMPLES = CHECKOUT / "examples" / "credential-process"
CONFIG_FILE = "/etc/aws/config"
SHIM_DIRECTORY = "/opt/aws-oidc-sidecar"
# The image has no shell and no cp, so its Python copies the file.
COPY = f"import shutil; shutil.copy('{SHIM_DIRECTORY}/shim.py', '/shared/')"
WHERE_FROM = "import boto3; found = boto3.Session().get_credentials(); print(found.method, found.access_key)"

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes and the images


@pytest.fixture
def pod(pod: Json) -> Json:
    """The example's pod; its application has no variable with the endpoint or the auth token."""
    application = application_of(pod)
    application["env"] = [
        variable for variable in application["env"] if not variable["name"].startswith("AWS_CONTAINER_")
    ]
    return pod


def with_config(pod: Json, file: str) -> list[Json]:
    """Return a ConfigMap with an example's file, and the pod whose application reads it."""
    namespace = pod["metadata"]["namespace"]
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "aws-config", "namespace": namespace},
        "data": {"config": (EXAMPLES / file).read_text(encoding="utf-8")},
    }
    pod["spec"]["volumes"].append({"name": "aws-config", "configMap": {"name": "aws-config"}})
    application = application_of(pod)
    application["volumeMounts"].append({"name": "aws-config", "mountPath": "/etc/aws", "readOnly": True})
    application["env"].append({"name": "AWS_CONFIG_FILE", "value": CONFIG_FILE})
    return [example(namespace)[0], config, pod]


def check_clients(cluster: Cluster, aws: LocalAws, namespace: str) -> None:
    """Check that the AWS CLI and boto3 have the role, with the credentials of the one exchange, from the process."""
    cluster.wait("pod/aws-test", "condition=Ready", namespace=namespace)

    def run(*command: str) -> str:
        return cluster.exec("aws-test", APPLICATION, *command, namespace=namespace)

    assert "AWS_CONTAINER_" not in run("env")
    identity: dict[str, Any] = json.loads(run("aws", "sts", "get-caller-identity"))
    assert identity["Arn"].endswith(f":assumed-role/KubernetesParameterStoreRole/{namespace}-aws-test")
    method, access_key_id = run("/usr/bin/python3", "-c", WHERE_FROM).split()
    assert method == "custom-process"
    (exchange,) = aws.exchanges(good=True)
    assert access_key_id == exchange["access_key_id"]


def test_the_shim_copied_by_an_init_container(cluster: Cluster, aws: LocalAws, namespace: str, pod: Json) -> None:
    sidecar = sidecar_of(pod)
    pod["spec"]["volumes"].append({"name": "shim", "emptyDir": {}})
    copies = {
        "name": "shim",
        "image": sidecar["image"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-I", "-c", COPY],
        "securityContext": sidecar["securityContext"],
        "volumeMounts": [{"name": "shim", "mountPath": "/shared"}],
    }
    pod["spec"]["initContainers"].append(copies)
    mount = {"name": "shim", "mountPath": SHIM_DIRECTORY, "readOnly": True}
    application_of(pod)["volumeMounts"].append(mount)
    apply(cluster, *with_config(pod, "shim.ini"))
    check_clients(cluster, aws, namespace)


def test_the_shim_mounted_from_the_sidecars_image(cluster: Cluster, aws: LocalAws, namespace: str, pod: Json) -> None:
    if cluster.kubernetes.minor < 33:
        pytest.skip("image volumes have no subPath before Kubernetes 1.33")
    image = {"reference": sidecar_of(pod)["image"], "pullPolicy": "IfNotPresent"}
    pod["spec"]["volumes"].append({"name": "shim", "image": image})
    mount = {"name": "shim", "mountPath": SHIM_DIRECTORY, "subPath": SHIM_DIRECTORY.lstrip("/"), "readOnly": True}
    application_of(pod)["volumeMounts"].append(mount)
    apply(cluster, *with_config(pod, "shim.ini"))
    check_clients(cluster, aws, namespace)


def test_cat_of_the_credentials_file(cluster: Cluster, aws: LocalAws, namespace: str, pod: Json) -> None:
    apply(cluster, *with_config(pod, "cat.ini"))
    check_clients(cluster, aws, namespace)
