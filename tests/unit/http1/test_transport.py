import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from sidecar.http1.poller import Poller
from sidecar.http1.transport import SocketTransport
from tests.helpers.peer import run, until

# More than the kernel buffers for a peer that does not read.
MUCH = b"0123456789abcdef" * 500_000


class Echo(asyncio.Protocol):
    """Records the calls of its methods."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.received = b""
        self.keep_half_open = False
        self.bug = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("SocketTransport", transport)
        self.events.append("made")

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.events.append("lost")

    def data_received(self, data: bytes) -> None:
        if self.bug:
            raise ZeroDivisionError
        self.received += data

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.keep_half_open

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Echo, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    protocol = Echo()
    poller = Poller(asyncio.get_running_loop())
    SocketTransport(asyncio.get_running_loop(), poller, ours, protocol)
    try:
        yield protocol, theirs
    finally:
        protocol.transport.abort()
        theirs.close()
        await until(lambda: protocol.events[-1] == "lost")
        assert protocol.events.count("lost") == 1


async def read_all(sock: socket.socket) -> bytes:
    data = b""
    while part := await asyncio.get_running_loop().sock_recv(sock, 1 << 20):
        data += part
    return data


def test_all_bytes_arrive_before_a_close() -> None:
    async def main() -> None:
        async with pair() as (protocol, theirs):
            protocol.transport.write(b"first ")
            protocol.transport.write(MUCH)
            protocol.transport.write(b" last")
            assert protocol.transport.get_write_buffer_size() > 0
            protocol.transport.close()
            protocol.transport.write(b"never")
            assert await read_all(theirs) == b"first " + MUCH + b" last"
            assert [event for event in protocol.events if event != "resume"] == ["made", "pause", "lost"]

    run(main())


def test_write_eof_sends_all_bytes_and_still_reads() -> None:
    async def main() -> None:
        async with pair() as (protocol, theirs):
            protocol.transport.write(MUCH)
            protocol.transport.write_eof()
            assert await read_all(theirs) == MUCH
            theirs.send(b"thanks")
            await until(lambda: protocol.received == b"thanks")

    run(main())


def test_the_protocol_is_paused_above_the_mark_and_resumed_below_it() -> None:
    async def main() -> None:
        async with pair() as (protocol, theirs):
            protocol.transport.write(MUCH)
            assert protocol.events == ["made", "pause"]
            protocol.transport.write(b"more")
            assert protocol.events == ["made", "pause"]
            loop = asyncio.get_running_loop()
            left = len(MUCH) + 4
            while left:
                left -= len(await loop.sock_recv(theirs, 1 << 20))
            await until(lambda: "resume" in protocol.events)
            assert protocol.transport.get_write_buffer_size() == 0

    run(main())


@pytest.mark.parametrize(("keep", "closing"), [(True, False), (False, True)])
def test_the_protocol_decides_whether_eof_closes_the_connection(keep: bool, closing: bool) -> None:  # noqa: FBT001 - a table
    async def main() -> None:
        async with pair() as (protocol, theirs):
            protocol.keep_half_open = keep
            theirs.shutdown(socket.SHUT_WR)
            await until(lambda: "eof" in protocol.events)
            await asyncio.sleep(0)
            assert protocol.transport.is_closing() is closing
            assert protocol.events.count("eof") == 1
            protocol.transport.write(b"bye")
            protocol.transport.close()
            assert await read_all(theirs) == (b"bye" if keep else b"")

    run(main())


def test_an_abort_drops_unsent_bytes_and_notifies_the_protocol_later() -> None:
    async def main() -> None:
        async with pair() as (protocol, theirs):
            protocol.transport.write(MUCH)
            protocol.transport.abort()
            assert protocol.events[-1] == "pause"
            assert protocol.transport.get_write_buffer_size() == 0
            assert len(await read_all(theirs)) < len(MUCH)

    run(main())


def test_a_closed_peer_closes_the_connection_without_an_error() -> None:
    async def main() -> None:
        async with pair() as (protocol, theirs):
            protocol.transport.pause_reading()
            theirs.close()
            protocol.transport.write(b"x")
            protocol.transport.write(b"x")
            await until(lambda: protocol.events[-1] == "lost")

    run(main())


def test_paused_bytes_stay_in_the_kernel() -> None:
    async def main() -> None:
        async with pair() as (protocol, theirs):
            protocol.transport.pause_reading()
            protocol.transport.pause_reading()
            assert not protocol.transport.is_reading()
            theirs.send(b"hello")
            await asyncio.sleep(0.01)
            assert protocol.received == b""
            protocol.transport.resume_reading()
            await until(lambda: protocol.received == b"hello")
            protocol.transport.close()
            protocol.transport.resume_reading()
            assert not protocol.transport.is_reading()

    run(main())


def test_a_bug_in_the_protocol_closes_the_connection_and_is_reported() -> None:
    async def main() -> None:
        reported: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        async with pair() as (protocol, theirs):
            protocol.bug = True
            theirs.send(b"x")
            await until(lambda: protocol.events[-1] == "lost")
            assert [type(error) for error in reported] == [ZeroDivisionError]

    run(main())


def test_the_repr_shows_the_state() -> None:
    async def main() -> None:
        async with pair() as (protocol, _):
            assert repr(protocol.transport) == "<SocketTransport open, 0 unsent>"
            assert isinstance(protocol.transport.get_extra_info("socket"), socket.socket)
            assert protocol.transport.get_extra_info("peername", "?") == "?"
            assert protocol.transport.can_write_eof()

    run(main())
