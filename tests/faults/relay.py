"""A TCP relay or an HTTP proxy between the daemon's worker and AWS, which fails on request."""

import contextlib
import socket
import struct
import threading
from enum import Enum

__all__ = ("Mode", "Relay")

_DRIP_SECONDS = 1.5


class Mode(Enum):
    """The treatment of a new connection."""

    FORWARD = "forwarded"
    REFUSE = "refused: the port is closed"
    RESET = "accepted and reset"
    HOLD = "accepted, without a response"
    DRIP = "response of one byte at a time, so that no read times out"
    CUT = "forwarded, and closed in the middle of the response"
    DENY = "407 from the proxy"


class Relay:
    """Listens on one port of loopback from its construction to ``close``.

    Args:
        target: the port on loopback that connections are forwarded to.
        proxy: expect CONNECT first, as an HTTP proxy does.
    """

    def __init__(self, target: int, *, proxy: bool = False) -> None:
        self._target = target
        self._proxy = proxy
        self._mode = Mode.FORWARD
        self._closing = threading.Event()
        self.reached = threading.Event()
        """Set after a connection was accepted since the mode was set."""
        self._open: set[socket.socket] = set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # By number: the kernel frees a port that it chose when the socket stops listening.
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen()
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def set_mode(self, mode: Mode) -> None:
        """Set the treatment of new connections, and close the open ones."""
        previous, self._mode = self._mode, mode
        self.reached.clear()
        if mode is Mode.REFUSE:
            # Linux: a listening socket that is shut down refuses, and keeps its port for a later listen().
            self._listener.shutdown(socket.SHUT_RDWR)
        elif previous is Mode.REFUSE:
            self._listener.listen()
            threading.Thread(target=self._accept, name="relay", daemon=True).start()
        self._close_all()

    def close(self) -> None:
        """Stop listening, and close the open connections."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._close_all()

    def _close_all(self) -> None:
        for sock in tuple(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client, self._mode), name="relay", daemon=True).start()

    def _serve(self, client: socket.socket, mode: Mode) -> None:
        self._open.add(client)
        self.reached.set()
        try:
            with client, contextlib.suppress(OSError):
                self._treat(client, mode)
                if mode is not Mode.RESET:
                    # close() alone sends no FIN while another thread still reads.
                    client.shutdown(socket.SHUT_RDWR)
        finally:
            self._open.discard(client)

    def _treat(self, client: socket.socket, mode: Mode) -> None:
        if mode is Mode.RESET:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif mode is Mode.DENY:
            client.recv(65_536)
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif mode is Mode.HOLD:
            while client.recv(65_536):
                pass
        elif mode is Mode.DRIP:
            client.recv(65_536)
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Padding: " + b"x" * 100:
                client.sendall(bytes([byte]))
                if self._closing.wait(_DRIP_SECONDS):
                    return
        else:
            self._forward(client, mode)

    def _forward(self, client: socket.socket, mode: Mode) -> None:
        if self._proxy:
            head = client.recv(65_536)
            if not head.startswith(b"CONNECT "):
                return
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            self._open.add(server)
            threading.Thread(target=_pump, args=(client, server), name="relay", daemon=True).start()
            try:
                if mode is Mode.CUT:
                    client.sendall(server.recv(65_536)[:300])
                else:
                    _pump(server, client)
            finally:
                self._open.discard(server)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
