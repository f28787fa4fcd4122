"""Divides the process's limit of open files between the connections of the two listeners."""

import resource
from dataclasses import dataclass
from typing import Final

from sidecar.limits import ADMIN_CONNECTIONS, CONNECTIONS_LEAST, DESCRIPTORS_HELD_BACK, ENDPOINT_CONNECTIONS

__all__ = ("Shares", "share", "shares")

_WANTED: Final = ENDPOINT_CONNECTIONS + ADMIN_CONNECTIONS


@dataclass(frozen=True, slots=True)
class Shares:
    """The maximum number of connections of each listener.

    Attributes:
        endpoint: of the credentials endpoint.
        admin: of the admin port.
        warnings: one line if the limit of open files lowers these numbers, else empty.
    """

    endpoint: int
    admin: int
    warnings: tuple[str, ...] = ()


def share(nofile: int) -> Shares:
    """Divide the limit of open files, minus the reserved descriptors.

    Each listener has its own share: a flood of the admin port, which the cluster can reach, must not close the
    connections of the application.

    Args:
        nofile: the soft limit, RLIM_INFINITY if there is none (getrlimit(2)).
    """
    left = _WANTED if nofile == resource.RLIM_INFINITY else max(CONNECTIONS_LEAST, nofile - DESCRIPTORS_HELD_BACK)
    if left >= _WANTED:
        return Shares(ENDPOINT_CONNECTIONS, ADMIN_CONNECTIONS)
    admin = min(ADMIN_CONNECTIONS, left // 3)
    endpoint = left - admin
    warning = (
        f"the limit of open files is {nofile}: the endpoint accepts {endpoint} connections instead of"
        f" {ENDPOINT_CONNECTIONS}, the admin port {admin} instead of {ADMIN_CONNECTIONS}; raise the limit (ulimit -n;"
        f" LimitNOFILE of the container runtime) to {_WANTED + DESCRIPTORS_HELD_BACK} or more"
    )
    return Shares(endpoint, admin, (warning,))


def shares() -> Shares:
    """Divide this process's limit of open files."""
    return share(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
