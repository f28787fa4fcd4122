"""Whether AWS, which is on the internet, can reach the host of a URL, by its name or its address. Pure."""

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

__all__ = ("are_private", "why_inside")

# RFC 6762 (local, and the names of its appendix G), RFC 6761 (localhost), RFC 8375 (home.arpa), and `internal`, which
# ICANN reserves for private use: public DNS has none of them. svc is that of a cluster, without its domain.
_INSIDE: Final = frozenset({"svc", "local", "localhost", "internal", "intranet", "private", "corp", "home", "lan"})
_HOME: Final = ".home.arpa"
# The API server in its own cluster, in any cluster domain:
# https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
_API_SERVER: Final = "kubernetes.default."


def why_inside(url: str) -> str:
    """Return why only this cluster or network knows the host of a URL; "" if AWS may reach it, or if there is no host.

    It is such a host if it has a name without a dot, a name that public DNS does not have, the name of an API server
    inside its cluster, or an address that is not global.
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""
    kind = _kind_of_address(host) if _is_address(host) else _kind_of_name(host)
    return f"{host} is {kind}" if host and kind else ""


def are_private(addresses: Collection[str]) -> bool:
    """Return whether there are addresses, and AWS can reach none of them."""
    return bool(addresses) and not any(ipaddress.ip_address(address).is_global for address in addresses)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _kind_of_address(text: str) -> str:
    address = ipaddress.ip_address(text)
    if address.is_global:
        return ""
    if address.is_loopback:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    # The others are such as 100.64.0.0/10, RFC 6598.
    return "a private address" if address.is_private else "an address that is not public"


def _kind_of_name(host: str) -> str:
    if host.startswith(_API_SERVER) or host.endswith((".svc", ".cluster.local")):
        return "a name inside a cluster"
    last = host.rpartition(".")[2]
    if last == host:
        return "a name without a dot"
    # No name in public DNS ends in a number; some resolvers read 10.1 as the address 10.0.0.1 (inet_aton(3)).
    inside = last in _INSIDE or host.endswith(_HOME) or last.isdigit()
    return "not a name of public DNS" if inside else ""
