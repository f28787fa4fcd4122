"""The charts on a real cluster, with real helm, for users with exactly the rights that the docs require."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.cluster.aws import LocalAws
from tests.cluster.build import helm_floor
from tests.cluster.cluster import Cluster, CommandFailed
from tests.cluster.releases import CHART, READ_ONLY, bootstrap_aws, helm, values
from tests.cluster.users import user_kubeconfig
from tests.cluster.waiting import wait_until

RELEASE, ACCOUNT, ROLE, BINDING = "aws", "aws-aws-oidc-sidecar", "Reader", "allow-anon-openid"
ARN = f"arn:aws:iam::123456789012:role/{ROLE}"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
Write = Callable[..., list[str]]

pytestmark = [pytest.mark.timeout(1800), pytest.mark.usefixtures("sidecar_image")]


@pytest.fixture
def write(cluster: Cluster, aws: LocalAws, tmp_path: Path) -> Write:
    """Write values into a file, and return the flags that name it."""

    def written(**more: Any) -> list[str]:  # noqa: ANN401 - of a chart
        path = tmp_path / f"values-{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(values(cluster, aws, **more)))
        return ["--values", str(path)]

    return written


@pytest.fixture
def restricted(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Two namespaces with Pod Security `restricted`."""
    base = request.node.name.replace("_", "-")[5:45].strip("-")
    names = [f"{base}-{part}" for part in "ab"]
    for name in names:
        cluster.new_namespace(name, **RESTRICTED)
    yield names
    for name in names:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def job_of(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """Wait for the end of the newest Job of a namespace, and return the Job."""

    def newest() -> dict[str, Any]:
        jobs = cluster.get("jobs", "-n", namespace)["items"]
        found: dict[str, Any] = max(jobs, key=lambda job: job["metadata"]["creationTimestamp"])
        return found

    def ended() -> bool:
        conditions = newest().get("status", {}).get("conditions", [])
        return any(
            condition["type"] in {"Complete", "Failed"} and condition["status"] == "True" for condition in conditions
        )

    wait_until(
        lambda: bool(cluster.get("jobs", "-n", namespace)["items"]) and ended(), what="the Job's end", seconds=90
    )
    return newest()


def log_of(cluster: Cluster, namespace: str, job: dict[str, Any]) -> str:
    """Return the log of a Job."""
    return cluster.kubectl("logs", "-n", namespace, f"job/{job['metadata']['name']}")


def result(job: dict[str, Any]) -> str:
    """Return whether a Job is "Complete" or "Failed"."""
    ends = {condition["type"] for condition in job["status"]["conditions"] if condition["status"] == "True"}
    return "Complete" if "Complete" in ends else "Failed"


def test_two_namespace_owners_install_upgrade_roll_back_and_uninstall(
    cluster: Cluster,
    restricted: list[str],
    write: Write,
    open_discovery: None,  # noqa: ARG001
) -> None:
    owners = {name: user_kubeconfig(cluster, f"owner-{name[-1]}", name) for name in restricted}
    for name, owner in owners.items():
        helm(cluster, "install", RELEASE, str(CHART), *write(roleArn=ARN), user=owner)
        job = job_of(cluster, name)
        assert result(job) == "Complete", log_of(cluster, name, job)
    for name, owner in owners.items():
        helm(cluster, "upgrade", RELEASE, str(CHART), *write(roleArn=f"{ARN}2"), user=owner)
        assert f"{ARN}2" in profiles(cluster, name)
        helm(cluster, "rollback", RELEASE, "1", user=owner)
        assert f"{ARN}2" not in profiles(cluster, name)
        assert ARN in profiles(cluster, name)
        helm(cluster, "uninstall", RELEASE, "--wait", user=owner)
        assert (
            cluster.get("jobs,configmaps,serviceaccounts", "-n", name, "-l", "app.kubernetes.io/instance=aws")["items"]
            == []
        )


def profiles(cluster: Cluster, namespace: str) -> str:
    """Return the profiles file of the release's ServiceAccount."""
    return str(cluster.get("configmap", f"aws-oidc-sidecar-{ACCOUNT}", "-n", namespace)["data"]["profiles"])


def test_the_first_install_passes_helm_test_within_a_minute_and_three_commands(
    cluster: Cluster,
    aws: LocalAws,
    restricted: list[str],
    write: Write,
    open_discovery: None,  # noqa: ARG001
) -> None:
    name = restricted[0]
    owner = user_kubeconfig(cluster, "first", name)
    aws.set(propagation_seconds=10)
    began = time.monotonic()  # noqa: TID251 - a measurement of real time
    helm(cluster, "install", RELEASE, str(CHART), *write(roleArn=ARN), user=owner)
    bootstrap_aws(cluster, aws, "--role", ROLE, "--service-account", f"{name}/{ACCOUNT}", "--policy-arn", READ_ONLY)
    report = helm(cluster, "test", RELEASE, "--logs", "--timeout=3m", user=owner)
    took = time.monotonic() - began  # noqa: TID251 - as above
    print(f"\ninstall, bootstrap aws, test: {took:.1f} s, with an IAM propagation of 10 s")  # noqa: T201 - pytest -s
    assert "Phase:          Succeeded" in report
    assert f"assumed-role/{ROLE}/{name}-" in report
    assert took <= 60


def test_helm_test_of_a_wrong_role_fails_with_the_doctors_report(
    cluster: Cluster,
    aws: LocalAws,
    restricted: list[str],
    write: Write,
    open_discovery: None,  # noqa: ARG001
) -> None:
    name = restricted[0]
    owner = user_kubeconfig(cluster, "wrong", name)
    bootstrap_aws(cluster, aws, "--role", ROLE, "--service-account", "elsewhere/other", "--policy-arn", READ_ONLY)
    helm(cluster, "install", RELEASE, str(CHART), *write(roleArn=ARN, test={"waitSeconds": 20}), user=owner)
    with pytest.raises(CommandFailed) as failed:
        helm(cluster, "test", RELEASE, "--logs", "--timeout=3m", user=owner)
    log = failed.value.output + failed.value.stderr
    print(log)  # noqa: T201 - shown in the report of a failure
    assert "AccessDenied" in log
    assert "trust_namespace" in log
    assert f"system:serviceaccount:{name}:{ACCOUNT}" in log


def objects(text: str) -> list[object]:
    """Return the rendered objects, parsed, because versions of Helm differ in blank lines."""
    return [one for one in YAML(typ="safe").load_all(text) if one]


def test_the_oldest_helm_renders_the_same_objects_and_installs(
    cluster: Cluster,
    restricted: list[str],
    write: Write,
    open_discovery: None,  # noqa: ARG001
) -> None:
    oldest = str(helm_floor(sys.stderr.write))
    for case in sorted((CHART / "ci").glob("*-values.yaml")):
        flags = ["aws", str(CHART), "-n", "team", "--values", str(case), "--kube-version", "1.36.3"]
        assert objects(cluster.run([oldest, "template", *flags])) == objects(helm(cluster, "template", *flags))
        cluster.run([oldest, "lint", "--strict", str(CHART), "--values", str(case)])
    name = restricted[0]
    owner = user_kubeconfig(cluster, "oldest", name)
    cluster.run([oldest, "install", RELEASE, str(CHART), *write(roleArn=ARN)], kubeconfig=owner)
    assert result(job_of(cluster, name)) == "Complete"
    cluster.run([oldest, "upgrade", RELEASE, str(CHART), *write(roleArn=f"{ARN}2")], kubeconfig=owner)
    assert f"{ARN}2" in profiles(cluster, name)


def test_apply_from_two_namespaces_at_once_opens_discovery_and_uninstall_keeps_the_binding(
    cluster: Cluster, restricted: list[str], write: Write
) -> None:
    cluster.kubectl("delete", "clusterrolebinding", BINDING, "--ignore-not-found")
    flags = write(roleArn=ARN, bootstrap={"mode": "apply"})

    def install(name: str) -> str:
        return helm(cluster, "install", RELEASE, str(CHART), "-n", name, *flags)

    with ThreadPoolExecutor() as pool:
        list(pool.map(install, restricted))
    for name in restricted:
        job = job_of(cluster, name)
        assert result(job) == "Complete", log_of(cluster, name, job)
    binding = cluster.get("clusterrolebinding", BINDING)
    assert binding["roleRef"]["name"] == "system:service-account-issuer-discovery"
    assert [subject["name"] for subject in binding["subjects"]] == ["system:unauthenticated"]
    for name in restricted:
        helm(cluster, "uninstall", RELEASE, "-n", name, "--wait")
    assert cluster.get("clusterrolebinding", BINDING), "an uninstall does not delete the shared binding"
    assert [
        one["metadata"]["name"]
        for one in cluster.get("clusterroles")["items"]
        if ":bootstrap" in one["metadata"]["name"]
    ] == []


def test_an_install_with_mode_apply_by_a_namespace_owner_is_forbidden(
    cluster: Cluster, restricted: list[str], write: Write
) -> None:
    owner = user_kubeconfig(cluster, "limited", restricted[0])
    with pytest.raises(CommandFailed, match="forbidden"):
        helm(cluster, "install", RELEASE, str(CHART), *write(roleArn=ARN, bootstrap={"mode": "apply"}), user=owner)


@pytest.fixture
def without_anonymous(cluster: Cluster) -> Iterator[None]:
    """Disable anonymous requests at the API server."""
    cluster.restart_apiserver({"authentication-config": None, "anonymous-auth": "false"})
    yield
    cluster.restart_apiserver()


def test_verify_reports_that_anonymous_requests_are_disabled(
    cluster: Cluster,
    restricted: list[str],
    write: Write,
    without_anonymous: None,  # noqa: ARG001
) -> None:
    name = restricted[0]
    owner = user_kubeconfig(cluster, "verifier", name)
    flags = write(roleArn=ARN, bootstrap={"backoffLimit": 0})
    helm(cluster, "install", RELEASE, str(CHART), *flags, user=owner)
    job = job_of(cluster, name)
    log = log_of(cluster, name, job)
    assert result(job) == "Failed"
    assert "AuthenticationConfiguration" in log
    assert "/openid/v1/jwks" in log
