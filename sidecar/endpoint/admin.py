"""Serves ``/livez``, ``/readyz``, ``/startupz`` and ``/metrics`` on the address of the pod, without secrets.

The kubelet and Prometheus connect to the pod's IP, so Host and Origin are not checked. The connection limit is low:
a flood from the cluster must not delay the credentials, which the same thread serves.
"""

import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from sidecar.clock import Clock
from sidecar.endpoint.descriptors import shares
from sidecar.errors import StartError
from sidecar.http1.connection import Limits
from sidecar.http1.listener import Listener, bind
from sidecar.http1.parser import Fault, Request
from sidecar.http1.response import TEXT, EncodedResponse, encode_response, error
from sidecar.limits import ADMIN_PORT, DRAIN_SECONDS, METRICS_CACHE_SECONDS

__all__ = ("AdminServer", "HealthCheck")

HealthCheck = Callable[[], tuple[bool, str]]
"""Returns whether the check passes, and a line for people."""

_EVERY_IPV6: Final = "::"
_EVERY_IPV4: Final = "0.0.0.0"  # noqa: S104 - the pod's address; nothing secret is served on it
# The errors of a system without IPv6, with disabled IPv6 or without an IPv6 address.
_NO_IPV6: Final = frozenset((errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL))

_METHOD: Final = error(405, "method", "this endpoint answers GET and HEAD only", (("Allow", "GET, HEAD"),))
_PATH: Final = error(404, "path", "unknown path; use /livez, /readyz, /startupz or /metrics")


class AdminServer:
    """Serves health and metrics.

    Args:
        live: for ``/livez``; must not depend on AWS, or an outage of AWS would restart all pods.
        ready: for ``/readyz``.
        started: for ``/startupz``; the application starts after it.
        metrics: renders the text of ``/metrics``; called at most once a second.
        metrics_type: its content type.
        clock: for the age of the text.
        port: 0 for a free port.
        address: "" for all addresses, IPv6 and IPv4.
        limits: of the connections; by default their number depends on the process's limit of open files.
    """

    def __init__(  # noqa: PLR0913 - one callable per path, passed by keyword
        self,
        *,
        live: HealthCheck,
        ready: HealthCheck,
        started: HealthCheck,
        metrics: Callable[[], bytes],
        metrics_type: str,
        clock: Clock,
        port: int = ADMIN_PORT,
        address: str = "",
        limits: Limits | None = None,
    ) -> None:
        self._checks = {b"/livez": live, b"/readyz": ready, b"/startupz": started}
        self._metrics, self._metrics_type = metrics, metrics_type
        self._clock = clock
        self._port, self._address = port, address
        self._cached: tuple[float, EncodedResponse] | None = None
        self._listener = Listener(self._handle, limits or Limits(connections=shares().admin), _ignore)

    def __repr__(self) -> str:
        return f"<AdminServer {self._address or 'every address'} port {self._port}, {self._listener!r}>"

    @property
    def port(self) -> int:
        """The port of the listening socket; before ``start`` the configured port."""
        return self._port

    @property
    def address(self) -> str:
        """The address of the listening socket; before ``start`` the configured address."""
        return self._address

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return self._listener.open

    @property
    def evicted(self) -> int:
        """Number of connections that were closed to make room."""
        return self._listener.evicted

    async def start(self) -> None:
        """Listen.

        Raises:
            StartError: the port is in use, or the address is invalid or not of this pod.
        """
        sock = _bind_every(self._port) if not self._address else _bind_one(self._address, self._port)
        self._address, self._port = sock.getsockname()[:2]
        self._listener.start(sock)

    async def stop(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Stop accepting, answer requests in flight, and close all connections, also after a cancellation."""
        await self._listener.stop(drain_seconds)

    def _handle(self, request: Request) -> EncodedResponse:
        if request.method not in {b"GET", b"HEAD"}:
            return _METHOD
        path = request.target.partition(b"?")[0]
        if path == b"/metrics":
            return self._scrape()
        check = self._checks.get(path)
        if check is None:
            return _PATH
        good, text = check()
        return encode_response(200 if good else 503, f"{text}\n".encode(), content_type=TEXT)

    def _scrape(self) -> EncodedResponse:
        now = self._clock.now().mono
        if self._cached is None or now - self._cached[0] >= METRICS_CACHE_SECONDS:
            self._cached = (now, encode_response(200, self._metrics(), content_type=self._metrics_type))
        return self._cached[1]


def _ignore(_fault: Fault) -> None:
    # Faulty requests to the admin port, such as those of port scanners, are not counted.
    pass


def _bind_every(port: int) -> socket.socket:
    try:
        return bind(socket.AF_INET6, _EVERY_IPV6, port)
    except StartError as exc:
        if not isinstance(exc.__cause__, OSError) or exc.__cause__.errno not in _NO_IPV6:
            raise
    except OSError as exc:
        if exc.errno not in _NO_IPV6:
            raise
    return bind(socket.AF_INET, _EVERY_IPV4, port)


def _bind_one(address: str, port: int) -> socket.socket:
    fix = "set the admin address to an IP address of this pod, or leave it empty for all addresses"
    try:
        version = ipaddress.ip_address(address).version
    except ValueError as exc:
        what = f"{address!r} is not an IP address"
        raise StartError(what, fix) from exc
    try:
        return bind(socket.AF_INET6 if version == 6 else socket.AF_INET, address, port)  # noqa: PLR2004 - IPv6
    except OSError as exc:
        what = f"cannot listen on {address} port {port}"
        raise StartError(what, fix) from exc
