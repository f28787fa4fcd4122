"""One JSON line as the request and one as the response, over a Unix socket, which works between network namespaces."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ("RequestFailed", "answer", "ask", "listen")

_SECONDS = 30.0


class RequestFailed(RuntimeError):  # noqa: N818 - reads well in the tests
    """The response of the other process is an error."""


def ask(path: Path, request: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Send a request to the process that listens at `path`, and return its result.

    Raises:
        RequestFailed: the response is an error.
        OSError: no process listens, or there was no response within 30 s.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(str(path))
        connection.sendall(json.dumps(request).encode() + b"\n")
        document = json.loads(_line(connection))
    if "error" in document:
        raise RequestFailed(document["error"])
    return document["result"]


def listen(path: Path) -> socket.socket:
    """Return a socket that listens at `path`, with mode 0600; the path exists only after the socket listens."""
    listener = socket.socket(socket.AF_UNIX)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    listener.bind(str(new))
    new.chmod(0o600)
    listener.listen(16)
    new.rename(path)
    return listener


def answer(connection: socket.socket, handle: Callable[[dict[str, Any]], Any]) -> None:
    """Read one request, send the response, and close; an exception of `handle` becomes the response's error."""
    with connection:
        connection.settimeout(_SECONDS)
        try:
            document: dict[str, Any] = {"result": handle(json.loads(_line(connection)))}
        except Exception as error:  # noqa: BLE001 - sent to the client
            document = {"error": f"{type(error).__name__}: {error}"}
        connection.sendall(json.dumps(document).encode() + b"\n")


def _line(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as file:
        line = file.readline()
    if not line.endswith(b"\n"):
        raise ConnectionError("the other process closed the connection before the end of its line")
    return line
