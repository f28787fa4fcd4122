"""A thread for file operations: a volume that hangs or is full must not delay an answer."""

import queue
import threading
from collections.abc import Callable

__all__ = ("FileThread",)


class FileThread:
    """Does file operations one after the other, on its own thread instead of the event loop.

    Args:
        failed: called on that thread with the error of a failed operation; the next operation follows.
    """

    def __init__(self, failed: Callable[[OSError], None]) -> None:
        self._failed = failed
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon thread: a write that hangs in the kernel must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="files", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        """Queue an operation; returns at once."""
        self._work.put(work)

    def stop(self, timeout: float) -> None:
        """Finish the queued operations, but wait no longer than ``timeout`` seconds."""
        self._work.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except OSError as error:
                self._failed(error)
