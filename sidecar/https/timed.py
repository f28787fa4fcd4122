"""Connections of urllib3 with a time limit for all steps together. The code that uses internals of urllib3 is here.

urllib3 and http.client limit each step separately, so a server that sends one byte at a time can block them for ever.
"""

import socket
import ssl
from typing import TYPE_CHECKING, Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection

from sidecar.clock import Clock

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ("Deadline", "HttpConnection", "HttpsConnection")


class Deadline:
    """The time limits of one connection.

    Args:
        clock: for the current time.
        step_seconds: for each step.
        total_seconds: from now; no step starts after it.
    """

    def __init__(self, clock: Clock, step_seconds: float, total_seconds: float) -> None:
        self.step_seconds = step_seconds
        self._clock, self._ends = clock, clock.now().mono + total_seconds

    def left(self) -> float:
        """Return the time limit in seconds for a step that starts now.

        Raises:
            TimeoutError: the total time is over.
        """
        left = self._ends - self._clock.now().mono
        if left <= 0:
            raise TimeoutError
        return min(left, self.step_seconds)


class _PlainSocket(socket.socket):
    deadline: Deadline

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(self.deadline.left())
        return super().recv_into(buffer, nbytes, flags)


class _TlsSocket(ssl.SSLSocket):
    deadline: Deadline
    """Not set during the handshake, which has the timeout of the plain socket."""

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(self.deadline.left())
        return super().recv_into(buffer, nbytes, flags)


class HttpConnection(HTTPConnection):
    """A connection without TLS, which creates its own sockets.

    Args:
        host: name, or address without brackets, of the server or its proxy.
        port: of the same.
        deadline: of all its steps.

    Attributes:
        addresses: that the host's name resolved to; () before the connection.
    """

    def __init__(self, host: str, port: int, deadline: Deadline) -> None:
        super().__init__(host, port, timeout=deadline.step_seconds)
        self._address, self._deadline = (host, port), deadline
        self.addresses: tuple[str, ...] = ()

    def _new_conn(self) -> socket.socket:
        """Return a connected socket; the SOCKS connection of urllib3 overrides the same method."""
        self.addresses, places = _resolved(self._address)
        return _connected(places, self._deadline)


class HttpsConnection(HTTPSConnection):
    """A connection with TLS, which creates its own sockets.

    Args:
        host: name, or address without brackets, of the server or its proxy.
        port: of the same.
        deadline: of all its steps.
        trust: verifies the certificate of the server.

    Attributes:
        addresses: that the host's name resolved to; () before the connection.
    """

    def __init__(self, host: str, port: int, deadline: Deadline, trust: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=deadline.step_seconds, ssl_context=trust)
        trust.sslsocket_class = _TlsSocket
        self._address, self._deadline = (host, port), deadline
        self.addresses: tuple[str, ...] = ()

    def _new_conn(self) -> socket.socket:
        self.addresses, places = _resolved(self._address)
        return _connected(places, self._deadline)

    def connect(self) -> None:
        """Connect, through the proxy if there is one, and do the TLS handshake.

        Raises:
            OSError: the network, the proxy or TLS failed.
            HTTPException: the response of the proxy is not HTTP.
        """
        super().connect()
        cast("_TlsSocket", self.sock).deadline = self._deadline


_Place = tuple[socket.AddressFamily, socket.SocketKind, int, Any]


def _resolved(address: tuple[str, int]) -> tuple[tuple[str, ...], list[_Place]]:
    """Return the addresses of a name as texts, and as arguments of a socket."""
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    except UnicodeError:  # the name is too long for DNS
        raise socket.gaierror(socket.EAI_NONAME, "no address") from None
    places: list[_Place] = [(family, kind, protocol, place) for family, kind, protocol, _, place in found]
    return tuple(dict.fromkeys(str(place[0]) for _, _, _, place in places)), places


def _connected(places: list[_Place], deadline: Deadline) -> socket.socket:
    failed: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
    for family, kind, protocol, place in places:
        seconds = deadline.left()
        plain = _PlainSocket(family, kind, protocol)
        plain.deadline = deadline
        try:
            plain.settimeout(seconds)
            plain.connect(place)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(deadline.left())
        except OSError as error:
            plain.close()
            failed = error
        else:
            return plain
    raise failed
