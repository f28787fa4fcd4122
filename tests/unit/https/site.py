"""Real servers for the tests: an HTTPS server with a given answer, and a proxy."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping

from examples.local.clock import Clock, system_clock
from examples.local.loopback import LoopbackHandler, LoopbackServer
from examples.local.pki import Authority, server_context
from sidecar.https.connect_to import ConnectTo

Reply = Callable[[LoopbackHandler], None]


def reply(status: int = 200, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> Reply:
    """Return an answer."""
    return lambda handler: handler.reply(status, dict(headers or {}), body)


@contextlib.contextmanager
def serving(answer: Reply, authority: Authority | None = None, clock: Clock = system_clock) -> Iterator[ConnectTo]:
    """Serve one answer at all paths of https://issuer.test, and yield its address; the clock is that of `Date`."""

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            answer(self)

    context = server_context((authority or Authority("site CA")).issue(["issuer.test"]))
    server = LoopbackServer(Handler, tls=lambda: context, clock=clock)
    server.start()
    try:
        yield {("issuer.test", 443): server.address}
    finally:
        server.close()


class Proxy:
    """An HTTP proxy that supports only CONNECT (RFC 9110, section 9.3.6), one connection at a time.

    Args:
        connect_to: addresses of hosts; other hosts get 502.
        credentials: the required Proxy-Authorization; other requests get 407.
    """

    def __init__(self, connect_to: ConnectTo, credentials: str | None = None) -> None:
        self.asked: list[str] = []
        self._connect_to, self._credentials = connect_to, credentials
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> str:
        self._thread.start()
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        # A shutdown ends a waiting accept; a close alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                self._tunnel(client)

    def _tunnel(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece:
                return
            head += piece
        request, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        host, _, port = request.split(" ")[1].rpartition(":")
        self.asked.append(f"{host}:{port}")
        if self._credentials is not None and headers.get("proxy-authorization") != self._credentials:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        home = self._connect_to.get((host, int(port)))
        if home is None:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(home, 5) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(server, client))
            back.start()
            _pump(client, server)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
