"""Finds the proxy for a host."""

import base64
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from sidecar.https.connect_to import ConnectTo

__all__ = ("Proxy", "ProxyOf", "environment_proxy", "parse_proxy", "proxy_beside")

ProxyOf = Callable[[str], str | None]
"""Returns the URL of the proxy for a host, or None."""

_PORT: Final = 80  # the default of urllib3 and boto3


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        host: a name, or an address without brackets.
        port: of the proxy.
        headers: of the CONNECT request: the credentials, if the URL has some.
    """

    host: str
    port: int
    headers: dict[str, str] = field(repr=False)

    def __str__(self) -> str:
        """Return host and port, not the URL: it can contain a password."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def environment_proxy(host: str) -> str | None:
    """Return the proxy of this process's environment for https URLs of a host, or None."""
    if urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get("https")


def proxy_beside(connect_to: ConnectTo) -> ProxyOf:
    """Return `environment_proxy`, without a proxy for the hosts of ``--connect-to``."""
    hosts = {host for host, _ in connect_to}
    return lambda host: None if host in hosts else environment_proxy(host)


def parse_proxy(url: str | None) -> Proxy | None:
    """Return the proxy of a URL, or None if the URL is missing or has no host.

    Raises:
        ValueError: the URL is invalid.
    """
    # HTTPS_PROXY=proxy.example:3128 is common; curl and boto3 accept it.
    parts = urlsplit(url if url and "://" in url else f"http://{url or ''}")
    port = parts.port or _PORT
    if not parts.hostname:
        return None
    if parts.username is None:
        return Proxy(parts.hostname, port, {})
    name_and_password = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    authorization = f"Basic {base64.b64encode(name_and_password.encode()).decode()}"
    return Proxy(parts.hostname, port, {"Proxy-Authorization": authorization})
