"""A listener with a handler that echoes, and raw clients of it."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.http1.connection import Limits
from sidecar.http1.listener import Listener, bind
from sidecar.http1.parser import Fault, Request
from sidecar.http1.response import EncodedResponse, Pending, encode_response
from tests.helpers.peer import Peer, Reply, replies_in

__all__ = ("EchoServer", "exchange", "peer", "site")


class EchoServer:
    """A handler that echoes the target, and records its requests and faults."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.targets: list[bytes] = []
        self.pending: list[Pending] = []
        self.body = b"x"
        self.port = 0
        self.listener = Listener(self.handle, Limits(), self.faults.append)

    def handle(self, request: Request) -> EncodedResponse | Pending:
        self.targets.append(request.target)
        if request.target == b"/later":
            self.pending.append(Pending())
            return self.pending[-1]
        if request.target == b"/bug":
            raise ZeroDivisionError
        return encode_response(200, self.body if request.target == b"/body" else request.target)

    def sweep_in(self, seconds: float) -> None:
        self.listener.sweep(self.listener.loop.time() + seconds)


@asynccontextmanager
async def site(limits: Limits | None = None) -> AsyncIterator[EchoServer]:
    made = EchoServer()
    made.listener.limits = limits or made.listener.limits
    sock = bind(socket.AF_INET, "127.0.0.1", 0)
    made.port = sock.getsockname()[1]
    made.listener.start(sock)
    try:
        yield made
    finally:
        await made.listener.stop(0)
        assert made.listener.open == 0


@asynccontextmanager
async def peer(limits: Limits | None = None) -> AsyncIterator[tuple[EchoServer, Peer]]:
    async with site(limits) as here:
        client = await Peer.connect(here.port)
        try:
            yield here, client
        finally:
            await client.close()


async def exchange(data: bytes) -> tuple[list[Reply], list[Fault]]:
    """Send bytes, half-close, and return the answers until the server closes, and the faults."""
    async with peer() as (here, client):
        client.send(data)
        client.half_close()
        return replies_in(await client.rest()), here.faults
