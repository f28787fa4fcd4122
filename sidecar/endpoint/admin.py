"""``/livez``, ``/readyz``, ``/startupz`` and ``/metrics`` on the address of the pod: nothing secret.

The kubelet and Prometheus come by the pod's IP, so there is no check of Host or Origin, and few connections: a
flood from the cluster must not starve the credentials that the same thread serves.
"""

import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from sidecar.clock import Clock
from sidecar.endpoint.http1 import Limits
from sidecar.endpoint.listener import Listener, bind
from sidecar.endpoint.reader import Fault, Request
from sidecar.endpoint.wire import TEXT, Answer, error, render
from sidecar.errors import StartError
from sidecar.limits import ADMIN_CONNECTIONS, ADMIN_PORT, DRAIN_SECONDS, METRICS_CACHE_SECONDS

__all__ = ("AdminServer", "Check")

Check = Callable[[], tuple[bool, str]]
"""Tells whether all is well, and a line for a person."""

_EVERY_IPV6: Final = "::"
_EVERY_IPV4: Final = "0.0.0.0"  # noqa: S104 - the pod's address; nothing secret is served on it
# What the system says where IPv6 is compiled out, disabled or has no address.
_NO_IPV6: Final = frozenset((errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL))

_METHOD: Final = error(405, "method", "this endpoint answers GET and HEAD only", (("Allow", "GET, HEAD"),))
_PATH: Final = error(404, "path", "there is nothing here; see /livez, /readyz, /startupz and /metrics")


class AdminServer:
    """Serves health and metrics.

    Args:
        live: for ``/livez``; must not depend on AWS, or an outage there would restart every pod.
        ready: for ``/readyz``.
        started: for ``/startupz``, which gates the start of the application.
        metrics: makes the text of ``/metrics``; asked at most once a second.
        metrics_type: its content type.
        clock: tells how old the text is.
        port: 0 takes a free one.
        address: "" means every address, IPv6 and IPv4.
        limits: what to put up with.
    """

    def __init__(  # noqa: PLR0913 - one callable per path, and the daemon's one call names them all
        self,
        *,
        live: Check,
        ready: Check,
        started: Check,
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
        self._cached: tuple[float, Answer] | None = None
        self._listener = Listener(self._handle, limits or Limits(connections=ADMIN_CONNECTIONS), _ignore)

    def __repr__(self) -> str:
        return f"<AdminServer {self._address or 'every address'} port {self._port}, {self._listener!r}>"

    @property
    def port(self) -> int:
        """The port listened on; before ``start`` the one asked for."""
        return self._port

    @property
    def address(self) -> str:
        """The address listened on; before ``start`` the one asked for."""
        return self._address

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._listener.open

    @property
    def evicted(self) -> int:
        """How many connections were closed to make room."""
        return self._listener.evicted

    async def start(self) -> None:
        """Listen.

        Raises:
            StartError: the port or the address cannot be had.
        """
        sock = _bind_every(self._port) if not self._address else _bind_one(self._address, self._port)
        self._address, self._port = sock.getsockname()[:2]
        self._listener.start(sock)

    async def stop(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Accept no more, answer what is in flight, close; nothing stays open, also when cancelled."""
        await self._listener.stop(drain_seconds)

    def _handle(self, request: Request) -> Answer:
        if request.method not in {b"GET", b"HEAD"}:
            return _METHOD
        path = request.target.partition(b"?")[0]
        if path == b"/metrics":
            return self._scrape()
        check = self._checks.get(path)
        if check is None:
            return _PATH
        good, text = check()
        return render(200 if good else 503, f"{text}\n".encode(), content_type=TEXT)

    def _scrape(self) -> Answer:
        now = self._clock.now().mono
        if self._cached is None or now - self._cached[0] >= METRICS_CACHE_SECONDS:
            self._cached = (now, render(200, self._metrics(), content_type=self._metrics_type))
        return self._cached[1]


def _ignore(_fault: Fault) -> None:
    # What port scanners of the cluster send is nobody's metric.
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
    fix = "set the admin address to an IP address of this pod, or to nothing for every address"
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
