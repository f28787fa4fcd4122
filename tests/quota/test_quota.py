"""A container with a CPU limit of 100m: five profiles, one worker process, and the latency of the endpoint."""

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

from examples.local.process import COMMAND, Sidecar
from examples.local.world import World
from tests.quota.cgroup import ControlGroup, control_group

Run = Callable[..., Sidecar]
NAMES = tuple(f"profile-{number}" for number in range(1, 6))


class Poller(threading.Thread):
    """Sends about 100 requests a second on one connection, and records each latency and status."""

    def __init__(self, port: int, path: str, token: str) -> None:
        super().__init__(daemon=True)
        self._target = (port, path, token)
        self.seconds: list[float] = []
        self.statuses: set[int] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        port, path, token = self._target
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while not self._ended.wait(0.01):
            began = time.perf_counter()
            connection.request("GET", path, headers={"Authorization": token})
            answer = connection.getresponse()
            answer.read()
            self.seconds.append(time.perf_counter() - began)
            self.statuses.add(answer.status)
        connection.close()

    def stop(self) -> None:
        self._ended.set()
        self.join()


# Before run_sidecar in each signature, so that the group is removed after the daemon has ended.
@pytest.fixture
def group() -> Iterator[ControlGroup]:
    with control_group("aws-oidc-sidecar-quota") as made:
        made.limit(0.1)
        yield made


def test_five_profiles_are_exchanged_by_one_worker_while_the_endpoint_responds_within_a_second(
    fresh_world: World, group: ControlGroup, run_sidecar: Run, tmp_path: Path, figures: list[str]
) -> None:
    sections = []
    for name in NAMES:
        arn = fresh_world.set_up_trust(role=name)
        sections.append(f"[profile {name}]\nrole_arn = {arn}\n")
        (tmp_path / "run" / "profiles" / name).mkdir(parents=True)
    file = tmp_path / "profiles.conf"
    file.write_text("".join(sections))
    sidecar = run_sidecar({"AWS_ROLE_ARN": ""}, profiles_file=str(file), command=group.command(COMMAND))
    began = time.perf_counter()
    for name in NAMES:
        sidecar.wait_for("credentials_refreshed", profile=name)
    first = time.perf_counter() - began
    while sidecar.children():
        sidecar.wait(0.1)
    at_rest = group.used_bytes()

    token = (tmp_path / "run" / "profiles" / NAMES[0] / "auth-token").read_text()
    poller = Poller(sidecar.port, f"/v1/credentials/{NAMES[0]}", token)
    poller.start()
    used = 0
    os.kill(sidecar.process.pid, signal.SIGHUP)
    began = time.perf_counter()
    while any(len(_refreshes(sidecar, name)) < 2 for name in NAMES):
        used = max(used, group.used_bytes())
        assert time.perf_counter() - began < 60
        assert len(sidecar.children()) <= 1, "more than one child at a time"
        sidecar.wait(0.05)
    refresh = time.perf_counter() - began
    poller.stop()

    p99 = quantiles(poller.seconds, n=100)[98]
    figures.append(
        f"five profiles, first credentials of all after {first:.1f} s; refreshed again in {refresh:.1f} s",
    )
    figures.append(
        f"endpoint during that exchange: {len(poller.seconds)} responses, p50 {median(poller.seconds) * 1e3:.1f} ms, "
        f"p99 {p99 * 1e3:.0f} ms, slowest {max(poller.seconds) * 1e3:.0f} ms"
    )
    figures.append(
        f"memory, anonymous and shared: at rest {at_rest / 1e6:.0f} MB, "
        f"maximum during the exchange {used / 1e6:.0f} MB; "
        f"the kernel's peak, page cache included, {group.peak_bytes() / 1e6:.0f} MB"
    )
    assert poller.statuses == {200}
    assert max(poller.seconds) < 1.0
    assert [line for line in sidecar.lines if line["event"] == "exchange_failed"] == []


def _refreshes(sidecar: Sidecar, name: str) -> list[dict[str, object]]:
    return [
        line for line in tuple(sidecar.lines) if line["event"] == "credentials_refreshed" and line["profile"] == name
    ]


def test_check_takes_at_most_three_times_a_bare_interpreter(
    run_sidecar: Run, group: ControlGroup, figures: list[str]
) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    bare = group.command([sys.executable, "-I", "-c", "pass"])
    check = group.command([sys.executable, "-I", "-m", "sidecar", "check", f"--admin-port={sidecar.admin_port}"])
    times: dict[str, list[float]] = {"bare": [], "check": []}
    for _ in range(12):
        for name, command in (("bare", bare), ("check", check)):
            began = time.perf_counter()
            assert subprocess.run(command, check=False, capture_output=True).returncode == 0
            times[name].append(time.perf_counter() - began)
    ratio = median(times["check"]) / median(times["bare"])
    figures.append(
        f"check: {median(times['check']) * 1e3:.0f} ms against {median(times['bare']) * 1e3:.0f} ms of "
        f"`python3 -I -c pass`: {ratio:.2f} x"
    )
    assert ratio <= 3.0
