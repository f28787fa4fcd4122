"""Process 1 of a cluster's namespaces: makes them a node, runs the services it is told to, reaps what ends.

``unshare`` starts it in a network, a mount and a PID namespace of its own. Its end is the end of all of it: the kernel
kills what runs in a PID namespace whose process 1 is gone, and then the mounts and interfaces have no owner either.
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

# A kubelet sets these for the whole machine. It sees copies, so that the machine stays as it is.
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
    """Runs services, and answers at the control socket until it is killed.

    Requests: `{"do": "start", "name": ..., "command": [...], "environment": {...}}`,
    `{"do": "stop", "name": ..., "signal": 9}`, which does not wait, and
    `{"do": "status"}` -> `{"running": {name: pid in here}, "ended": {name: wait status}}`.

    Args:
        layout: of the cluster.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._running: dict[str, int] = {}
        self._ended: dict[str, int] = {}

    def serve(self) -> None:
        """Answer requests and reap processes, for ever."""
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
        except OSError as error:  # who asked is gone: nothing that may end a cluster
            sys.stderr.write(f"an answer was not taken: {error}\n")

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
            raise ValueError(f"{name} runs already")
        program = shutil.which(command[0], path=environment["PATH"])
        if program is None:
            raise ValueError(f"no {command[0]} in {environment['PATH']}")
        log = os.open(self._layout.logs / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # Not subprocess, whose objects want to wait for their processes themselves.
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
    """Give the namespaces a bridge, the service address, a name for the API server, and directories to write to."""
    _run("ip", "link", "set", "lo", "up")
    # Of its own: a bridge has the lowest address of its ports otherwise, and when that changes with a pod that comes or
    # goes, the others send to the one before for some 8 s, until they ask anew. (The CNI plugin sets the address of
    # bridges that it makes itself.)
    _run("ip", "link", "add", "cni0", "address", _BRIDGE_MAC, "type", "bridge")
    _run("ip", "address", "add", f"{BRIDGE_ADDRESS}/{POD_NETWORK.split('/')[1]}", "dev", "cni0")
    _run("ip", "link", "set", "cni0", "up")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _run("mount", "--bind", str(layout.logs), "/var/log")
    # Paths below it are fixed in the kubelet and in CNI plugins; what they write goes into the state directory.
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
    """Be process 1 of the cluster that the argument names."""
    layout = Layout.of(sys.argv[1])
    _make_node(layout)
    Init(layout).serve()


if __name__ == "__main__":
    main()
