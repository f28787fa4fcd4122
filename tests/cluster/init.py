"""Process 1 of a cluster's namespaces: sets up the node, starts services on request, and reaps processes.

``unshare`` starts it in new network, mount and PID namespaces. When it ends, the cluster ends: the kernel kills all
processes of a PID namespace whose process 1 has ended, and then removes the mounts and the interfaces.
"""

import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cluster.layout import API_HOST, BRIDGE_ADDRESS, POD_NETWORK, SERVICE_ADDRESS, Layout
from tests.cluster.lines import answer, listen

__all__ = ("Init", "main")

# A kubelet sets these for the machine. It gets copies, so that the machine does not change.
_SYSCTLS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
_BRIDGE_MAC = "0a:58:0a:58:00:01"


class Init:
    """Runs services, and responds to requests at the control socket until it is killed.

    Requests: `{"do": "start", "name": ..., "command": [...], "environment": {...}}`,
    `{"do": "stop", "name": ..., "signal": 9}`, which does not wait, and
    `{"do": "status"}` -> `{"running": {name: pid in this namespace}, "ended": {name: wait status}}`.

    Args:
        layout: the cluster's layout.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._running: dict[str, int] = {}
        self._ended: dict[str, int] = {}

    def serve(self) -> None:
        """Respond to requests and reap processes; does not return."""
        woken, wake = socket.socketpair()
        wake.settimeout(0)
        woken.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector, listen(self._layout.control) as listener:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is woken:
                        woken.recv(4096)
                        self._reap()
                    else:
                        self._answer(listener.accept()[0])

    def _answer(self, connection: socket.socket) -> None:
        try:
            answer(connection, self._do)
        except OSError as error:  # the client has ended, which must not end the cluster
            sys.stderr.write(f"a response was not sent: {error}\n")

    def _do(self, request: dict[str, Any]) -> object:
        self._reap()
        if request["do"] == "start":
            return self._start(request["name"], request["command"], request["environment"])
        if request["do"] == "stop":
            os.kill(self._running[request["name"]], request["signal"])
            return None
        if request["do"] == "status":
            return {"running": self._running, "ended": self._ended}
        raise ValueError(f"unknown request {request['do']}")

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> int:
        if name in self._running:
            raise ValueError(f"{name} already runs; stop it first")
        program = shutil.which(command[0], path=environment["PATH"])
        if program is None:
            raise ValueError(f"no {command[0]} in {environment['PATH']}")
        log = os.open(self._layout.logs / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # Not subprocess: its objects wait for their processes, and this process reaps all of them.
            actions = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ]
            pid = os.posix_spawn(program, command, environment, file_actions=actions, setsid=True)
        finally:
            os.close(log)
        self._ended.pop(name, None)
        self._running[name] = pid
        return pid

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name in [name for name, running in self._running.items() if running == pid]:
                del self._running[name]
                self._ended[name] = status


def _make_node(layout: Layout) -> None:
    """Set up a bridge, the service address, the API server's name, and writable directories in the namespaces."""
    _run("ip", "link", "set", "lo", "up")
    # A fixed MAC address: without it a bridge has the lowest address of its ports. When that changes with a new or a
    # deleted pod, the other pods send to the old address for some 8 s, until ARP finds the new one. (The CNI plugin
    # sets the address of bridges that it creates itself.)
    _run("ip", "link", "add", "cni0", "address", _BRIDGE_MAC, "type", "bridge")
    _run("ip", "address", "add", f"{BRIDGE_ADDRESS}/{POD_NETWORK.split('/')[1]}", "dev", "cni0")
    _run("ip", "link", "set", "cni0", "up")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _run("mount", "--bind", str(layout.logs), "/var/log")
    # The kubelet and the CNI plugins write to fixed paths below /var/lib; the overlay writes to the state directory.
    upper, work = layout.root / "var-lib", layout.root / "var-lib-work"
    upper.mkdir()
    work.mkdir()
    _run("mount", "-t", "overlay", "-o", f"lowerdir=/var/lib,upperdir={upper},workdir={work}", "overlay", "/var/lib")
    hosts = layout.config / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{BRIDGE_ADDRESS} {API_HOST} {layout.node}\n")
    _run("mount", "--bind", str(hosts), "/etc/hosts")
    for name in _SYSCTLS:
        copy = layout.config / name.replace("/", ".")
        copy.write_text(Path("/proc/sys", name).read_text())
        _run("mount", "--bind", str(copy), f"/proc/sys/{name}")
    for chain in ("PREROUTING", "OUTPUT"):
        service = ("-d", SERVICE_ADDRESS, "-p", "tcp", "--dport", "443")
        _run("iptables", "-t", "nat", "-A", chain, *service, "-j", "DNAT", "--to-destination", f"{BRIDGE_ADDRESS}:443")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def main() -> None:
    """Run as process 1 of the cluster that the argument names."""
    layout = Layout.of(sys.argv[1])
    _make_node(layout)
    Init(layout).serve()


if __name__ == "__main__":
    main()
