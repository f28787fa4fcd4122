"""A server on loopback that does what a test wants, also against HTTP."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ("Peer",)


class Peer:
    """Listens, saves the head of each request, and calls ``act`` with the connection."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        self._act = act
        self.heads: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed by the end of the test
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A shim that has read enough closes the connection while the server still writes.
        with connection, suppress(ConnectionError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                part = connection.recv(4_096)
                if not part:
                    return
                head += part
            self.heads.append(head)
            self._act(connection)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
