"""Looks at a daemon and its children through /proc all the time, and does things to children as they appear."""

import contextlib
import os
import signal
import threading
from pathlib import Path

__all__ = ("ProcessWatch",)

EVERY_SECONDS = 0.004


class ProcessWatch:
    """A thread that sees each child within milliseconds of its start, from its own start to ``close``.

    Args:
        pid: the daemon.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.seen: set[int] = set()
        """Every child so far."""
        self.shown: set[bytes] = set()
        """Every command line and environment, of the daemon and of each child, at any time."""
        self.core_limits: set[str] = set()
        """The limit of the core file of every child."""
        self.stopped: set[int] = set()
        """Children that are held by SIGSTOP."""
        self._signal: signal.Signals | None = None
        self._closing = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="process-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking, and let go of what is held."""
        self.let_go()
        self._closing.set()
        self._thread.join()

    def signal_each(self, number: signal.Signals) -> None:
        """Send every child this signal from now on, as soon as it appears."""
        self._signal = number

    def let_go(self) -> None:
        """Leave children alone from now on, and continue those that are held."""
        self._signal = None
        for child in tuple(self.stopped):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGCONT)
        self.stopped.clear()

    def wait_for_child(self, beyond: set[int], seconds: float = 20.0) -> int:
        """Return a child that is not in ``beyond``.

        Raises:
            TimeoutError: none appeared.
        """
        with self._news:
            if not self._news.wait_for(lambda: bool(self.seen - beyond), seconds):
                raise TimeoutError("no child appeared")
            return max(self.seen - beyond)

    def wait_for_stopped(self, seconds: float = 20.0) -> None:
        """Wait until a child is held by SIGSTOP.

        Raises:
            TimeoutError: none appeared.
        """
        with self._news:
            if not self._news.wait_for(lambda: bool(self.stopped), seconds):
                raise TimeoutError("no child was stopped")

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
        if number is signal.SIGSTOP and self._is_ours_still(child):
            return  # its parent waits for its exec, and so would hang with it: the next look finds it again
        if number is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
            if number is signal.SIGSTOP:
                self.stopped.add(child)
        with self._news:
            self.seen.add(child)
            self._news.notify_all()

    def _is_ours_still(self, child: int) -> bool:
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
        OSError: it has ended.
    """
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next((line.split()[4] for line in lines if line.startswith("Max core file size")), "")
