"""The endpoint of a real daemon, and the servers that stand beside it."""

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
from tests.bench.daemons import Context, cores, on_core
from tests.bench.verdict import is_short

__all__ = ("Server", "go", "ours", "uvicorn")

_HERE = Path(__file__).parent
_TARGET = "/v1/credentials/default"
# The names that botocore calls the fields of a credential process by, and of a container endpoint.
_FIELDS = {"AccessKeyId": "AccessKeyId", "SecretAccessKey": "SecretAccessKey", "SessionToken": "Token"}


@dataclass(frozen=True)
class Server:
    """A server that is running on a core of its own.

    Attributes:
        name: as the table calls it.
        pid: its process.
        port: on 127.0.0.1.
        token: the Authorization that it wants.
        body: what it has to answer.
    """

    name: str
    pid: int
    port: int
    token: str = field(repr=False)
    body: bytes = field(repr=False)

    def request(self, *, close: bool) -> str:
        """Return the request that botocore sends, or the same for a connection that ends with it."""
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
        """Return every byte of the answer, once it is proven right as a client understands it.

        Raises:
            RuntimeError: it is not.
            OSError: there is none.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(self.request(close=close).encode())
            raw = b""
            while is_short(raw) and (part := sock.recv(65_536)):
                raw += part
        told = self._ask(self.token)
        if told != (200, str(len(self.body)), self.body) or not raw.endswith(b"\r\n\r\n" + self.body):
            raise RuntimeError(f"{self.name} answers wrongly: status {told[0]}, length {told[1]}")
        if self._ask("x" * len(self.token))[0] == 200:
            raise RuntimeError(f"{self.name} does not look at the token: it is no match")
        return raw.decode("latin-1")

    def _ask(self, token: str) -> tuple[int, str | None, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", _TARGET, headers={"Authorization": token})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Length"), answer.read()

    def cpu_seconds(self) -> float:
        """Return the CPU that all of its threads have taken."""
        files = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def ours(sidecar: Sidecar) -> Server:
    """Return the endpoint of a daemon that has its first credentials.

    Raises:
        RuntimeError: the endpoint serves another set than the file has that the daemon writes.
    """
    sidecar.wait_for("credentials_renewed")
    file = sidecar.profile_directory / "credentials.json"
    for _ in range(100):  # the file comes a moment after the line
        body = sidecar.get().body
        served: dict[str, str] = json.loads(body)
        written: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        if all(served.get(there, "") == written.get(here) for here, there in _FIELDS.items()):
            return Server("ours", sidecar.process.pid, sidecar.port, sidecar.auth_token, body)
        sidecar.wait(0.05)
    raise RuntimeError("the endpoint serves another set than the file has")


@contextlib.contextmanager
def go(context: Context, like: Server) -> Iterator[Server | str]:
    """Run ``peer.go`` for a block, on one core as the endpoint is; gives the reason where it cannot be.

    Raises:
        subprocess.CalledProcessError: it does not compile.
    """
    if shutil.which("go") is None:
        yield "Go: none on PATH"
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
    """Run ``peer_asgi.py`` for a block; gives the reason where it cannot be."""
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
