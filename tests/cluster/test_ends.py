"""No process, mount, group, interface or file is left after the end of a cluster, in each way to end it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.groups import Group
from tests.cluster.layout import CHECKOUT, Layout
from tests.cluster.test_cluster import run_pod
from tests.cluster.waiting import wait_until

NAME = "second"  # the session's cluster keeps running
SYSCTLS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
PLACES = ("/run", "/var/lib", "/var/log", "/opt", "/etc", "/etc/cni", "/usr/libexec")
# Another process may build an image at the same time.
BUILDAH = re.compile("/var/lib/containers|/run/(libpod|containers|buildah)")

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def parent() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that the cluster follows."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "tests.cluster", f"--name={NAME}", *arguments], cwd=CHECKOUT, check=True)


def machine() -> dict[str, set[str]]:
    """Return the objects of the machine that a cluster could leave behind."""
    # Not deeper: folders of pods are created and removed at any time.
    hierarchies = (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir())
    groups = [group for one in hierarchies if one.is_dir() for group in one.glob("aws-oidc-sidecar-cluster-*")]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    paths = [str(path) for place in PLACES if Path(place).is_dir() for path in Path(place).iterdir()]
    return {
        "mounts": {line for line in mounts if not BUILDAH.search(line)},
        "groups": {str(path) for path in groups},
        "interfaces": {path.name for path in Path("/sys/class/net").iterdir()},
        "directories": {path for path in paths if not BUILDAH.search(path)},
        "state": {str(path) for path in Layout.of(NAME).root.parent.glob("*")},
        "sysctls": {f"{name} {Path('/proc/sys', name).read_text()}" for name in SYSCTLS},
    }


def born(pid: int) -> str:
    """Return the start time of a process, which identifies it together with its id; empty if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    # A zombie has ended; it waits for the machine's process 1 to reap it.
    return "" if fields[0] == "Z" else fields[19]


def keeper() -> int:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"tests.cluster.keeper" in words and NAME.encode() in words:
            return int(path.name)
    raise LookupError("no keeper runs")


@pytest.mark.parametrize("end", ["down", "keeper killed", "keeper killed, up", "process 1 killed", "parent killed"])
def test_nothing_is_left(cluster: Cluster, parent: "subprocess.Popen[bytes]", end: str) -> None:
    before = machine()
    command("up", f"--with-parent={parent.pid}")
    second = Cluster.running(NAME)
    assert second is not None
    second.new_namespace("full")
    run_pod(second, "full")
    group = Group(NAME)
    processes = {pid: born(pid) for pid in [*group.processes(), keeper()]}
    assert len(processes) > 10

    if end.startswith("keeper killed"):
        os.kill(keeper(), signal.SIGKILL)
        if end.endswith("up"):
            command("up", f"--with-parent={parent.pid}")
        command("down")
    elif end == "down":
        command("down")
    else:
        os.kill(parent.pid if end == "parent killed" else second.process_one(), signal.SIGKILL)
        # Without a command: the keeper removes the cluster.
        wait_until(lambda: not second.layout.root.exists(), what="the end of the state directory", seconds=20)
        wait_until(lambda: not any(map(born, processes)), what="the end of the keeper", seconds=5, every=0.02)

    assert {pid for pid, time in processes.items() if time and born(pid) == time} == set()
    assert {kind: found - before[kind] for kind, found in machine().items() if found - before[kind]} == {}
    assert cluster.get("nodes")["items"], "the other cluster still works"
