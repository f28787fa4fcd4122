"""What `clients.py` called in a pod, read from the container's log."""

import json
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.cluster.cluster import Cluster
from tests.cluster.tutorial import APPLICATION
from tests.cluster.waiting import wait_until

__all__ = ("PARAMETER", "Call", "FollowedLog", "calls", "command", "whole")

PARAMETER = "/demo/demo/image-id"
_SEVERAL = 10
_SCRIPT = Path(__file__).with_name("clients.py").read_text()


class Call(NamedTuple):
    """One call.

    Attributes:
        at: when it ended, in seconds since the epoch, by the container runtime's clock: the node's.
        label: of the process that made it.
        loop: "kept" or "new".
        key: the access key id that signed it; empty where it failed.
        error: empty where it did not.
    """

    at: float
    label: str
    loop: str
    key: str
    error: str


class FollowedLog:
    """The log of an application's container to its end, also where the pod is gone by then; from `__enter__` on.

    Args:
        cluster: where it runs.
        namespace: of the pod.
        pod: its name; the container runs.
        file: takes the log.
    """

    def __init__(self, cluster: Cluster, namespace: str, pod: str, file: Path) -> None:
        self._cluster = cluster
        self._command = ["kubectl", "logs", "--follow", *_log_of(namespace, pod)]
        self._file = file

    def __enter__(self) -> Self:
        with self._file.open("w") as target:
            self._process = subprocess.Popen(
                self._cluster.in_network(self._command),
                env=self._cluster.environment(),
                stdin=subprocess.DEVNULL,
                stdout=target,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def await_calls(self) -> None:
        """Wait for several calls.

        Raises:
            TimeoutError: they did not come.
        """
        wait_until(lambda: self._file.read_text().count("\n") > _SEVERAL, what="calls", seconds=30)

    def to_the_end(self, seconds: float) -> str:
        """Return the whole log, once the container has ended.

        Raises:
            subprocess.TimeoutExpired: it has not within so many seconds.
        """
        self._process.wait(seconds)
        return self._file.read_text()


def command(label: str = "application", *, drain_seconds: float = 1) -> list[str]:
    """Return the command of a container that calls until it is told to end, and so many seconds longer."""
    return ["python3", "-c", _SCRIPT, label, PARAMETER, str(drain_seconds)]


def calls(cluster: Cluster, namespace: str, pod: str) -> list[Call]:
    """Return the calls of a pod so far, oldest first."""
    return [call for call in _parsed(cluster.kubectl("logs", *_log_of(namespace, pod))) if isinstance(call, Call)]


def whole(log: str, labels: Sequence[str] = ("application",)) -> list[Call]:
    """Return the calls of a log that is complete: each process has said at its end how many there were.

    Raises:
        AssertionError: it is not.
    """
    lines = _parsed(log)
    found = [line for line in lines if isinstance(line, Call)]
    ends = dict(line for line in lines if not isinstance(line, Call))
    assert ends == {label: sum(call.label == label for call in found) for label in labels}
    return found


def _log_of(namespace: str, pod: str) -> list[str]:
    return ["--timestamps", "-n", namespace, pod, "-c", APPLICATION]


def _parsed(log: str) -> list[Call | tuple[str, int]]:
    found: list[Call | tuple[str, int]] = []
    for line in log.splitlines():
        time, text = line.split(" ", 1)
        fields = json.loads(text)
        if "calls" in fields:
            found.append((fields["label"], fields["calls"]))
        else:
            found.append(Call(datetime.fromisoformat(time).timestamp(), **fields))
    return found
