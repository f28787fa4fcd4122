"""Watches a daemon and its children through /proc, and sends signals to children when they start."""

import contextlib
import os
import signal
import threading
from pathlib import Path

__all__ = ("ProcessWatch",)

EVERY_SECONDS = 0.004


class ProcessWatch:
    """A thread that detects each child within milliseconds of the child's start, until ``close``.

    Args:
        pid: the process id of the daemon.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.seen: set[int] = set()
        """The process ids of the children so far."""
        self.shown: set[bytes] = set()
        """The command lines and environments so far, of the daemon and of its children."""
        self.core_limits: set[str] = set()
        """The limits of the core file of the children."""
        self.stopped: set[int] = set()
        """Children that are stopped by SIGSTOP."""
        self._signal: signal.Signals | None = None
        self._closing = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="process-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching, and continue stopped children."""
        self.let_go()
        self._closing.set()
        self._thread.join()

    def signal_each(self, number: signal.Signals) -> None:
        """Send this signal to each child that starts from now on."""
        self._signal = number

    def let_go(self) -> None:
        """Stop sending signals to children, and continue stopped children."""
        self._signal = None
        for child in tuple(self.stopped):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGCONT)
        self.stopped.clear()

    def wait_for_child(self, beyond: set[int], seconds: float = 20.0) -> int:
        """Wait for a child that is not in ``beyond``, and return its process id.

        Raises:
            TimeoutError: no such child started.
        """
        with self._news:
            if not self._news.wait_for(lambda: bool(self.seen - beyond), seconds):
                raise TimeoutError(f"no child started within {seconds} s")
            return max(self.seen - beyond)

    def wait_for_stopped(self, seconds: float = 20.0) -> None:
        """Wait until a child is stopped by SIGSTOP.

        Raises:
            TimeoutError: no child was stopped.
        """
        with self._news:
            if not self._news.wait_for(lambda: bool(self.stopped), seconds):
                raise TimeoutError(f"no child was stopped within {seconds} s")

    def _run(self) -> None:
        while not self._closing.wait(EVERY_SECONDS):
            self._look(self.pid)
            for child in self._children():
                if child not in self.seen:
                    self._appeared(child)
                self._look(child)
                with contextlib.suppress(OSError):
                    self.core_limits.add(core_limit(child))

    def _appeared(self, child: int) -> None:
        number = self._signal
        if number is signal.SIGSTOP and self._before_exec(child):
            return  # the daemon waits for the child's exec, and would hang with it: the next round finds it again
        if number is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
            if number is signal.SIGSTOP:
                self.stopped.add(child)
        with self._news:
            self.seen.add(child)
            self._news.notify_all()

    def _before_exec(self, child: int) -> bool:
        try:
            return Path(f"/proc/{child}/cmdline").read_bytes() == Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False

    def _children(self) -> list[int]:
        try:
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return []
        return [int(word) for word in text.split()]

    def _look(self, pid: int) -> None:
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                self.shown.add(Path(f"/proc/{pid}/{name}").read_bytes())


def core_limit(pid: int) -> str:
    """Return the soft limit of a process's core file.

    Raises:
        OSError: the process has ended.
    """
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next((line.split()[4] for line in lines if line.startswith("Max core file size")), "")
