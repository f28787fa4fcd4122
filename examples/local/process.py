"""The daemon as a process, started as in a pod; tests read its log lines and send requests to its ports."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from prometheus_client.parser import text_string_to_metric_families

__all__ = ("Answer", "Sidecar")

COMMAND = (sys.executable, "-I", "-m", "sidecar", "run")
TIMEOUT_SECONDS = 20.0
"""The timeout for an event that must come."""


class Answer(NamedTuple):
    """The response of an endpoint."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body, parsed as a JSON object."""
        value: dict[str, Any] = json.loads(self.body)
        return value


class Sidecar:
    """A running daemon.

    Args:
        environment: all of its variables.
        runtime: its runtime directory; the default profile's volume is created there.
        command: the command that starts it.
    """

    def __init__(self, environment: dict[str, str], runtime: Path, command: Sequence[str] = COMMAND) -> None:
        self.profile_directory = runtime / "profiles" / "default"
        self.profile_directory.mkdir(parents=True, exist_ok=True)
        self.lines: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        # stderr=PIPE above, so it is not None; typeshed cannot express this.
        self._stderr = cast("TextIO", self.process.stderr)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._stderr:
            with self._news:
                self.raw.append(line)
                if line.startswith("{"):
                    self.lines.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, event: str, count: int = 1, **fields: object) -> dict[str, Any]:
        """Wait for the ``count``-th line of this event with these fields, and return it.

        Raises:
            TimeoutError: the line did not come; the text has all lines so far.
        """

        def found() -> list[dict[str, Any]]:
            return [
                line
                for line in self.lines
                if line["event"] == event and all(line.get(name) == value for name, value in fields.items())
            ]

        with self._news:
            if not self._news.wait_for(lambda: len(found()) >= count, TIMEOUT_SECONDS):
                raise TimeoutError(f"no {event} {fields} number {count} in:\n{''.join(self.raw)}")
            return found()[count - 1]

    def wait(self, seconds: float) -> None:
        """Wait for the next log line, at most this many seconds."""
        with self._news:
            self._news.wait(seconds)

    def count(self, event: str) -> int:
        """Return the number of lines of this event so far."""
        with self._news:
            return sum(line["event"] == event for line in self.lines)

    @property
    def port(self) -> int:
        """The port of the credentials endpoint."""
        return int(self.wait_for("started")["endpoint_port"])

    @property
    def admin_port(self) -> int:
        """The port of health and metrics."""
        return int(self.wait_for("started")["admin_port"])

    @property
    def auth_token(self) -> str:
        """The content of the application's auth-token file."""
        self.wait_for("started")
        return (self.profile_directory / "auth-token").read_text()

    @property
    def application(self) -> dict[str, str]:
        """The variables with which an application finds the endpoint; NO_PROXY is not among them, tests set it."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{self.port}/v1/credentials/default",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.profile_directory / "auth-token"),
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }

    def get(self, path: str = "/v1/credentials/default", *, token: str | None = "", **headers: str) -> Answer:
        """Send a request to the credentials endpoint, with the right auth token by default; None sends no token."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = token or self.auth_token
        return _get(self.port, path, sent)

    def admin(self, path: str) -> Answer:
        """Send a request to the health and metrics listener."""
        return _get(self.admin_port, path, {})

    def metric(self, name: str, **labels: str) -> float:
        """Return one sample of ``/metrics``, at most a second old.

        Raises:
            KeyError: no sample has that name and these labels.
        """
        for family in text_string_to_metric_families(self.admin("/metrics").body.decode()):
            for sample in family.samples:
                if sample.name == f"aws_oidc_sidecar_{name}" and labels.items() <= sample.labels.items():
                    return float(sample.value)
        raise KeyError(name, labels)

    def kill(self) -> None:
        """Kill it and its children, as the kernel does with a container: a child could still send a request to STS."""
        children = self.children()
        self.process.kill()
        self.process.wait()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._reader.join()

    def terminate(self) -> tuple[int, float]:
        """Stop it by SIGTERM; return its exit status and the seconds that it took."""
        began = time.monotonic()  # noqa: TID251 - a measurement of real time
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(TIMEOUT_SECONDS)
        self._reader.join()
        return status, time.monotonic() - began  # noqa: TID251 - as above

    def children(self) -> list[int]:
        """Return the process ids of its children."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(word) for word in path.read_text().split()]
        except OSError:  # the process has ended
            return []

    def close(self) -> None:
        """End it in any state, also when it is stopped by SIGSTOP."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.kill()
        self._reader.join()
        self._stderr.close()


def _get(port: int, path: str, headers: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()
