"""A kubelet that rotates one projected token, or misbehaves on request.

Rotation follows https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/kubelet/token/token_manager.go: a token is
replaced once 80 % of its lifetime, or 24 h, less a jitter of up to 10 s, have passed. The real kubelet checks this at
each pod sync, every 60 to 90 s; this kubelet checks it every `sync_seconds`.
"""

import random
import threading
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.local.clock import Clock
from examples.local.issuer import Issuer
from examples.local.volume import ProjectedVolume

_MAX_JITTER_SECONDS = 10.0
_MAX_AGE_SECONDS = 24 * 3600.0
# 10 s is a sixtieth of the minimum lifetime in Kubernetes, 600 s; the shorter lifetimes of tests get the same share.
_JITTER_SHARE = 1 / 60


def rotate_at(issued_at: float, expires_at: float, jitter: float) -> float:
    """Return when a token is due for replacement.

    Args:
        issued_at: wall time in seconds.
        expires_at: wall time in seconds.
        jitter: 0 to 1, the share of the maximum jitter for this lifetime.
    """
    lifetime = expires_at - issued_at
    earlier = jitter * min(_MAX_JITTER_SECONDS, lifetime * _JITTER_SHARE)
    return issued_at + min(0.8 * lifetime, _MAX_AGE_SECONDS) - earlier


class Misbehaviour(StrEnum):
    """A wrong state of the token file."""

    MISSING = "missing"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    UNREADABLE = "unreadable"
    """Mode 0000, as kubelets before 1.27 could leave it for a moment. Root can still read it: where the tests run as
    root, use `DIRECTORY`, which no user can read as a file."""
    DIRECTORY = "directory"
    EXPIRED = "expired"
    """A valid token whose `exp` is an hour ago: beyond IAM's leeway of five minutes."""
    STALE = "stale"
    """The file does not change and is not rotated, as when the kubelet cannot reach the API server."""


class Kubelet:
    """Rotates the token file of a volume, in a thread between `__enter__` and `__exit__`.

    Without the thread, `sync` does one pod sync.

    Args:
        issuer: signs the tokens.
        directory: the mount point.
        clock: wall time in seconds.
        namespace: the pod's namespace.
        service_account: the pod's ServiceAccount.
        audience: the token's audience.
        pod: the pod's name.
        lifetime_seconds: the lifetime of each token.
        sync_seconds: real seconds between two syncs of the thread.
        file_name: the name of the token file in the volume.
        mode: the mode of the token file.
        seed: the seed of the jitter.
    """

    def __init__(  # noqa: PLR0913 - the fields of a pod's projected token, each by name
        self,
        issuer: Issuer,
        directory: Path,
        *,
        clock: Clock,
        namespace: str = "default",
        service_account: str = "aws-parameter-reader",
        audience: str = "sts.amazonaws.com",
        pod: str = "aws-test",
        lifetime_seconds: float = 3600,
        sync_seconds: float = 0.1,
        file_name: str = "token",
        mode: int = 0o644,
        seed: int = 0,
    ) -> None:
        self.volume = ProjectedVolume(directory, file_name=file_name, mode=mode, clock=clock)
        self._issuer = issuer
        self._clock = clock
        self._namespace = namespace
        self._service_account = service_account
        self._audience = audience
        self._pod = pod
        self.lifetime_seconds = lifetime_seconds
        self._sync_seconds = sync_seconds
        self._random = random.Random(seed)  # noqa: S311 - a jitter that a test can repeat, not a secret
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._misbehaviour: Misbehaviour | None = None
        self._rotate_at = float("-inf")
        self.rotations = 0
        """The number of valid tokens that were published."""
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Publish the first token, then rotate in the background."""
        self.sync()
        self._thread = threading.Thread(target=self._run, name="kubelet")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop rotating; the volume does not change, as when the kubelet has stopped."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def path(self) -> Path:
        """The token file that a container reads."""
        return self.volume.path

    @property
    def next_rotation(self) -> float:
        """When the current token is due for replacement, wall time in seconds; -inf before the first."""
        return self._rotate_at

    def sync(self) -> bool:
        """Do one pod sync: rotate when it is due and no misbehaviour is active. Return whether it rotated."""
        with self._lock:
            due = self._misbehaviour is None and self._clock() >= self._rotate_at
            if due:
                self._rotate()
            return due

    def rotate_now(self) -> str:
        """Publish a new token at once and return it; this ends a misbehaviour."""
        with self._lock:
            self._misbehaviour = None
            return self._rotate()

    heal = rotate_now

    def misbehave(self, how: Misbehaviour) -> None:
        """Put the file into a wrong state by the kubelet's swap, and stop rotating until `heal`."""
        with self._lock:
            self._misbehaviour = how
            name = self.volume.path.name
            match how:
                case Misbehaviour.MISSING:
                    self.volume.publish({})
                case Misbehaviour.EMPTY:
                    self.volume.swap("")
                case Misbehaviour.TRUNCATED:
                    token = self._mint(self._clock())
                    self.volume.swap(token[: len(token) // 2])
                case Misbehaviour.UNREADABLE:
                    self.volume.publish({name: self._mint(self._clock()).encode()}, mode=0)
                case Misbehaviour.DIRECTORY:
                    self.volume.publish({f"{name}/file": b""})
                case Misbehaviour.EXPIRED:
                    self.volume.swap(self._mint(self._clock() - self.lifetime_seconds - 3600))
                case Misbehaviour.STALE:
                    pass

    def _rotate(self) -> str:
        issued_at = self._clock()
        token = self._mint(issued_at)
        self.volume.swap(token)
        self._rotate_at = rotate_at(issued_at, issued_at + self.lifetime_seconds, self._random.random())
        self.rotations += 1
        return token

    def _mint(self, issued_at: float) -> str:
        return self._issuer.mint(
            namespace=self._namespace,
            service_account=self._service_account,
            audience=self._audience,
            pod=self._pod,
            lifetime_seconds=self.lifetime_seconds,
            now=issued_at,
        )

    def _run(self) -> None:
        while not self._stopped.wait(self._sync_seconds):
            self.sync()
