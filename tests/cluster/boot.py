"""Start and end a cluster."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

from tests.cluster.build import build
from tests.cluster.cluster import Cluster
from tests.cluster.keeper import remove
from tests.cluster.layout import CHECKOUT, Layout
from tests.cluster.services import write_files
from tests.cluster.system import check_machine, check_root, install_packages
from tests.cluster.versions import Kubernetes, chosen
from tests.cluster.waiting import wait_until

__all__ = ("down", "up")

_START_SECONDS = 60


def up(name: str = "main", *, parent: int | None = None, out: Callable[[str], object] = sys.stdout.write) -> Cluster:
    """Start the cluster of this name if it does not run, and return it.

    Args:
        name: the cluster's name; several clusters can run at the same time.
        parent: a process id; the cluster ends when this process ends.
        out: receives lines for a person.

    Raises:
        Unfit: the machine cannot run it.
        ValueError: a wrong name or KUBE_VERSION, or the running cluster has another version than KUBE_VERSION.
        TimeoutError, RuntimeError, subprocess.CalledProcessError: it did not start; nothing is left of it.
    """
    check_machine()
    layout, kubernetes = Layout.of(name), chosen()
    with layout.locked():
        cluster = Cluster.running(name)
        if cluster is not None:
            if "KUBE_VERSION" in os.environ and cluster.kubernetes != kubernetes:
                raise ValueError(f"cluster {name} runs Kubernetes {cluster.kubernetes.text}: end it, or use --name")
            out(f"cluster {name} already runs: Kubernetes {cluster.kubernetes.text}\n")
            return cluster
        remove(layout)  # the rest of a run that was killed
        try:
            return _start(layout, kubernetes, parent, out)
        except BaseException:
            remove(layout)
            raise


def down(name: str = "main") -> None:
    """End a cluster, and remove all of its files and groups. If there is no such cluster, do nothing.

    Raises:
        Unfit: the user is not root.
        ValueError: a wrong name.
        TimeoutError: a process did not end within 20 s.
    """
    check_root()
    layout = Layout.of(name)
    with layout.locked():
        remove(layout)


def _start(layout: Layout, kubernetes: Kubernetes, parent: int | None, out: Callable[[str], object]) -> Cluster:
    out(f"cluster {layout.name}: Kubernetes {kubernetes.text}\n")
    began = time.perf_counter()

    def report(text: str) -> None:
        out(f"{time.perf_counter() - began:6.1f} s  {text}\n")

    install_packages(report)
    binaries = build(kubernetes, report)
    began = time.perf_counter()
    layout.root.mkdir(parents=True, mode=0o700)
    write_files(layout, kubernetes)
    cluster = Cluster(layout, kubernetes, binaries)
    _start_keeper(layout, parent)
    report("namespaces are ready")
    cluster.start("etcd", "containerd", "kube-apiserver")
    cluster.await_apiserver()
    report("API server is ready")
    cluster.load(*sorted(binaries.images.glob("*.tar")))
    cluster.start("kube-controller-manager", "kube-scheduler", "kubelet")
    wait_until(
        lambda: _schedulable(cluster), what="a node that is Ready", seconds=_START_SECONDS, log=cluster.log("kubelet")
    )
    # Written last: without this file the start was incomplete, and the next `up` removes the cluster.
    (layout.root / "cluster.json").write_text(json.dumps({"kubernetes": kubernetes, "binaries": [*map(str, binaries)]}))
    report("node is Ready")
    return cluster


def _start_keeper(layout: Layout, parent: int | None) -> None:
    follow = [] if parent is None else [f"--with-parent={parent}"]
    with (layout.logs / "keeper.log").open("w") as log:
        # Forked twice: the keeper is not a child of this process, and runs after this command and its terminal end.
        subprocess.run(
            ["setsid", "--fork", sys.executable, "-m", "tests.cluster.keeper", layout.name, *follow],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )
    log_path = layout.logs / "keeper.log"
    wait_until(layout.control.exists, what="process 1 of the namespaces", seconds=20, log=log_path, every=0.02)


def _schedulable(cluster: Cluster) -> bool:
    """Return whether the node is Ready and without taints, and the default ServiceAccount exists."""
    cluster.check_alive()
    nodes = cluster.get("nodes")["items"]
    accounts = cluster.get("serviceaccounts", "-n", "default")["items"]
    return bool(accounts) and any(
        condition["type"] == "Ready" and condition["status"] == "True" and not node["spec"].get("taints")
        for node in nodes
        for condition in node["status"].get("conditions", [])
    )
