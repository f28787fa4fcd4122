"""Starts the scripts of a run of continuous integration, and ends with it those that still run.

Nothing but the standard library of Python 3.11: it runs before anything is installed.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 20


class Processes:
    """The running scripts. Each is a process group, so that a signal reaches its children."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = threading.Event()

    def run(self, script: str, environment: Mapping[str, str], output: Path | None = None) -> int | None:
        """Run a bash script in the checkout.

        Args:
            script: it stops at the first command that fails.
            environment: the whole environment of the script.
            output: a file for its standard output and standard error; by default those of this process.

        Returns:
            The exit status of the script; None after `close`.
        """
        command = ["bash", "-euo", "pipefail", "-c", script]
        with contextlib.ExitStack() as stack:
            target = stack.enter_context(output.open("ab")) if output else None
            with self._lock:
                if self._closed.is_set():
                    return None
                process = subprocess.Popen(  # noqa: S603 - the table is part of the repository
                    command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=target,
                    stderr=subprocess.STDOUT if target else None, process_group=0,
                )  # fmt: skip
                self._running.add(process)
            status = process.wait()
            with self._lock:
                self._running.discard(process)
                return None if self._closed.is_set() else status

    def close(self) -> None:
        """End the running scripts, by SIGTERM and after PATIENCE_SECONDS by SIGKILL, and start no more."""
        with self._lock:
            self._closed.set()
            running = list(self._running)
        for number in (signal.SIGTERM, signal.SIGKILL):
            running = [process for process in running if _signalled(process, number)]
            until = time.perf_counter() + PATIENCE_SECONDS
            while running and time.perf_counter() < until:
                time.sleep(0.05)
                running = [process for process in running if _signalled(process, 0)]


def _signalled(process: "subprocess.Popen[bytes]", number: int) -> bool:
    """Send a signal to the group, and return whether it still exists."""
    process.poll()  # the leader of a group counts as alive until it is waited for
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True
