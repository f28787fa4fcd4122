"""One JSON line asked, one answered, over a Unix socket: those reach from one network namespace into another."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ("Refused", "answer", "ask", "listen")

_SECONDS = 30.0


class Refused(RuntimeError):  # noqa: N818 - what the other side said, not a fault here
    """The other side answered with an error."""


def ask(path: Path, request: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return the answer of who listens at `path`.

    Raises:
        Refused: it answered with an error.
        OSError: nobody listens, or no answer within 30 s.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(str(path))
        connection.sendall(json.dumps(request).encode() + b"\n")
        document = json.loads(_line(connection))
    if "error" in document:
        raise Refused(document["error"])
    return document["result"]


def listen(path: Path) -> socket.socket:
    """Return a socket that listens at `path`, for this user alone; it listens from when the path is there."""
    listener = socket.socket(socket.AF_UNIX)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    listener.bind(str(new))
    new.chmod(0o600)
    listener.listen(16)
    new.rename(path)
    return listener


def answer(connection: socket.socket, handle: Callable[[dict[str, Any]], Any]) -> None:
    """Read one request, answer it, and close; an exception of `handle` is the answer's error."""
    with connection:
        connection.settimeout(_SECONDS)
        try:
            document: dict[str, Any] = {"result": handle(json.loads(_line(connection)))}
        except Exception as error:  # noqa: BLE001 - told to who asked
            document = {"error": f"{type(error).__name__}: {error}"}
        connection.sendall(json.dumps(document).encode() + b"\n")


def _line(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as file:
        line = file.readline()
    if not line.endswith(b"\n"):
        raise ConnectionError("the other side ended before its line did")
    return line
