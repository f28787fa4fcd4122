"""One TCP socket on the event loop; a poller reports that it can be read, a writer callback of the loop writes it.

The transport of asyncio uses a task, a future and three turns of the loop to accept a connection: measured with a new
connection for each request, 42 us of CPU before the first line of this program runs, and 29 us with this class; a
complete answer of Go takes 35 us. Established connections cost the same with both.
"""

import asyncio
import socket

from sidecar.http1.poller import Poller
from sidecar.limits import READ_BYTES, UNSENT_HIGH_BYTES, UNSENT_LOW_BYTES

__all__ = ("SocketTransport",)


class SocketTransport(asyncio.Transport):
    """Moves bytes between a socket and a protocol, as an ``asyncio.Transport``.

    Args:
        loop: the running event loop.
        poller: reports that there is data to read.
        sock: connected; this class makes it non-blocking, and closes it.
        protocol: its methods are called; ``connection_made`` before the constructor returns.
    """

    __slots__ = (
        "_closing", "_descriptor", "_eof", "_loop", "_lost", "_paused", "_poller", "_protocol", "_reading", "_sock",
        "_unsent",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        poller: Poller,
        sock: socket.socket,
        protocol: asyncio.Protocol,
    ) -> None:
        super().__init__()
        sock.setblocking(False)  # noqa: FBT003 - the name of the method explains the argument
        self._loop, self._poller, self._sock, self._protocol = loop, poller, sock, protocol
        self._descriptor = sock.fileno()
        self._unsent = bytearray()
        self._reading = self._closing = self._lost = self._eof = self._paused = False
        protocol.connection_made(self)
        self.resume_reading()

    def __repr__(self) -> str:
        state = "lost" if self._lost else "closing" if self._closing else "open"
        return f"<SocketTransport {state}, {len(self._unsent)} unsent>"

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return the socket for ``socket``, else the default."""
        return self._sock if name == "socket" else default

    def is_closing(self) -> bool:
        """Whether it is closed, or is closed after everything is sent."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether the socket is read."""
        return self._reading

    def pause_reading(self) -> None:
        """Stop reading the socket."""
        if self._reading:
            self._reading = False
            self._poller.remove(self._descriptor)

    def resume_reading(self) -> None:
        """Read the socket again; does nothing when closing."""
        if not self._reading and not self._closing:
            self._reading = True
            self._poller.add(self._descriptor, self._read)

    def is_lost(self) -> bool:
        """Whether the socket is closed; ``connection_lost`` is called in the next turn."""
        return self._lost

    def read(self) -> None:
        """Read now, without the poller; does nothing while reading is paused.

        The exception handler of the loop receives exceptions of the protocol.
        """
        if self._reading:
            try:
                self._read()
            except Exception as error:  # noqa: BLE001 - an error of one connection must not close the others
                self._loop.call_exception_handler({"message": "a connection failed", "exception": error})

    def get_write_buffer_size(self) -> int:
        """Return how many bytes were not yet passed to the kernel."""
        return len(self._unsent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send as much as the kernel accepts now, and the rest later."""
        if self._closing:
            return
        if not self._unsent:
            sent = self._send(data)
            if sent == len(data) or self._lost:
                return
            self._loop.add_writer(self._descriptor, self._flush)
            data = data[sent:]
        self._unsent += data
        if len(self._unsent) > UNSENT_HIGH_BYTES and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        """Whether the write half can be closed: true."""
        return True

    def write_eof(self) -> None:
        """Close the write half after everything is sent."""
        self._eof = True
        if not self._unsent and not self._closing:
            self._shut_down()

    def close(self) -> None:
        """Stop reading; close after everything is sent."""
        if not self._closing:
            self.pause_reading()
            self._closing = True
            if not self._unsent:
                self._lose()

    def abort(self) -> None:
        """Close at once."""
        self._lose()

    def _read(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lose()  # a reset by the peer
            return
        try:
            if data:
                self._protocol.data_received(data)
            elif self._protocol.eof_received():
                self.pause_reading()
            else:
                self.close()
        except Exception:
            self._lose()  # the protocol is in an undefined state
            raise

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._lose()
            return 0

    def _flush(self) -> None:
        del self._unsent[: self._send(self._unsent)]
        if self._lost:
            return
        if not self._unsent:
            self._loop.remove_writer(self._descriptor)
            if self._closing:
                self._lose()
                return
            if self._eof:
                self._shut_down()
        if self._paused and len(self._unsent) <= UNSENT_LOW_BYTES:
            self._paused = False
            self._protocol.resume_writing()

    def _shut_down(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._lose()

    def _lose(self) -> None:
        if self._lost:
            return
        self.pause_reading()
        if self._unsent:
            self._loop.remove_writer(self._descriptor)
            self._unsent.clear()
        self._closing = self._lost = True
        self._sock.close()
        # In the next turn: the caller has not finished yet.
        self._loop.call_soon(self._protocol.connection_lost, None)
