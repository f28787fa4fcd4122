"""A real Prometheus on loopback, pods with the real daemon, and the chart's values for monitoring."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from examples.local.kubelet import Kubelet
from examples.local.process import Sidecar
from examples.local.world import World
from tests.charts.helm import Json
from tests.cluster.layout import CHECKOUT
from tests.cluster.waiting import wait_until

__all__ = (
    "MONITORING",
    "NAMESPACE",
    "ROLE",
    "Pod",
    "Prometheus",
    "documented_metrics",
    "metrics_in",
    "needs_prometheus",
    "promtool",
    "running_pod",
    "running_prometheus",
)

NAMESPACE = "shop"
ROLE: Json = {"roleArn": "arn:aws:iam::123456789012:role/KubernetesParameterStoreRole"}
"""The minimum values of the chart."""
MONITORING: Json = ROLE | {
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True, "runbookBaseUrl": "https://runbooks.example.com"},
    "dashboard": {"enabled": True},
}
"""The minimum values, with all monitoring objects enabled."""
# Prometheus scrapes and evaluates every second, so this is several times what an alert needs to start or to end.
PATIENCE_SECONDS = 20.0

needs_prometheus = pytest.mark.skipif(
    (shutil.which("promtool") is None or shutil.which("prometheus") is None) and not os.environ.get("CI"),
    reason="prometheus and promtool (Debian: prometheus) are not installed",
)


def documented_metrics() -> set[str]:
    """Return every name in the table of docs/metrics.md, with the series of each histogram."""
    page = (CHECKOUT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE)
    histograms = {name + end for name, kind in rows if kind == "histogram" for end in ("_bucket", "_sum", "_count")}
    return {name for name, _ in rows} | histograms | set(re.findall(r"`(process_\w+)`", page))


def metrics_in(text: str) -> set[str]:
    """Return the name of each metric of this program in a text, and of those that the Python client adds."""
    return set(re.findall(r"\b(?:aws_oidc_sidecar|process)_\w+", text))


def promtool(*arguments: str, directory: Path) -> str:
    """Run promtool, which must succeed, and return its output."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=directory, capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A running Prometheus.

    Args:
        port: of its API, on loopback.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - the data of its JSON, which has many shapes
        """Return ``data`` of an API response, which must be a success."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def query(self, expression: str) -> list[Json]:
        """Return the samples of an instant query, now."""
        result: list[Json] = self.get("query", query=expression)["result"]
        return result

    def query_range(self, expression: str, since: float, until: float) -> list[Json]:
        """Return the series of a range query with a step of a second; the times are wall-clock seconds."""
        data = self.get("query_range", query=expression, start=str(since), end=str(until), step="1")
        series: list[Json] = data["result"]
        return series

    def now(self) -> float:
        """Return its time in wall-clock seconds."""
        return float(self.get("query", query="time()")["result"][1])

    def alerts(self) -> set[tuple[str, str]]:
        """Return (alert, pod) of each firing alert."""
        return {
            (sample["metric"]["alertname"].removeprefix("AwsOidcSidecar"), sample["metric"]["pod"])
            for sample in self.query('ALERTS{alertstate="firing"}')
        }

    def wait_for_alerts(self, *expected: tuple[str, str]) -> None:
        """Wait until exactly these alerts fire.

        Raises:
            TimeoutError: other alerts fire, or not all of these; the text has both.
        """
        seen: set[tuple[str, str]] = set()

        def arrived() -> bool:
            nonlocal seen
            seen = self.alerts()
            return seen == set(expected)

        try:
            wait_until(arrived, what="alerts", seconds=PATIENCE_SECONDS)
        except TimeoutError as error:
            raise TimeoutError(f"expected {sorted(expected)}, firing at the end: {sorted(seen)}") from error


@contextmanager
def running_prometheus(
    directory: Path, targets: Mapping[str, int], rules: Sequence[Mapping[str, Any]]
) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes and evaluates every second.

    Args:
        directory: empty, for its files.
        targets: {pod: port of its sidecar}; they get the labels that the operator's monitors set.
        rules: groups of rules.
    """
    (directory / "rules.yaml").write_text(json.dumps({"groups": rules}))  # JSON is YAML
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": f"{NAMESPACE}/aws-oidc-sidecar",
                "static_configs": [
                    {
                        "targets": [f"127.0.0.1:{port}"],
                        "labels": {"namespace": NAMESPACE, "pod": pod, "container": "aws-oidc-sidecar"},
                    }
                    for pod, port in targets.items()
                ],
            }
        ],
    }
    (directory / "prometheus.yaml").write_text(json.dumps(config))
    log = directory / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [
                "prometheus",
                "--config.file=prometheus.yaml",
                "--storage.tsdb.path=data",
                "--web.listen-address=127.0.0.1:0",
            ],
            cwd=directory,
            stderr=file,
        )
    try:
        wait_until(
            lambda: "Server is ready to receive web requests" in log.read_text(encoding="utf-8"),
            what="Prometheus",
            seconds=PATIENCE_SECONDS,
            log=log,
        )
        found = re.search(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', log.read_text(encoding="utf-8"))
        assert found
        prometheus = Prometheus(int(found[1]))
        wait_until(
            lambda: len(prometheus.query("up == 1")) == len(targets), what="first scrapes", seconds=PATIENCE_SECONDS
        )
        yield prometheus
    finally:
        process.kill()
        process.wait()


class Pod:
    """A pod with the sidecar.

    Args:
        sidecar: its daemon.
        kubelet: rotates its token.
    """

    def __init__(self, sidecar: Sidecar, kubelet: Kubelet) -> None:
        self.sidecar, self.kubelet = sidecar, kubelet

    def refresh(self, event: str) -> None:
        """Request exchanges until one ends in this event: ``credentials_refreshed`` or ``exchange_failed``.

        An exchange that was already running may end in the other event.
        """
        before = self.sidecar.count(event)

        def ends_in_event() -> bool:
            ended = self._ended()
            self.sidecar.process.send_signal(signal.SIGHUP)
            wait_until(lambda: self._ended() > ended, what="an exchange", seconds=PATIENCE_SECONDS)
            return self.sidecar.count(event) > before

        wait_until(ends_in_event, what=event, seconds=PATIENCE_SECONDS)

    def _ended(self) -> int:
        return self.sidecar.count("credentials_refreshed") + self.sidecar.count("exchange_failed")


@contextmanager
def running_pod(world: World, role_arn: str, name: str, directory: Path) -> Iterator[Pod]:
    """Run the daemon as in a pod of that name; creates `directory`."""
    volume, runtime = directory / "aws-oidc-token", directory / "run"
    volume.mkdir(parents=True)
    (runtime / "state").mkdir(parents=True)
    with world.kubelet(volume, namespace=NAMESPACE, pod=name) as kubelet:
        sidecar = Sidecar(
            {
                "PATH": os.environ["PATH"],
                "AWS_ROLE_ARN": role_arn,
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(kubelet.path),
                "AWS_REGION": "eu-central-1",
                "AWS_ENDPOINT_URL_STS": world.aws.url,
                "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
                "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(runtime),
                "AWS_OIDC_SIDECAR_ENDPOINT_PORT": "0",
                "AWS_OIDC_SIDECAR_ADMIN_ADDRESS": "127.0.0.1",
                "AWS_OIDC_SIDECAR_ADMIN_PORT": "0",
            },
            runtime,
        )
        try:
            sidecar.wait_for("started")
            yield Pod(sidecar, kubelet)
        finally:
            sidecar.close()
