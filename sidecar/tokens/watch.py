"""Watches files in volumes that the kubelet updates by a rename of ``..data``: the token, and others.

The kubelet writes a projected volume by renaming a symlink next to the file (Kubernetes, AtomicWriter):
``token -> ..data/token`` and ``..data -> ..2026_11_24_07_03_16.2555831559``. A watch on the file itself
follows the old inode and gets no event after the first rename, so the directory is watched. Events only make the
detection faster: each file is read every few seconds in any case, because gVisor has no inotify, under Kata an event
can come before the content, and a node has 128 inotify instances per user.

A separate thread reads the files, never the event loop: a disk that hangs must not delay an answer.
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
from sidecar.limits import CONTENT_MAX_BYTES, POLL_SECONDS, TOKEN_MAX_CHARS
from sidecar.model import Token
from sidecar.tokens import jwt

__all__ = ("ContentReader", "FileWatcher", "TokenReader", "TokenReceiver", "read_token_file")


class TokenReceiver(Protocol):
    """Receives changes of the token; called from the watcher's thread."""

    def token_seen(self, token: Token) -> None:
        """Process a token that is the first one, or differs from the previous one."""

    def token_unusable(self, error: TokenError) -> None:
        """Process the reason why the file cannot be used; called once for each change of the reason."""


def read_token_file(path: Path) -> bytes:
    """Return the whole content of the token file, opened once.

    Raises:
        TokenError: MISSING, UNREADABLE, NOT_A_FILE or TOO_LARGE.
    """
    try:
        # O_NONBLOCK: a FIFO in place of the file must not block the thread for ever.
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
    """Reads the token file and reports each token once and each problem once.

    After a problem the last token stays in use. An expired token is a problem too; no file event reports it, since a
    kubelet that cannot reach the API server leaves the old file in place.

    Args:
        path: the token file.
        receiver: receives tokens and problems.
        clock: gives the time that expirations are compared with.
    """

    def __init__(self, path: Path, receiver: TokenReceiver, clock: Clock) -> None:
        self._path = path
        self._receiver = receiver
        self._clock = clock
        self._content: bytes | None = None
        self._token: Token | None = None
        self._problem: TokenProblem | None = None

    def check(self) -> None:
        """Read the file now and report a change to the receiver."""
        try:
            content = read_token_file(self._path)
            if content != self._content:
                self._token = jwt.parse_token(content)
                self._content, self._problem = content, None
                self._receiver.token_seen(self._token)
        except TokenError as error:
            self._report(error)
            return
        if self._token is not None and self._token.expires_at <= self._clock.now().wall:
            self._report(TokenError(TokenProblem.EXPIRED))
        else:
            self._problem = None

    def _report(self, error: TokenError) -> None:
        if error.problem is not self._problem:
            self._problem = error.problem
            self._receiver.token_unusable(error)


class ContentReader:
    """Reports that the content of a file has changed; it does not interpret the content.

    Args:
        path: the file; an error on reading counts as a content too.
        changed: called from the watcher's thread; at the first check too, since the file may have changed since the
            caller read it.
    """

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path
        self._changed = changed
        self._seen: bytes | str | None = None

    def check(self) -> None:
        """Read the file now and call ``changed`` if its content is new."""
        try:
            with self._path.open("rb") as file:
                content: bytes | str = file.read(CONTENT_MAX_BYTES)
        except OSError as error:
            content = str(error.errno)
        if self._seen != content:
            self._seen = content
            self._changed()


class _Waker(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        # The reads of this thread cause opened and closed events: waking for those would never end.
        if event.event_type not in {"opened", "closed_no_write"}:
            self._wake()


class FileWatcher:
    """Checks each file when its directory changes, and every ``poll_seconds`` in any case.

    Args:
        checks: the function to call for each file, on the watcher's thread.
        mode: called with "" when file events work, else with the reason; the files are then only polled.
        observer: makes a watchdog observer; ``None`` polls only.
        poll_seconds: the longest time until a change is noticed.
    """

    def __init__(
        self,
        checks: Mapping[Path, Callable[[], None]],
        mode: Callable[[str], None],
        observer: Callable[[], BaseObserver] | None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._checks = tuple(checks.values())
        self._directories = tuple(dict.fromkeys(path.parent for path in checks))
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
        """Start watching; the first check happens at once, on the watcher's thread."""
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
            for check in self._checks:
                check()
            self._wake.wait(self._poll_seconds)
        self._unwatch()

    def _watch_directories(self) -> None:
        """Watch the directories that exist now; a directory that was replaced is another inode."""
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
            # Another attempt would fail again and fill the log: only poll from here on.
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
