"""An application's chart that uses the library: upgrades under load, and a change of the role while it runs."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.aws import LocalAws
from tests.cluster.calls import PARAMETER, FollowedLog, command, whole
from tests.cluster.cluster import Cluster
from tests.cluster.releases import CHART, EXAMPLE, READ_ONLY, bootstrap_aws, example_values, helm, values
from tests.cluster.tutorial import ACCOUNT, APPLICATION
from tests.cluster.users import user_kubeconfig
from tests.cluster.waiting import wait_until

RELEASE, ROLE = "aws", "Reader"
ARN = f"arn:aws:iam::123456789012:role/{ROLE}"
Flags = Callable[..., list[str]]

pytestmark = [pytest.mark.timeout(1800), pytest.mark.usefixtures("sidecar_image", "open_discovery")]


@pytest.fixture
def flags(tmp_path: Path) -> Flags:
    """Write values into a file, and return the flags that name it."""

    def written(given: dict[str, Any]) -> list[str]:
        path = tmp_path / f"values-{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(given))
        return ["--values", str(path)]

    return written


@pytest.fixture
def owner(cluster: Cluster, aws: LocalAws, namespace: str, flags: Flags) -> Path:
    """The kubeconfig of the namespace's owner, after the install of the ServiceAccount and its role."""
    bootstrap_aws(
        cluster, aws, "--role", ROLE, "--service-account", f"{namespace}/{ACCOUNT}", "--policy-arn", READ_ONLY
    )
    kubeconfig = user_kubeconfig(cluster, f"owner-{namespace[:20]}", namespace)
    given = values(cluster, aws, serviceAccounts=[{"name": ACCOUNT, "roleArn": ARN}], bootstrap={"mode": "none"})
    helm(cluster, "install", RELEASE, str(CHART), *flags(given), user=kubeconfig)
    aws.put_parameter(PARAMETER, "ami-05684a9a654fccef1")
    return kubeconfig


def roll_out(cluster: Cluster, namespace: str) -> list[str]:
    """Wait for the example's Deployment; return the names of its pods that are not being deleted."""
    cluster.kubectl("rollout", "status", "-n", namespace, "deployment/reader", "--timeout=120s")
    pods = cluster.get("pods", "-n", namespace, "-l", "app.kubernetes.io/instance=reader")["items"]
    return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def test_the_last_steps_of_the_tutorial_work_with_the_example(
    cluster: Cluster, aws: LocalAws, namespace: str, owner: Path, flags: Flags
) -> None:
    helm(cluster, "install", "reader", str(EXAMPLE), *flags(example_values(aws)), user=owner)
    (pod,) = roll_out(cluster, namespace)
    exec_in = ["env", f"AWS_ENDPOINT_URL={aws.url}", "aws"]
    identity = json.loads(cluster.exec(pod, APPLICATION, *exec_in, "sts", "get-caller-identity", namespace=namespace))
    # A session name of this length is cut after the namespace, and ends in a hash.
    assert f":assumed-role/{ROLE}/{namespace}-" in identity["Arn"]
    parameter = cluster.exec(
        pod, APPLICATION, *exec_in, "ssm", "get-parameter", "--name", PARAMETER, namespace=namespace
    )
    assert json.loads(parameter)["Parameter"]["Value"] == "ami-05684a9a654fccef1"


def test_an_upgrade_under_load_fails_no_call(
    cluster: Cluster, aws: LocalAws, namespace: str, owner: Path, flags: Flags, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    with contextlib.ExitStack() as stack:
        followed = []
        for revision in ("install", "upgrade"):
            helm(cluster, revision, "reader", str(EXAMPLE), *flags(loaded(aws, revision)), user=owner)
            for pod in roll_out(cluster, namespace):
                log = stack.enter_context(FollowedLog(cluster, namespace, pod, logs / pod))
                log.await_calls()
                followed.append(log)
        # An upgrade of the release with the roles restarts no pod.
        given = values(
            cluster, aws, serviceAccounts=[{"name": ACCOUNT, "roleArn": ARN}], commonLabels={"team": "payments"}
        )
        helm(cluster, "upgrade", RELEASE, str(CHART), *flags(given), user=owner)
        helm(cluster, "uninstall", "reader", user=owner)
        for log in followed:
            assert [call for call in whole(log.to_the_end(seconds=60)) if call.error] == []
    assert len(followed) == 4


def loaded(aws: LocalAws, revision: str) -> dict[str, Any]:
    """Return the example's values with a client that makes calls until its end; a new `revision` makes new pods."""
    settings = {"name": "REVISION", "value": revision}
    endpoint = {"name": "AWS_ENDPOINT_URL", "value": aws.url}
    return example_values(aws, replicas=2, command=command(drain_seconds=3), extraEnv=[endpoint, settings])


def test_a_changed_role_reaches_a_running_pod_without_a_restart(
    cluster: Cluster, aws: LocalAws, namespace: str, owner: Path, flags: Flags
) -> None:
    helm(cluster, "install", "reader", str(EXAMPLE), *flags(example_values(aws)), user=owner)
    (pod,) = roll_out(cluster, namespace)
    bootstrap_aws(
        cluster, aws, "--role", "Writer", "--service-account", f"{namespace}/{ACCOUNT}", "--policy-arn", READ_ONLY
    )
    given = values(
        cluster, aws, bootstrap={"mode": "none"},
        serviceAccounts=[{"name": ACCOUNT, "roleArn": ARN.replace(ROLE, "Writer")}],
    )  # fmt: skip
    helm(cluster, "upgrade", RELEASE, str(CHART), *flags(given), user=owner)
    ask = ["env", f"AWS_ENDPOINT_URL={aws.url}", "aws", "sts", "get-caller-identity"]

    def assumed() -> str:
        return str(json.loads(cluster.exec(pod, APPLICATION, *ask, namespace=namespace))["Arn"])

    wait_until(lambda: ":assumed-role/Writer/" in assumed(), what="the other role", seconds=120, every=1)
    status = cluster.get("pod", pod, "-n", namespace)["status"]
    statuses = [*status["initContainerStatuses"], *status["containerStatuses"]]
    assert {one["name"]: one["restartCount"] for one in statuses} == {"aws-oidc-sidecar": 0, APPLICATION: 0}
