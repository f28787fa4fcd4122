"""One listening socket and its connections: their number, their time limits, and how they are closed."""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Final

from sidecar.errors import StartError
from sidecar.http1.connection import Handler, Limits, ServerConnection
from sidecar.http1.parser import Fault, Heads
from sidecar.http1.poller import Poller
from sidecar.http1.transport import SocketTransport
from sidecar.limits import ACCEPT_BATCH, ACCEPT_PAUSE_SECONDS, LISTEN_BACKLOG

__all__ = ("Listener", "bind")

# Errors of accept(2) that closing a connection can remove.
_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

_BIND_FIXES: Final = {
    errno.EADDRINUSE: "stop the program that uses this port, or choose another port",
    errno.EACCES: "choose a port of 1024 or above",
    errno.EADDRNOTAVAIL: "choose an address of this machine",
}


def bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """Return a listening TCP socket; for IPv6 a dual-stack socket.

    Raises:
        StartError: the port is in use or not permitted, or the address is not of this machine.
        OSError: this machine does not have the address family.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it, connections of the previous daemon in TIME_WAIT would block the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it (tcp(7)): an answer is one write and should be sent at once.
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


_since: Final = attrgetter("since")
_evictable: Final = attrgetter("evictable")
_backlogged: Final = attrgetter("backlogged")


class Listener:
    """Accepts connections and serves them with one handler.

    Args:
        handler: answers each request.
        limits: of its connections.
        on_fault: counts requests that are rejected before the handler receives them.
    """

    def __init__(self, handler: Handler, limits: Limits, on_fault: Callable[[Fault], None]) -> None:
        self.handler, self.limits, self.rejected = handler, limits, on_fault
        self.draining = False
        self.accepting = False
        """Whether new connections are accepted; false while the process has no free file descriptor."""
        self.heads: Heads = {}
        self.loop: asyncio.AbstractEventLoop
        self._poller: Poller
        self.evicted = 0
        """Connections closed to make room."""
        self.turned_away = 0
        """New connections closed because all other connections had a request in flight."""
        self._connections: dict[ServerConnection, SocketTransport] = {}
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Listener {len(self._connections)} open, {self.evicted} evicted>"

    @property
    def open(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    def start(self, sock: socket.socket) -> None:
        """Serve the connections that the listening socket `sock` accepts; ``stop`` closes it."""
        self.loop = asyncio.get_running_loop()
        self._socket = sock
        self._poller = Poller(self.loop)
        sock.setblocking(False)  # noqa: FBT003 - the name of the method explains the argument
        self._accept_more()

    async def stop(self, drain_seconds: float) -> None:
        """Stop accepting, answer requests in flight, close all connections.

        After that, or after a cancellation, no connection is open. Does nothing before ``start``.
        """
        if self._socket is None:
            return
        self.draining, self.accepting = True, False
        self.loop.remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        try:
            # Two turns of the loop: requests in the kernel's buffers are read and answered.
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
        await asyncio.sleep(0)  # `connection_lost` is called one turn after an abort

    def sweep(self, now: float) -> None:
        """Enforce the time limits; `now` is the time of the event loop's clock."""
        for connection in tuple(self._connections):
            connection.sweep(now)

    def closed(self, connection: ServerConnection) -> None:
        """Remove a connection."""
        self._connections.pop(connection, None)
        if self._empty is not None and not self._connections and not self._empty.done():
            self._empty.set_result(None)

    def _accept(self) -> None:
        # At most the connection limit in one turn: each is read at least once before it can be closed.
        victims = self._victims()
        for tried in range(min(ACCEPT_BATCH, self.limits.connections)):
            if self._socket is None:
                return
            try:
                sock, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    # accept fails before it looks for a connection. Only at the start of the turn is it known that
                    # a connection waits.
                    if tried:
                        return
                    if self._make_room(victims):
                        continue
                self.accepting = False
                self.loop.remove_reader(self._socket)
                self.loop.call_later(ACCEPT_PAUSE_SECONDS, self._accept_more)
                return
            if len(self._connections) >= self.limits.connections and not self._make_room(victims):
                self.turned_away += 1
                sock.close()
                continue
            connection = ServerConnection(self)
            self._connections[connection] = SocketTransport(self.loop, self._poller, sock, connection)
            if self._timer is None:
                self._timer = self.loop.call_later(self.limits.sweep_seconds, self._tick)

    def _victims(self) -> Iterator[ServerConnection]:
        # First the connection without a complete request for the longest time: stuck peers then never displace an
        # active client. Twice, because a connection with a request in the first round is idle after its answer.
        for _ in range(2):
            yield from sorted(filter(_evictable, self._connections), key=_since)

    def _make_room(self, victims: Iterator[ServerConnection]) -> bool:
        """Close one connection without a request; it is read first, because a request may have arrived.

        If there is none, a connection that sends requests faster than they are served gets a last answer and is closed
        after it. Until the next accept, there is one connection over the limit. Without this, 16 such peers would
        block the kubelet.

        Returns:
            Whether a connection was closed; false if each connection waits for an answer.
        """
        for victim in victims:
            since, transport = victim.since, self._connections[victim]
            transport.read()
            if transport.is_lost():
                del self._connections[victim]  # the peer closed it
                return True
            if victim.since == since and victim.evictable:
                self.evicted += 1
                del self._connections[victim]
                victim.abort()
                return True
        busy = min(filter(_backlogged, self._connections), key=_since, default=None)
        if busy is None:
            return False
        self.evicted += 1
        busy.leave()
        return True

    def _accept_more(self) -> None:
        if self._socket is not None:
            self.accepting = True
            self.loop.add_reader(self._socket, self._accept)

    def _tick(self) -> None:
        # Two turns later, with this time: after a stall (SIGSTOP, a frozen control group) this timer can
        # run before requests that arrived meanwhile are read, and closing their connections would reset them.
        self.loop.call_soon(self.loop.call_soon, self._sweep_and_wait, self.loop.time())

    def _sweep_and_wait(self, now: float) -> None:
        self._timer = None
        self.sweep(now)
        if self._connections:
            self._timer = self.loop.call_later(self.limits.sweep_seconds, self._tick)
