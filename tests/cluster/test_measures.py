"""Memory and CPU of the sidecar in a real pod, from its control group; figures are printed at the end of the run."""

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster
from tests.cluster.tutorial import SIDECAR, Json, apply, example, sidecar_of, with_aws
from tests.cluster.waiting import wait_until
from tests.quota.cgroup import ControlGroup

GROUPS = Path("/sys/fs/cgroup")
UNIFIED = (GROUPS / "cgroup.controllers").exists()
TICKS = os.sysconf("SC_CLK_TCK")
IDLE_SECONDS = 60
MB = 1e6
# The limits: memory in the pod, and the CPU time of an idle hour, a thousandth of a core.
AT_REST_MB, PEAK_MB, IDLE_CPU_SECONDS = 35, 85, 3.6
# Far above the printed figures: a busy machine must not fail the test, a daemon that hangs must.
FIRST_SECONDS, FIRST_SECONDS_LIMITED = 15, 60
PODS = 10

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes and the images


class _Figures:
    """A pytest plugin that prints the lines at the end of the run, also after a failure."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("figures of the sidecar in a pod")
        for line in self.lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="module")
def figures(request: pytest.FixtureRequest) -> list[str]:
    plugin = _Figures()
    request.config.pluginmanager.register(plugin)
    return plugin.lines


class Measured:
    """The sidecar's container of a pod that runs.

    Args:
        cluster: the cluster of the pod.
        pod: the pod from the API server.
    """

    def __init__(self, cluster: Cluster, pod: Json) -> None:
        self._cluster = cluster
        self._name, self._namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        folders = cluster.pod_cgroup(pod["metadata"]["uid"], SIDECAR)
        self.group = ControlGroup(folders, unified=UNIFIED)
        self._cpu = folders[0]
        self.daemon = min(self.processes())

    def processes(self) -> list[int]:
        """Return the host's ids of its processes."""
        return [int(text) for text in (self._cpu / "cgroup.procs").read_text().split()]

    def log(self) -> list[Json]:
        """Return the daemon's lines."""
        text = self._cluster.kubectl("logs", self._name, "-c", SIDECAR, "-n", self._namespace)
        return [json.loads(line) for line in text.splitlines()]

    def refreshes(self) -> list[Json]:
        """Return the credentials_refreshed lines."""
        return [line for line in self.log() if line["event"] == "credentials_refreshed"]

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes of the container so far, including those that have ended."""
        if UNIFIED:
            fields = dict(line.split() for line in (self._cpu / "cpu.stat").read_text().splitlines())
            return int(fields["usage_usec"]) / 1e6
        folder = GROUPS / "cpuacct" / self._cpu.relative_to(GROUPS / "cpu")
        return int((folder / "cpuacct.usage").read_text()) / 1e9

    def resident_mb(self) -> dict[str, float]:
        """Return `Rss` and `Pss` of the daemon's process."""
        lines = Path(f"/proc/{self.daemon}/smaps_rollup").read_text().splitlines()[1:]
        fields = {line.split(":")[0]: int(line.split()[1]) * 1024 / MB for line in lines}
        return {name: fields[name] for name in ("Rss", "Pss")}

    def seconds_to(self, event: str) -> float:
        """Return the seconds from the start of its first process to the first log line of an event; to 10 ms."""
        fields = Path(f"/proc/{self.daemon}/stat").read_text().rsplit(")", 1)[1].split()
        boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)  # noqa: TID251 - to compare with the log
        began = boot + int(fields[19]) / TICKS
        return float(next(line["ts"] for line in self.log() if line["event"] == event)) - began

    def rest(self) -> None:
        """Wait until no exchange is running."""
        wait_until(lambda: self.processes() == [self.daemon], what="the end of the exchange", seconds=30, every=0.05)


@pytest.fixture
def role_arn(aws: LocalAws, namespace: str, open_discovery: None) -> str:  # noqa: ARG001 - AWS has to reach the keys
    return aws.set_up_trust(namespace=namespace)


def run(
    cluster: Cluster, aws: LocalAws, namespace: str, role_arn: str, image: str, *, count: int = 1, cpu: str = ""
) -> Sequence[Measured]:
    """Run `count` copies of the example's pod at once, and return their sidecars."""
    objects = []
    for number in range(count):
        account, pod = example(namespace)
        pod["metadata"]["name"] = f"aws-test-{number}"
        with_aws(pod, aws, role_arn, sidecar_image=image)
        if cpu:
            sidecar_of(pod)["resources"]["limits"]["cpu"] = cpu
        objects += [account, pod] if number == 0 else [pod]
    apply(cluster, *objects)
    for number in range(count):
        cluster.wait(f"pod/aws-test-{number}", "condition=Ready", namespace=namespace, seconds=180)
    pods = cluster.get("pods", "-n", namespace)["items"]
    return [Measured(cluster, pod) for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))]


