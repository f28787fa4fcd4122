"""A real Prometheus on the cluster's network, which scrapes the PodMonitor's pods: alerts fire and clear.

It takes ten minutes: the minimum lifetime of a token is 600 s.
"""

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from ruamel.yaml import YAML

from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster
from tests.cluster.releases import CHART
from tests.cluster.tutorial import SIDECAR, Json, apply, example, sidecar_of
from tests.cluster.waiting import wait_until

PORT = 9090
TOKEN_SECONDS = 600

pytestmark = pytest.mark.timeout(1800)


class Prometheus:
    """Debian's Prometheus, without Kubernetes discovery: a file lists the pods that the PodMonitor selects.

    Args:
        cluster: the cluster whose network it uses.
        monitor: the PodMonitor.
        rules: groups of rules.
        directory: an empty directory for its files.
    """

    def __init__(self, cluster: Cluster, monitor: Json, rules: list[Json], directory: Path) -> None:
        self._cluster, self._monitor, self._directory = cluster, monitor, directory
        (directory / "rules.yaml").write_text(json.dumps({"groups": rules}))  # JSON is YAML
        scrape = {"job_name": "pods", "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}]}
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [scrape],
        }
        (directory / "prometheus.yaml").write_text(json.dumps(config))
        self.follow()

    def __enter__(self) -> Self:
        """Start it."""
        flags = [f"--web.listen-address={self._cluster.address}:{PORT}", "--storage.tsdb.path=data"]
        with (self._directory / "log").open("w") as log:
            self._process = subprocess.Popen(
                self._cluster.in_network(["prometheus", "--config.file=prometheus.yaml", *flags]),
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(
            lambda: "ready to receive web requests" in (self._directory / "log").read_text(),
            what="Prometheus", seconds=30, log=self._directory / "log",
        )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def follow(self) -> None:
        """Scrape the pods that the PodMonitor selects now, by its port's name."""
        spec = self._monitor["spec"]
        (namespace,) = spec["namespaceSelector"]["matchNames"]
        (expression,) = spec["selector"]["matchExpressions"]
        (endpoint,) = spec["podMetricsEndpoints"]
        assert expression["operator"] == "Exists"
        targets = []
        for pod in self._cluster.get("pods", "-n", namespace, "-l", expression["key"])["items"]:
            containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
            for container in containers:
                for port in container.get("ports", []):
                    if port.get("name") == endpoint["port"] and pod["status"].get("podIP"):
                        labels = {
                            "namespace": namespace,
                            "pod": pod["metadata"]["name"],
                            "container": container["name"],
                        }
                        where = f"{pod['status']['podIP']}:{port['containerPort']}"
                        targets.append({"targets": [where], "labels": labels | {"__metrics_path__": endpoint["path"]}})
        new = self._directory / "new"
        new.write_text(json.dumps(targets))
        new.replace(self._directory / "targets.json")

    def firing(self) -> set[tuple[str, str]]:
        """Return (alert, pod) of each alert that fires."""
        url = f"http://{self._cluster.address}:{PORT}"
        found: Any = json.loads(
            self._cluster.run(["promtool", "query", "instant", "-o", "json", url, 'ALERTS{alertstate="firing"}'])
        )
        return {
            (sample["metric"]["alertname"].removeprefix("AwsOidcSidecar"), sample["metric"].get("pod", ""))
            for sample in found
        }

    def await_firing(self, alert: str, pod: str, seconds: float = 60) -> None:
        """Wait until the alert fires for the pod."""
        wait_until(lambda: (alert, pod) in self.firing(), what=f"{alert} for {pod}", seconds=seconds, every=1)

    def await_clear(self, pod: str, seconds: float = 120) -> None:
        """Wait until no alert fires for a pod."""
        wait_until(
            lambda: pod not in {name for _, name in self.firing()}, what=f"{pod} clear", seconds=seconds, every=1
        )


def rendered(cluster: Cluster, namespace: str) -> tuple[Json, list[Json]]:
    """Return the PodMonitor and the rules of a release, with `for: 0s`; promtool tests the real durations."""
    flags = ["roleArn=arn:aws:iam::123456789012:role/R", "podMonitor.enabled=true", "prometheusRule.enabled=true"]
    flags.append("prometheusRule.runbookBaseUrl=https://runbooks.example.com")
    text = cluster.helm(
        "template", "aws", str(CHART), "-n", namespace, *(part for flag in flags for part in ("--set", flag))
    )
    objects = {one["kind"]: one for one in YAML(typ="safe").load_all(text) if one}
    groups: list[Json] = json.loads(json.dumps(objects["PrometheusRule"]["spec"]["groups"]))
    for group in groups:
        for rule in group["rules"]:
            rule["for"] = "0s"
    return json.loads(json.dumps(objects["PodMonitor"])), groups


@pytest.fixture
def prometheus(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Prometheus]:
    with Prometheus(cluster, *rendered(cluster, namespace), tmp_path) as running:
        yield running


def send_sighup(cluster: Cluster, namespace: str, pod: str) -> None:
    """Start an exchange by SIGHUP."""
    script = "import os; os.kill(1, 1)"
    cluster.exec(pod, SIDECAR, "/usr/bin/python3", "-c", script, namespace=namespace)


def start(cluster: Cluster, prometheus: Prometheus, namespace: str, pod: Json) -> None:
    """Apply a pod, and make Prometheus scrape it."""
    apply(cluster, example(namespace)[0], pod)
    name = pod["metadata"]["name"]

    def has_address() -> bool:
        return bool(cluster.get("pod", name, "-n", namespace)["status"].get("podIP"))

    wait_until(has_address, what=f"an address of {name}", seconds=60)
    prometheus.follow()


def test_alerts_fire_and_clear_for_sts_down_a_broken_trust_policy_and_a_token_that_is_not_rotated(
    cluster: Cluster, aws: LocalAws, namespace: str, pod: Json, prometheus: Prometheus
) -> None:
    stuck, fresh = copy.deepcopy(pod), copy.deepcopy(pod)
    stuck["metadata"]["name"], fresh["metadata"]["name"] = "stuck", "fresh"
    (volume,) = (volume for volume in stuck["spec"]["volumes"] if volume["name"] == "aws-oidc-token")
    volume["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] = TOKEN_SECONDS
    # The kubelet never updates a file that is mounted with subPath.
    (mount,) = (mount for mount in sidecar_of(stuck)["volumeMounts"] if mount["name"] == "aws-oidc-token")
    mount |= {"mountPath": f"{mount['mountPath']}/token", "subPath": "token"}
    start(cluster, prometheus, namespace, stuck)
    cluster.wait("pod/stuck", "condition=Ready", namespace=namespace)

    aws.faults({"kind": "down", "scope": "web_identity"})
    start(cluster, prometheus, namespace, fresh)
    prometheus.await_firing("NoSuccessfulRefresh", "fresh")
    prometheus.await_firing("CredentialsExpiring", "fresh")
    aws.faults()
    cluster.wait("pod/fresh", "condition=Ready", namespace=namespace, seconds=120)
    prometheus.await_clear("fresh")

    aws.set_up_trust(namespace="elsewhere")
    send_sighup(cluster, namespace, "fresh")
    prometheus.await_firing("TrustBroken", "fresh")
    aws.set_up_trust(namespace=namespace)
    send_sighup(cluster, namespace, "fresh")
    prometheus.await_clear("fresh")

    prometheus.await_firing("TokenNotRotating", "stuck", seconds=TOKEN_SECONDS + 60)
    prometheus.await_clear("fresh")
    mount |= {"mountPath": mount["mountPath"].removesuffix("/token")}
    del mount["subPath"]
    cluster.kubectl("delete", "pod", "stuck", "-n", namespace, "--grace-period=2")
    start(cluster, prometheus, namespace, stuck)
    cluster.wait("pod/stuck", "condition=Ready", namespace=namespace)
    prometheus.await_clear("stuck")
