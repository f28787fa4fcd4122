"""A listener with a handler that echoes, and rude clients of it."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.endpoint.http1 import Limits
from sidecar.endpoint.listener import Listener, bind
from sidecar.endpoint.reader import Fault, Request
from sidecar.endpoint.wire import Answer, Pending, render
from tests.helpers.peer import Peer, Reply, replies_in

__all__ = ("Site", "exchange", "peer", "site")


class Site:
    """A handler that echoes the target, and what became of it."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.targets: list[bytes] = []
        self.pending: list[Pending] = []
        self.body = b"x"
        self.port = 0
        self.listener = Listener(self.handle, Limits(), self.faults.append)

    def handle(self, asked: Request) -> Answer | Pending:
        self.targets.append(asked.target)
        if asked.target == b"/later":
            self.pending.append(Pending())
            return self.pending[-1]
        if asked.target == b"/bug":
            raise ZeroDivisionError
        return render(200, self.body if asked.target == b"/body" else asked.target)

    def sweep_in(self, seconds: float) -> None:
        self.listener.sweep(self.listener.loop.time() + seconds)


@asynccontextmanager
async def site(limits: Limits | None = None) -> AsyncIterator[Site]:
    made = Site()
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
async def peer(limits: Limits | None = None) -> AsyncIterator[tuple[Site, Peer]]:
    async with site(limits) as here:
        client = await Peer.connect(here.port)
        try:
            yield here, client
        finally:
            await client.close()


async def exchange(data: bytes) -> tuple[list[Reply], list[Fault]]:
    """Send bytes, half-close, and return what came back until the server closed."""
    async with peer() as (here, client):
        client.send(data)
        client.half_close()
        return replies_in(await client.rest()), here.faults