def load() -> str:
    return f"load average of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def test_memory_and_cpu_stay_below_their_limits(
    cluster: Cluster, aws: LocalAws, namespace: str, role_arn: str, sidecar_image: str, figures: list[str]
) -> None:
    (pod,) = run(cluster, aws, namespace, role_arn, sidecar_image)
    pod.rest()
    at_rest, resident, before = pod.group.used_bytes() / MB, pod.resident_mb(), pod.cpu_seconds()
    os.kill(pod.daemon, signal.SIGHUP)
    used = 0
    wait_until(lambda: len(pod.processes()) > 1, what="an exchange", seconds=10, every=0.002)
    while len(pod.processes()) > 1:
        used = max(used, pod.group.used_bytes())
        time.sleep(0.002)
    exchange = pod.cpu_seconds() - before
    assert len(pod.refreshes()) == 2, "the measured exchange did not succeed"

    before = pod.cpu_seconds()
    time.sleep(IDLE_SECONDS)
    idle = (pod.cpu_seconds() - before) * 3600 / IDLE_SECONDS

    peak = pod.group.peak_bytes() / MB
    figures.append(
        f"memory, anonymous and shared: at rest {at_rest:.1f} MB, maximum during an exchange {used / MB:.1f} MB; "
        f"the kernel's peak since the start, page cache included, {peak:.1f} MB"
    )
    figures.append(f"the daemon at rest: RSS {resident['Rss']:.1f} MB, PSS {resident['Pss']:.1f} MB")
    figures.append(f"CPU: idle with probes {idle:.1f} s in an hour, an exchange {exchange:.2f} s; {load()}")
    assert at_rest <= AT_REST_MB
    assert used / MB <= PEAK_MB
    assert peak <= PEAK_MB, "the kernel's peak, which counts towards the limit"
    assert idle <= IDLE_CPU_SECONDS


def test_credentials_come_within_15_s(
    cluster: Cluster, aws: LocalAws, namespace: str, role_arn: str, sidecar_image: str, figures: list[str]
) -> None:
    (pod,) = run(cluster, aws, namespace, role_arn, sidecar_image)
    figures.append(f"no CPU limit: {first_times(pod, FIRST_SECONDS)}; {load()}")
    assert pod.group.throttled_seconds() == 0


def test_credentials_come_within_60_s_with_a_tenth_of_a_core(
    cluster: Cluster, aws: LocalAws, namespace: str, role_arn: str, sidecar_image: str, figures: list[str]
) -> None:
    (pod,) = run(cluster, aws, namespace, role_arn, sidecar_image, cpu="100m")
    figures.append(f"CPU limit 100m: {first_times(pod, FIRST_SECONDS_LIMITED)}; {load()}")
    assert pod.group.throttled_seconds() > 0, "the CPU limit had no effect"


def first_times(pod: Measured, limit_seconds: float) -> str:
    """Return a line with the times when a pod listened and had credentials; check them against the limit."""
    started, refreshed = pod.seconds_to("started"), pod.seconds_to("credentials_refreshed")
    assert 0 < started < refreshed < limit_seconds
    throttled = pod.group.throttled_seconds()
    return (
        f"listens {started:.2f} s, credentials {refreshed:.2f} s after its process began; throttled {throttled:.1f} s"
    )


def test_ten_pods_at_once(
    cluster: Cluster, aws: LocalAws, namespace: str, role_arn: str, sidecar_image: str, figures: list[str]
) -> None:
    pods = run(cluster, aws, namespace, role_arn, sidecar_image, count=PODS)
    assert len({exchange["session_name"] for exchange in aws.exchanges(good=True)}) == PODS
    assert len(aws.exchanges()) == PODS, "one exchange for each"
    times = sorted(pod.seconds_to("credentials_refreshed") for pod in pods)
    for pod in pods:
        pod.rest()
    proportional = [pod.resident_mb()["Pss"] for pod in pods]
    at_rest = [pod.group.used_bytes() / MB for pod in pods]
    figures.append(
        f"{PODS} pods at once: credentials {times[0]:.2f} to {times[-1]:.2f} s after each one's process began; "
        f"PSS of the tenth {proportional[-1]:.1f} MB; "
        f"anonymous and shared {min(at_rest):.1f} to {max(at_rest):.1f} MB; {load()}"
    )
    assert max(at_rest) <= AT_REST_MB
