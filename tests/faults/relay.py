"""A TCP relay between the daemon's worker and AWS, or an HTTP proxy there, that fails on request."""

import contextlib
import socket
import struct
import threading
from enum import Enum

__all__ = ("Mode", "Relay")

_DRIP_SECONDS = 1.5


class Mode(Enum):
    """What becomes of a new connection."""

    FORWARD = "carried on"
    REFUSE = "refused: nothing listens"
    RESET = "accepted and reset"
    HOLD = "accepted, and never answered"
    DRIP = "answered a byte at a time, so that no read times out"
    CUT = "carried on, and cut in the middle of the answer"
    DENY = "answered 407 by the proxy"


class Relay:
    """Listens on loopback from its construction to ``close``, on one port all the time.

    Args:
        target: the port on loopback to carry on to.
        proxy: expect CONNECT first, as an HTTP proxy does.
    """

    def __init__(self, target: int, *, proxy: bool = False) -> None:
        self._target = target
        self._proxy = proxy
        self._mode = Mode.FORWARD
        self._closing = threading.Event()
        self.reached = threading.Event()
        """Set once a connection came since the mode was set."""
        self._open: set[socket.socket] = set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # By number: a port that the kernel chose is given back when the socket stops to listen.
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen()
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def set_mode(self, mode: Mode) -> None:
        """Have this become of new connections; those that are open are cut."""
        former, self._mode = self._mode, mode
        self.reached.clear()
        if mode is Mode.REFUSE:
            # Linux: a listening socket that is shut down refuses, and keeps its port for a later listen().
            self._listener.shutdown(socket.SHUT_RDWR)
        elif former is Mode.REFUSE:
            self._listener.listen()
            threading.Thread(target=self._accept, name="relay", daemon=True).start()
        self._cut_all()

    def close(self) -> None:
        """Stop, and cut what is open."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut_all()

    def _cut_all(self) -> None:
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
                    # Closing alone says nothing to the peer while another thread still reads.
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
            self._carry(client, mode)

    def _carry(self, client: socket.socket, mode: Mode) -> None:
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
