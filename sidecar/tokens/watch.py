"""Watches files through the kubelet's ``..data`` swap: the token, and others mounted the same way.

The kubelet writes a projected volume by renaming a symlink beside the file (Kubernetes, AtomicWriter):
``token -> ..data/token`` and ``..data -> ..2026_11_24_07_03_16.2555831559``. A watch on the file itself
follows the old inode and hears nothing after the first swap, so the directory is watched. Events only make it
quick: each file is read every few seconds whatever inotify says, because under gVisor there is none, under
Kata it can come before the content, and a node has 128 instances per user.

One thread of our own reads the files, never the event loop: a disk that hangs must not stop an answer.
"""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver

from sidecar.clock import Clock
from sidecar.errors import TokenError, TokenProblem
from sidecar.limits import POLL_SECONDS, TOKEN_MAX_CHARS
from sidecar.model import Token
from sidecar.tokens import jwt

__all__ = ("ContentReader", "FileWatcher", "Sink", "TokenReader", "read_token")


class Sink(Protocol):
    """Hears of the token; called from the watcher's thread."""

    def token_seen(self, token: Token) -> None:
        """Take a token that differs from the one before, or is the first."""

    def token_trouble(self, error: TokenError) -> None:
        """Take why the file cannot be used; called once for each change of the reason."""


# More than a ConfigMap can hold.
_CONTENT_MAX_BYTES = 2_097_152


def read_token(path: Path) -> bytes:
    """Return the whole content of the token file, opened once.

    Raises:
        TokenError: MISSING, UNREADABLE, NOT_A_FILE or TOO_LARGE.
    """
    try:
        # O_NONBLOCK: a FIFO in place of the file must not hold the thread for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise TokenError(_problem_of(error)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise TokenError(TokenProblem.NOT_A_FILE)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(TOKEN_MAX_CHARS + 1_024)
            if file.read(1):
                raise TokenError(TokenProblem.TOO_LARGE)
            return content
    except OSError as error:
        raise TokenError(_problem_of(error)) from None
    finally:
        os.close(descriptor)


def _problem_of(error: OSError) -> TokenProblem:
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
        return TokenProblem.MISSING
    return TokenProblem.NOT_A_FILE if error.errno == errno.EISDIR else TokenProblem.UNREADABLE


class TokenReader:
    """Turns looks at the file into news: each token once, each problem once.

    A problem never takes a token away. That it has expired is a problem too, and one that no file event tells of:
    a kubelet that cannot reach the API server leaves the old file where it is.
    """

    def __init__(self, path: Path, sink: Sink, clock: Clock) -> None:
        self._path = path
        self._sink = sink
        self._clock = clock
        self._content: bytes | None = None
        self._token: Token | None = None
        self._problem: TokenProblem | None = None

    def look(self) -> None:
        """Read the file now and tell the sink what is new, if anything."""
        try:
            content = read_token(self._path)
            if content != self._content:
                self._token = jwt.parse(content)
                self._content, self._problem = content, None
                self._sink.token_seen(self._token)
        except TokenError as error:
            self._tell(error)
            return
        if self._token is not None and self._token.expires_at <= self._clock.now().wall:
            self._tell(TokenError(TokenProblem.EXPIRED))
        else:
            self._problem = None

    def _tell(self, error: TokenError) -> None:
        if error.problem is not self._problem:
            self._problem = error.problem
            self._sink.token_trouble(error)


class ContentReader:
    """Tells that a file is another than before; what is in it is for others to judge.

    Args:
        path: the file; that it cannot be read counts as a content like any other.
        changed: called from the watcher's thread; at the first look too, since the file may have changed after
            whoever asks had read it.
    """

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path
        self._changed = changed
        self._seen: bytes | str | None = None

    def look(self) -> None:
        """Read the file now and tell whether it has changed."""
        try:
            with self._path.open("rb") as file:
                content: bytes | str = file.read(_CONTENT_MAX_BYTES)
        except OSError as error:
            content = str(error.errno)
        if self._seen != content:
            self._seen = content
            self._changed()


class _Waker(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Our own reads come back as opened and closed events: waking for those would never end.
        if event.event_type not in {"opened", "closed_no_write"}:
            self._wake()


class FileWatcher:
    """Looks at each file when its directory changes, and every ``poll_seconds`` in any case.

    Args:
        looks: what to call for each file, from this watcher's own thread.
        mode: takes "" when file events work, else why not; polling goes on alone then.
        observer: makes a watchdog observer; ``None`` polls only.
        poll_seconds: the longest time that a change stays unseen.
    """

    def __init__(
        self,
        looks: Mapping[Path, Callable[[], None]],
        mode: Callable[[str], None],
        observer: Callable[[], BaseObserver] | None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._looks = tuple(looks.values())
        self._directories = tuple(dict.fromkeys(path.parent for path in looks))
        self._mode = mode
        self._make_observer = observer
        self._poll_seconds = poll_seconds
        self._observer: BaseObserver | None = None
        self._watched: dict[Path, tuple[int, int]] = {}
        self._wake = threading.Event()
        self._stopping = False
        # A daemon thread: a read that hangs in the kernel must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="file-watcher", daemon=True)

    def start(self) -> None:
        """Start watching; the first look happens at once, on the watcher's thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns without waiting for a read that hangs."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=0.2)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            self._watch_directories()
            for look in self._looks:
                look()
            self._wake.wait(self._poll_seconds)
        self._unwatch()

    def _watch_directories(self) -> None:
        """Have the directories watched that are there now: one that was replaced is another inode."""
        if self._make_observer is None:
            return
        found = {}
        for directory in self._directories:
            with contextlib.suppress(OSError):
                status = directory.stat()
                found[directory] = (status.st_dev, status.st_ino)
        if found == self._watched:
            return
        self._unwatch()
        try:
            self._observer = self._make_observer()
            for directory in found:
                self._observer.schedule(_Waker(self._wake.set), str(directory))
            self._observer.start()
        except (OSError, RuntimeError) as error:
            # EMFILE or ENOSPC: this node's inotify instances or watches are used up; RuntimeError: no thread.
            # Trying again would fail again and fill the log: poll from here on.
            self._make_observer = self._observer = None
            number = error.errno if isinstance(error, OSError) else None
            self._mode(errno.errorcode.get(number or 0, "unavailable"))
            return
        self._watched = found
        self._mode("")

    def _unwatch(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=1.0)
        self._observer, self._watched = None, {}
