"""The endpoint of a real daemon, and the servers that it is compared with."""

import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from examples.local.process import Sidecar
from tests.bench.compare import is_short
from tests.bench.daemons import Context, cores, on_core

__all__ = ("Server", "go", "ours", "uvicorn")

_HERE = Path(__file__).parent
_TARGET = "/v1/credentials/default"
# botocore's names of the fields of a credential process, and of a container endpoint.
_FIELDS = {"AccessKeyId": "AccessKeyId", "SecretAccessKey": "SecretAccessKey", "SessionToken": "Token"}


@dataclass(frozen=True)
class Server:
    """A server that runs on one core.

    Attributes:
        name: the name in the table.
        pid: its process id.
        port: its port on 127.0.0.1.
        token: the Authorization that it requires.
        body: the body of its responses.
    """

    name: str
    pid: int
    port: int
    token: str = field(repr=False)
    body: bytes = field(repr=False)

    def request(self, *, close: bool) -> str:
        """Return the request that botocore sends; with `close`, also `Connection: close`."""
        lines = [
            f"GET {_TARGET} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Accept-Encoding: identity",
            "Accept: application/json",
            "User-Agent: Botocore/1.40.0",
            f"Authorization: {self.token}",
            *(("Connection: close",) if close else ()),
        ]
        return "\r\n".join(lines) + "\r\n\r\n"

    def answer(self, *, close: bool) -> str:
        """Check the response with an HTTP client, and return its bytes.

        Raises:
            RuntimeError: the response is wrong.
            OSError: there is no response.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(self.request(close=close).encode())
            raw = b""
            while is_short(raw) and (part := sock.recv(65_536)):
                raw += part
        parsed = self._get(self.token)
        if parsed != (200, str(len(self.body)), self.body) or not raw.endswith(b"\r\n\r\n" + self.body):
            raise RuntimeError(f"{self.name} sends a wrong response: status {parsed[0]}, length {parsed[1]}")
        if self._get("x" * len(self.token))[0] == 200:
            raise RuntimeError(f"{self.name} does not check the token, so it cannot be compared")
        return raw.decode("latin-1")

    def _get(self, token: str) -> tuple[int, str | None, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", _TARGET, headers={"Authorization": token})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Length"), answer.read()

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its threads."""
        files = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def ours(sidecar: Sidecar) -> Server:
    """Return the endpoint of a daemon that has its first credentials.

    Raises:
        RuntimeError: the endpoint and the daemon's credentials file have different credentials.
    """
    sidecar.wait_for("credentials_refreshed")
    file = sidecar.profile_directory / "credentials.json"
    for _ in range(100):  # the file is written a moment after the log line
        body = sidecar.get().body
        served: dict[str, str] = json.loads(body)
        written: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        if all(served.get(name, "") == written.get(file_name) for file_name, name in _FIELDS.items()):
            return Server("ours", sidecar.process.pid, sidecar.port, sidecar.auth_token, body)
        sidecar.wait(0.05)
    raise RuntimeError("the endpoint and the credentials file have different credentials")


@contextlib.contextmanager
def go(context: Context, like: Server) -> Iterator[Server | str]:
    """Run ``peer.go`` for the block, on one core as the endpoint; yield the reason if it cannot run.

    Raises:
        subprocess.CalledProcessError: it does not compile.
    """
    if shutil.which("go") is None:
        yield "Go: not on PATH"
        return
    folder = context.folder / "go"
    folder.mkdir()
    shutil.copy(_HERE / "peer.go", folder / "main.go")
    environment = os.environ | {"GO111MODULE": "off", "CGO_ENABLED": "0", "GOFLAGS": ""}
    subprocess.run(("go", "build", "-o", "peer", "main.go"), cwd=folder, env=environment, check=True)
    with _running("Go", (str(folder / "peer"),), like, environment | {"GOMAXPROCS": "1"}) as server:
        yield server


@contextlib.contextmanager
def uvicorn(context: Context, like: Server) -> Iterator[Server | str]:
    """Run ``peer_asgi.py`` for the block; yield the reason if it cannot run."""
    if importlib.util.find_spec("uvicorn") is None:
        yield "uvicorn: not installed"
        return
    command = (context.python, "-I", str(_HERE / "peer_asgi.py"))
    with _running("uvicorn", command, like, dict(os.environ)) as server:
        yield server


@contextlib.contextmanager
def _running(name: str, command: Sequence[str], like: Server, environment: dict[str, str]) -> Iterator[Server]:
    with on_core(cores()[0]):
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        stdin, stdout = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)  # piped just above
        stdin.write(f"{like.token}\n{like.body.decode()}\n")
        stdin.flush()
        yield Server(name, process.pid, int(stdout.readline()), like.token, like.body)
    finally:
        process.kill()
        process.communicate()
