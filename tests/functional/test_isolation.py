"""What other processes of the same user can read of the sidecar's processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from examples.local.process import COMMAND, Sidecar

Run = Callable[..., Sidecar]
# Root may read every process, by this capability. Tests that run as root drop it for the reader and for what is read:
# a process cannot read another one that has more capabilities, dumpable or not (capabilities(7)).
DROP = ("setpriv", "--bounding-set=-sys_ptrace", "--") if os.geteuid() == 0 else ()
READ = """
import os, sys
for pid in sys.argv[1:]:
    try:
        print(bool(os.listdir(f"/proc/{pid}/root")) and open(f"/proc/{pid}/maps").read(1) != "")
    except PermissionError:
        print("denied")
"""


def read(*pids: int) -> list[str]:
    command = [*DROP, sys.executable, "-I", "-S", "-c", READ, *map(str, pids)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def start(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [*DROP, sys.executable, "-I", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.mutant("processes of the same user can read the memory of a command", "the exchange process can be read")
def test_no_process_of_the_same_user_can_read_the_daemon_its_child_or_a_command(run_sidecar: Run) -> None:
    """The attacker: a container of the same user id under shareProcessNamespace, or a debug container."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        daemon = run_sidecar({"AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{port}"}, command=(*DROP, *COMMAND))
        daemon.wait_for("started")
        connection, _ = silent.accept()  # the child has sent its request, and waits for the answer
        with connection:
            probe = start("-m", "sidecar", "check", "--admin-port", port)
            waits, _ = silent.accept()
            plain = start("-S", "-c", "import time; print(1, flush=True); time.sleep(60)")
            assert plain.stdout
            plain.stdout.readline()
            with waits, probe, plain:
                (child,) = daemon.children()
                assert read(plain.pid) == ["True"], "an ordinary process can be read"
                assert read(daemon.process.pid, child, probe.pid) == ["denied"] * 3
                plain.kill()
                probe.kill()
    # Its own reads still work: /metrics has the values of stat, fd and limits.
    for metric in ("process_max_fds", "process_open_fds", "process_resident_memory_bytes"):
        assert metric in daemon.admin("/metrics").body.decode()
