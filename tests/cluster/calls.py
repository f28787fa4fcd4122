"""The calls that `clients.py` made in a pod, read from the container's log."""

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
        at: the time when it ended, in seconds since the epoch, by the node's clock.
        label: the label of the process that made the call.
        loop: "kept" or "new", see `clients.py`.
        key: the access key id that signed it; empty if the call failed.
        error: the error; empty if the call succeeded.
    """

    at: float
    label: str
    loop: str
    key: str
    error: str


class FollowedLog:
    """The complete log of an application's container, also when the pod is deleted; from `__enter__` on.

    Args:
        cluster: the cluster of the pod.
        namespace: the pod's namespace.
        pod: the pod's name; its container must run.
        file: the file that the log is written to.
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
        """Wait for more than ten calls.

        Raises:
            TimeoutError: there were fewer within 30 s.
        """
        wait_until(lambda: self._file.read_text().count("\n") > _SEVERAL, what="calls", seconds=30)

    def to_the_end(self, seconds: float) -> str:
        """Wait for the container's end, and return the complete log.

        Raises:
            subprocess.TimeoutExpired: the container did not end within ``seconds``.
        """
        self._process.wait(seconds)
        return self._file.read_text()


def command(label: str = "application", *, drain_seconds: float = 1) -> list[str]:
    """Return the command of a container that makes calls until `drain_seconds` after SIGTERM."""
    return ["python3", "-c", _SCRIPT, label, PARAMETER, str(drain_seconds)]


def calls(cluster: Cluster, namespace: str, pod: str) -> list[Call]:
    """Return the calls of a pod so far, oldest first."""
    return [call for call in _parsed(cluster.kubectl("logs", *_log_of(namespace, pod))) if isinstance(call, Call)]


def whole(log: str, labels: Sequence[str] = ("application",)) -> list[Call]:
    """Return the calls of a complete log: the last line of each process has the number of its calls.

    Raises:
        AssertionError: the log is not complete.
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
