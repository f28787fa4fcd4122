"""A threaded HTTP/1.1 server on loopback, plain or TLS; after `close` no thread or socket is left."""

import contextlib
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from examples.local.clock import Clock, system_clock

# Longer than the pause of each client here between two requests, so that the client closes a kept-alive connection.
_IDLE_SECONDS = 60.0

LOOPBACK = "127.0.0.1"
_SocketAddress = tuple[Any, ...]


class LoopbackServer(ThreadingHTTPServer):
    """Serves `handler` on one address and a port that the kernel chose, from `start` to `close`.

    Args:
        handler: the request handler class.
        tls: returns the TLS context of each new connection, so that a certificate can change while the server runs;
            None serves plain HTTP.
        accepts: called before each connection is served; False closes it without a response, as a dead service does.
        address: the listen address; use another than loopback only in a separate network namespace.
        clock: the time of the Date header.
    """

    daemon_threads = False  # server_close joins them, so a leaked thread fails the test that leaked it
    block_on_close = True
    request_queue_size = 128

    def __init__(
        self,
        handler: type[BaseHTTPRequestHandler],
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        accepts: Callable[[], bool] = lambda: True,
        address: str = LOOPBACK,
        clock: Clock = system_clock,
    ) -> None:
        self._tls = tls
        self.clock = clock
        self._accepts = accepts
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        self.closing = threading.Event()
        super().__init__((address, 0), handler)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, name=f"loopback-{self.server_port}"
        )

    @property
    def address(self) -> tuple[str, int]:
        """The listen address and the port."""
        return (self.server_name, self.server_port)

    def start(self) -> None:
        """Start serving in a new thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving, close all connections, join all threads. Call it once, after `start`."""
        self.closing.set()
        self.shutdown()
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    # Not SSLSocket.shutdown, which removes the TLS state that the reading thread uses.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()

    def server_bind(self) -> None:
        """Bind without the reverse DNS lookup of http.server, which can hang on a machine without DNS."""
        socketserver.TCPServer.server_bind(self)
        self.server_name = str(self.server_address[0])
        self.server_port = int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, _SocketAddress]:
        """Accept a connection; its TLS handshake happens at the first read, in the connection's own thread."""
        connection, peer = super().get_request()
        if self._tls is not None:
            connection = self._tls().wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, peer

    def verify_request(self, request: Any, client_address: _SocketAddress) -> bool:  # noqa: ANN401 - the base's type
        """Call `accepts`; see the class."""
        del request, client_address
        return self._accepts()

    def process_request(self, request: Any, client_address: _SocketAddress) -> None:  # noqa: ANN401 - the base's type
        """Save the connection, so that `close` can close it."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the base's type
        """Close the connection and forget it."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: _SocketAddress) -> None:  # noqa: ANN401 - the base's type
        """Ignore errors that a peer can cause (resets, failed handshakes); print all others on stderr."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class LoopbackHandler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive and without logging; each response is one write."""

    server: LoopbackServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Log nothing: a request line of the query protocol can carry a web identity token."""

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send one response with `Content-Length` and `Date`; the connection stays open unless `close_connection`.

        Head and body are one write: two small writes cost 40 ms a request, by Nagle's algorithm and a delayed ACK.
        """
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Date: {self.date_time_string(self.server.clock())}",
        ]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}"]
        if self.close_connection:
            lines.append("Connection: close")
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def drop(self) -> None:
        """Close the connection without a response."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)
