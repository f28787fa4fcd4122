"""A handle on a running cluster, for tests and for the command line."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.build import Binaries
from tests.cluster.groups import Group
from tests.cluster.layout import BRIDGE_ADDRESS, Layout
from tests.cluster.lines import ask
from tests.cluster.pki import new_signing_key
from tests.cluster.services import api_server_flags, commands, with_flags
from tests.cluster.versions import Kubernetes
from tests.cluster.waiting import tail, wait_until

__all__ = ("Cluster", "CommandFailed")

_PEER = struct.Struct("3i")


class CommandFailed(RuntimeError):  # noqa: N818 - reads well in the tests
    """A command failed; the text has its standard error, `status` its exit status, `output` its standard output."""

    def __init__(self, command: Sequence[str], done: "subprocess.CompletedProcess[str]") -> None:
        super().__init__(f"exit status {done.returncode} of `{' '.join(command)}`:\n{done.stderr}")
        self.status = done.returncode
        self.output = done.stdout
        self.stderr = done.stderr


class Cluster:
    """The actions on a running cluster.

    Args:
        layout: its state directory.
        kubernetes: its version.
        binaries: its programs.
    """

    address = BRIDGE_ADDRESS
    """The node's address in the cluster's network; pods can connect to it."""

    def __init__(self, layout: Layout, kubernetes: Kubernetes, binaries: Binaries) -> None:
        self.layout = layout
        self.kubernetes = kubernetes
        self.binaries = binaries
        self.node = layout.node
        self.kubeconfig = layout.config / "admin.kubeconfig"
        self.ca_file = layout.pki / "ca.pem"
        """The CA of the API server's certificate, PEM; it is in the served chain."""
        self._group = Group(layout.name)

    @classmethod
    def running(cls, name: str = "main") -> "Cluster | None":
        """Return the cluster of this name, or None if it does not run."""
        layout = Layout.of(name)
        try:
            ask(layout.control, {"do": "status"})
            document = json.loads((layout.root / "cluster.json").read_text())
        except OSError:
            return None
        return cls(layout, Kubernetes(*document["kubernetes"]), Binaries(*map(Path, document["binaries"])))

    # Commands

    def kubectl(self, *arguments: str, input: str | None = None, kubeconfig: Path | None = None) -> str:  # noqa: A002
        """Run kubectl, and return its standard output.

        Args:
            arguments: the arguments of kubectl.
            input: its standard input.
            kubeconfig: the kubeconfig of the user; the administrator's by default.

        Raises:
            CommandFailed: its exit status was not 0.
        """
        return self.run(["kubectl", *arguments], input=input, kubeconfig=kubeconfig)

    def helm(self, *arguments: str, kubeconfig: Path | None = None) -> str:
        """Run helm as `kubectl` runs kubectl."""
        return self.run(["helm", *arguments], kubeconfig=kubeconfig)

    def run(self, command: Sequence[str], *, input: str | None = None, kubeconfig: Path | None = None) -> str:  # noqa: A002
        """Run a program in the cluster's network, with the machine's files and processes; see `kubectl`."""
        done = subprocess.run(
            self.in_network(command),
            input=input,
            capture_output=True,
            text=True,
            env=self.environment(kubeconfig),
            check=False,
        )
        if done.returncode:
            raise CommandFailed(command, done)
        return done.stdout

    def get(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever the object is
        """Return `kubectl get ... -o json`, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, manifest: str | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Apply objects: YAML text, one object, or several objects."""
        if isinstance(manifest, Mapping):
            manifest = [manifest]
        if not isinstance(manifest, str):
            manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifest)})
        self.kubectl("apply", "-f", "-", input=manifest)

    def exec(self, pod: str, container: str, *command: str, namespace: str = "default") -> str:
        """Run a command in a container, and return its standard output."""
        return self.kubectl("exec", "-n", namespace, pod, "-c", container, "--", *command)

    def wait(self, thing: str, condition: str, *, namespace: str = "default", seconds: float = 120) -> None:
        """Wait for `kubectl wait --for=<condition>` on `thing`, such as "pod/a" and "condition=Ready".

        Raises:
            TimeoutError: the condition did not become true; the text has `kubectl describe` and the kubelet's log.
        """
        try:
            self.kubectl("wait", "-n", namespace, f"--for={condition}", f"--timeout={seconds:.0f}s", thing)
        except CommandFailed as failed:
            described = subprocess.run(
                self.in_network(["kubectl", "describe", "-n", namespace, thing]),
                capture_output=True, text=True, env=self.environment(), check=False,
            )  # fmt: skip
            raise TimeoutError(f"{failed}\n{described.stdout}{tail(self.log('kubelet'))}") from failed

    def new_namespace(self, name: str, **labels: str) -> None:
        """Create a namespace, and wait for its default ServiceAccount, which pods need."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        self._await_account(name)

    def load(self, *archives: Path) -> None:
        """Import images from archives (docker or OCI), for pods with `imagePullPolicy: IfNotPresent`."""
        for archive in archives:
            self.run(["ctr", f"--address={self.layout.containerd}", "-n=k8s.io", "images", "import", str(archive)])

    # Processes

    def in_network(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` in the cluster's network namespace only."""
        return ["nsenter", f"--target={self.process_one()}", "--net", "--", *command]

    def enter(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` in the cluster's network, mount and PID namespaces, in this directory.

        The command ends with the thread that started it, and with the cluster. Its /etc/hosts has the API server.
        """
        namespaces = ["nsenter", f"--target={self.process_one()}", "--net", "--mount", "--pid", "--"]
        # Twice: nsenter forks to enter a PID namespace, and its child would survive when nsenter is killed.
        follow = ["setpriv", "--pdeathsig=KILL", "--"]
        return [*follow, *namespaces, *follow, "env", f"--chdir={Path.cwd()}", *command]

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """Return the environment of kubectl, helm and ctr, without the user's settings."""
        return {
            "PATH": self.binaries.path(),
            "HOME": str(self.layout.home),
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "TERM": os.environ.get("TERM", "dumb"),
        }

    def status(self) -> dict[str, dict[str, int]]:
        """Return `{"running": {service: pid}, "ended": {service: wait status}}`."""
        answered: dict[str, dict[str, int]] = ask(self.layout.control, {"do": "status"})
        return answered

    def log(self, service: str) -> Path:
        """Return the log of a service, such as "kubelet"; `pods` is the directory of the containers' logs."""
        return self.layout.logs / ("pods" if service == "pods" else f"{service}.log")

    def start(self, *services: str) -> None:
        """Start services."""
        for service in services:
            self._start(service, commands(self.layout, self.kubernetes)[service])

    def stop(self, service: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a service, SIGKILL by default, and wait until it has ended."""
        ask(self.layout.control, {"do": "stop", "name": service, "signal": number})
        wait_until(
            lambda: service not in self.status()["running"], what=f"the end of {service}", seconds=30, every=0.02
        )

    def check_alive(self) -> None:
        """Raise `RuntimeError` with the end of the log if a service has ended."""
        for service, status in self.status()["ended"].items():
            code = os.waitstatus_to_exitcode(status)
            raise RuntimeError(f"{service} has ended with status {code}{tail(self.log(service))}")

    # The API server

    def stop_apiserver(self) -> None:
        """Kill the API server."""
        self.stop("kube-apiserver")

    def start_apiserver(self, flags: Mapping[str, str | None] | None = None) -> None:
        """Start the API server, and wait until it is ready.

        Args:
            flags: flags to set, or to remove if None: {"authentication-config": None, "anonymous-auth": "false"}.
        """
        changed = {**api_server_flags(self.layout, self.kubernetes), **(flags or {})}
        present = {name: value for name, value in changed.items() if value is not None}
        self._start("kube-apiserver", with_flags("kube-apiserver", present))
        self.await_apiserver()

    def restart_apiserver(self, flags: Mapping[str, str | None] | None = None) -> None:
        """Kill the API server and start it again, with its default flags if none are given.

        The controller manager and the scheduler are restarted too, because they double the time until their next try
        with each refused connection, up to a minute. They work when this returns.
        """
        self.stop_apiserver()
        self.start_apiserver(flags)
        for client in ("kube-controller-manager", "kube-scheduler"):
            self.stop(client)
            self.start(client)
        self.kubectl("delete", "serviceaccount", "default", "-n", "kube-public", "--ignore-not-found")
        self._await_account("kube-public")

    def await_apiserver(self, seconds: float = 60) -> None:
        """Wait until the API server is ready."""
        wait_until(self._ready, what="/readyz of the API server", seconds=seconds, log=self.log("kube-apiserver"))

    def rotate_signing_key(self) -> None:
        """Make a new key sign tokens; the previous public keys stay in the key set. Restarts the API server."""
        path = self.layout.pki / f"service-account-{len(self.layout.signing_keys) + 1}.key"
        new_signing_key(path, self.layout.public_keys)
        self.restart_apiserver()

    # Users and containers

    def pod_cgroup(self, uid: str, container: str) -> list[Path]:
        """Return a container's cgroup folders of the controllers cpu and memory, which are the same on cgroup v2.

        Args:
            uid: the pod's UID.
            container: the container's name, which can be an init container.

        Raises:
            LookupError: no such container runs.
        """
        for pod in self.get("pods", "--all-namespaces")["items"]:
            if pod["metadata"]["uid"] == uid:
                for status in _statuses(pod["status"]):
                    if status["name"] == container and "containerID" in status:
                        return self._group.container(uid, re.sub("^containerd://", "", status["containerID"]))
        raise LookupError(f"no container {container} in a pod with UID {uid}")

    def _await_account(self, namespace: str) -> None:
        what, log = f"a ServiceAccount in namespace {namespace}", self.log("kube-controller-manager")
        wait_until(lambda: self.get("serviceaccounts", "-n", namespace)["items"], what=what, seconds=90, log=log)

    def _start(self, service: str, command: list[str]) -> None:
        environment = {"PATH": self.binaries.path(), "HOME": str(self.layout.home)}
        ask(self.layout.control, {"do": "start", "name": service, "command": command, "environment": environment})

    def _ready(self) -> bool:
        self.check_alive()
        try:
            return self.kubectl("get", "--raw", "/readyz") == "ok"
        except CommandFailed:
            return False

    def process_one(self) -> int:
        """Return the id of process 1 outside of its PID namespace; the kernel saves it with the listening socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.layout.control))
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        pid: int = _PEER.unpack(peer)[0]
        return pid


def _statuses(status: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
