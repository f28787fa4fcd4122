"""The charts on a real cluster, by real helm, for users with exactly the rights that they should need."""

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
    """Two namespaces in which Pod Security admits `restricted` pods alone."""
    base = request.node.name.replace("_", "-")[5:45].strip("-")
    names = [f"{base}-{part}" for part in "ab"]
    for name in names:
        cluster.new_namespace(name, **RESTRICTED)
    yield names
    for name in names:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def job_of(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """Return the newest Job of a namespace, once it has ended."""

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


def said(cluster: Cluster, namespace: str, job: dict[str, Any]) -> str:
    """Return the log of a Job."""
    return cluster.kubectl("logs", "-n", namespace, f"job/{job['metadata']['name']}")


def verdict(job: dict[str, Any]) -> str:
    """Return whether a Job is "Complete" or "Failed"."""
    ends = {condition["type"] for condition in job["status"]["conditions"] if condition["status"] == "True"}
    return "Complete" if "Complete" in ends else "Failed"


def test_two_owners_of_namespaces_install_upgrade_roll_back_and_uninstall(
    cluster: Cluster,
    restricted: list[str],
    write: Write,
    open_discovery: None,  # noqa: ARG001
) -> None:
    owners = {name: user_kubeconfig(cluster, f"owner-{name[-1]}", name) for name in restricted}
    for name, owner in owners.items():
        helm(cluster, "install", RELEASE, str(CHART), *write(roleArn=ARN), user=owner)
        job = job_of(cluster, name)
        assert verdict(job) == "Complete", said(cluster, name, job)
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
    """Return what the release says of its ServiceAccount's roles."""
    return str(cluster.get("configmap", f"aws-oidc-sidecar-{ACCOUNT}", "-n", namespace)["data"]["profiles"])


def test_the_first_install_is_green_within_a_minute_and_three_commands(
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
    print(f"\ninstall, bootstrap aws, test: {took:.1f} s, with 10 s until IAM's change is known")  # noqa: T201 - pytest -s
    assert "Phase:          Succeeded" in report
    assert f"assumed-role/{ROLE}/{name}-" in report
    assert took <= 60


def test_a_wrong_role_makes_the_test_red_with_the_doctors_words(
    cluster: Cluster,
    aws: LocalAws,
    restricted: list[str],
    write: Write,
    open_discovery: None,  # noqa: ARG001
) -> None:
    name = restricted[0]
    owner = user_kubeconfig(cluster, "wrong", name)
    bootstrap_aws(cluster, aws, "--role", ROLE, "--service-account", "elsewhere/somebody", "--policy-arn", READ_ONLY)
    helm(cluster, "install", RELEASE, str(CHART), *write(roleArn=ARN, test={"waitSeconds": 20}), user=owner)
    with pytest.raises(CommandFailed) as failed:
        helm(cluster, "test", RELEASE, "--logs", "--timeout=3m", user=owner)
    log = failed.value.output + failed.value.stderr
    print(log)  # noqa: T201 - what a person sees, in the report of a failure
    assert "AccessDenied" in log
    assert "trust_namespace" in log
    assert f"system:serviceaccount:{name}:{ACCOUNT}" in log


def objects(text: str) -> list[object]:
    """Return what was rendered; versions of Helm differ in blank lines."""
    return [one for one in YAML(typ="safe").load_all(text) if one]


def test_the_oldest_helm_renders_the_same_and_installs(
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
    assert verdict(job_of(cluster, name)) == "Complete"
    cluster.run([oldest, "upgrade", RELEASE, str(CHART), *write(roleArn=f"{ARN}2")], kubeconfig=owner)
    assert f"{ARN}2" in profiles(cluster, name)


def test_apply_from_two_namespaces_at_once_opens_discovery_and_stays(
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
        assert verdict(job) == "Complete", said(cluster, name, job)
    binding = cluster.get("clusterrolebinding", BINDING)
    assert binding["roleRef"]["name"] == "system:service-account-issuer-discovery"
    assert [subject["name"] for subject in binding["subjects"]] == ["system:unauthenticated"]
    for name in restricted:
        helm(cluster, "uninstall", RELEASE, "-n", name, "--wait")
    assert cluster.get("clusterrolebinding", BINDING), "shared by all, so no uninstall takes it away"
    assert [
        one["metadata"]["name"]
        for one in cluster.get("clusterroles")["items"]
        if ":bootstrap" in one["metadata"]["name"]
    ] == []


def test_an_owner_of_a_namespace_cannot_apply_and_is_told(
    cluster: Cluster, restricted: list[str], write: Write
) -> None:
    owner = user_kubeconfig(cluster, "limited", restricted[0])
    with pytest.raises(CommandFailed, match="forbidden"):
        helm(cluster, "install", RELEASE, str(CHART), *write(roleArn=ARN, bootstrap={"mode": "apply"}), user=owner)


@pytest.fixture
def without_anonymous(cluster: Cluster) -> Iterator[None]:
    """Switch anonymous requests off at the API server."""
    cluster.restart_apiserver({"authentication-config": None, "anonymous-auth": "false"})
    yield
    cluster.restart_apiserver()


def test_verify_says_that_anonymous_requests_are_off(
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
    log = said(cluster, name, job)
    assert verdict(job) == "Failed"
    assert "AuthenticationConfiguration" in log
    assert "/openid/v1/jwks" in log
