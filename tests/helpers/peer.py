"""A client that sends HTTP byte by byte, so that tests can send malformed requests."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from sidecar.clock import Instant
from sidecar.model import Held
from tests.helpers.values import assume_role_result

__all__ = ("Peer", "Reply", "held", "replies_in", "request", "run", "until")

T = TypeVar("T")
_TIMEOUT_SECONDS = 20.0
_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Reply:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether it has `Connection: close`."""
        return self.headers.get("connection") == "close"


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` on a new event loop; if it does not end in time, the test fails."""

    async def bounded() -> T:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            return await main

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until ``condition`` holds."""
    while not condition():  # noqa: ASYNC110 - the condition can change in the kernel, without an event
        await asyncio.sleep(0.001)


def request(target: str = "/", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Return the bytes of a request with these field lines, and Host unless one is given."""
    lines = [f"{method} {target} HTTP/{version}", *headers]
    if not any(line.lower().startswith("host:") for line in headers):
        lines.append("Host: 127.0.0.1:9841")
    return "\r\n".join(lines).encode("latin-1") + _END


def replies_in(data: bytes) -> list[Reply]:
    """Return the responses in ``data``; none may be for a HEAD."""
    replies = []
    while data:
        reply, data = _split(data)
        replies.append(reply)
    return replies


def _head(data: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = data.decode("latin-1").split("\r\n")
    assert first.startswith("HTTP/1.1 "), first
    pairs = [line.split(": ", 1) for line in lines]
    assert len({name.lower() for name, _ in pairs}) == len(pairs), lines
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}


def _split(data: bytes) -> tuple[Reply, bytes]:
    head, _, rest = data.partition(_END)
    status, headers = _head(head)
    length = int(headers["content-length"])
    assert len(rest) >= length, "a response was cut"
    return Reply(status, headers, rest[:length]), rest[length:]


class Peer:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int, host: str = "127.0.0.1") -> "Peer":
        """Open a connection."""
        return cls(*await asyncio.open_connection(host, port))

    def send(self, *parts: bytes) -> None:
        """Write bytes."""
        for part in parts:
            self._writer.write(part)

    def half_close(self) -> None:
        """Close the sending side."""
        self._writer.write_eof()

    async def reply(self, *, to_head: bool = False) -> Reply:
        """Read one response."""
        status, headers = _head((await self._reader.readuntil(_END)).removesuffix(_END))
        length = 0 if to_head else int(headers["content-length"])
        return Reply(status, headers, await self._reader.readexactly(length))

    async def ask(self, data: bytes) -> Reply:
        """Send a request and read its response."""
        self.send(data)
        return await self.reply()

    async def rest(self) -> bytes:
        """Read until the server closes; a reset counts as closing."""
        try:
            return await self._reader.read()
        except ConnectionResetError:
            return b""

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


def held(number: int = 1, *, now: Instant, lifetime: float = 3_600.0) -> Held:
    """Return credentials that may be served for ``lifetime`` less 30 s."""
    made = assume_role_result(number, lifetime=lifetime, wall=now.wall, mono=now.mono)
    return Held(made, now.wall + lifetime - 30, now.mono + lifetime - 30)
