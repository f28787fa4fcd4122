"""One listening socket and its connections: how many, how long, and how they end."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

from sidecar.endpoint.http1 import Connection, Handler, Limits
from sidecar.endpoint.poller import Poller
from sidecar.endpoint.reader import Fault, Heads
from sidecar.endpoint.transport import SocketTransport
from sidecar.errors import StartError
from sidecar.limits import LISTEN_BACKLOG

__all__ = ("Listener", "bind")

# Connections accepted in one turn of the loop: a thousand at once would hold up those that are open.
_ACCEPT_BATCH: Final = 64
# Where the kernel has no descriptor or memory for one more: the socket stays readable, so look away for this long.
_ACCEPT_PAUSE_SECONDS: Final = 0.1

_BIND_FIXES: Final = {
    errno.EADDRINUSE: "stop what listens there, or choose another port",
    errno.EACCES: "choose a port of 1024 or above",
    errno.EADDRNOTAVAIL: "choose an address of this machine",
}


def bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """Return a listening TCP socket; a dual-stack one for IPv6.

    Raises:
        StartError: the port is taken, or may not be had.
        OSError: this machine does not have the address family.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it, connections of the daemon before us, still in TIME_WAIT, would keep the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it (tcp(7)): an answer is one write and should leave at once.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((address, port))
        sock.listen(LISTEN_BACKLOG)
    except OSError as exc:
        sock.close()
        if exc.errno in _BIND_FIXES:
            raise StartError(f"cannot listen on {address} port {port}", _BIND_FIXES[exc.errno]) from exc
        raise
    return sock


class Listener:
    """Accepts connections and serves them with one handler.

    Args:
        handler: answers each request.
        limits: what to put up with.
        on_fault: counts what is refused before the handler sees it.
    """

    def __init__(self, handler: Handler, limits: Limits, on_fault: Callable[[Fault], None]) -> None:
        self.handler, self.limits, self.refused = handler, limits, on_fault
        self.draining = False
        self.accepting = False
        """Whether new connections are taken; not while the kernel has no descriptor for one more."""
        self.heads: Heads = {}
        self.loop: asyncio.AbstractEventLoop
        self._poller: Poller
        self.evicted = 0
        """Connections closed to make room."""
        self.turned_away = 0
        """New connections closed because every other one had a request in flight."""
        self._connections: set[Connection] = set()
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Listener {len(self._connections)} open, {self.evicted} evicted>"

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def start(self, sock: socket.socket) -> None:
        """Serve what ``sock``, which listens, accepts; it is closed by ``stop``."""
        self.loop = asyncio.get_running_loop()
        self._socket = sock
        self._poller = Poller(self.loop)
        sock.setblocking(False)  # noqa: FBT003 - the name of the method says what it is
        self._accept_more()

    async def stop(self, drain_seconds: float) -> None:
        """Accept no more, answer what is in flight, close everything.

        Nothing is left open afterwards, also when this is cancelled. Does nothing before ``start``.
        """
        if self._socket is None:
            return
        self.draining, self.accepting = True, False
        self.loop.remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        try:
            # Two turns of the loop: requests that lie in the kernel get read, and so answered.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for connection in tuple(self._connections):
                connection.drain()
            if self._connections:
                self._empty = self.loop.create_future()
                await asyncio.wait((self._empty,), timeout=drain_seconds)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for connection in self._connections:
                connection.abort()
            self._connections.clear()
            self._poller.close()
        await asyncio.sleep(0)  # `connection_lost` comes one turn after an abort

    def sweep(self, now: float) -> None:
        """Enforce the limits of time at ``now`` of the event loop's clock."""
        for connection in tuple(self._connections):
            connection.sweep(now)

    def opened(self, connection: Connection) -> None:
        """Let a connection in; at the cap, the one longest without a complete request goes.

        A thousand stuck peers then cost a live client nothing, and a request in flight is never cut.
        """
        if len(self._connections) >= self.limits.connections:
            candidates = (other for other in self._connections if other.evictable)
            victim = min(candidates, key=lambda other: other.since, default=None)
            if victim is None:
                self.turned_away += 1
                connection.abort()
                return
            self.evicted += 1
            self._connections.discard(victim)
            victim.abort()
        self._connections.add(connection)
        if self._timer is None:
            self._timer = self.loop.call_later(self.limits.sweep_seconds, self._tick)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        if self._empty is not None and not self._connections and not self._empty.done():
            self._empty.set_result(None)

    def _accept(self) -> None:
        for _ in range(_ACCEPT_BATCH):
            if self._socket is None:
                return
            try:
                sock, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self.accepting = False
                self.loop.remove_reader(self._socket)
                self.loop.call_later(_ACCEPT_PAUSE_SECONDS, self._accept_more)
                return
            SocketTransport(self.loop, self._poller, sock, Connection(self))

    def _accept_more(self) -> None:
        if self._socket is not None:
            self.accepting = True
            self.loop.add_reader(self._socket, self._accept)

    def _tick(self) -> None:
        self._timer = None
        self.sweep(self.loop.time())
        if self._connections:
            self._timer = self.loop.call_later(self.limits.sweep_seconds, self._tick)
