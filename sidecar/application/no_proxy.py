"""Parses ``NO_PROXY`` as clients do: which hosts are exempt from a proxy. Pure.

There is no standard, and clients differ in almost all forms except one: the host itself, between commas.
``docs/application.md`` lists the forms that each client reads.
"""

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from sidecar.limits import ENDPOINT_ADDRESS

__all__ = ("NO_PROXY", "exempt_for_all", "exempt_for_some", "with_loopback")

NO_PROXY: Final = ("NO_PROXY", "no_proxy")
"""Both spellings; clients prefer different ones."""

_LOOPBACK: Final = (ENDPOINT_ADDRESS, "localhost", "::1")
# Spaces next to a comma have no effect. At a space within an entry, curl since 8.9 ends the list.
_BETWEEN_COMMAS: Final = re.compile(rf"(?: *(?:[^,\s]+ *)?,)* *{re.escape(ENDPOINT_ADDRESS)} *(?:,|\Z)")


def with_loopback(environment: Mapping[str, str]) -> str:
    """Return the entries of both spellings, and loopback, in the form that all clients read.

    An asterisk stays, for Go, Rust and Node, which support it in a list. An asterisk alone is not enough: clients in
    Rust apply it to names and not to addresses.
    """
    texts = (environment.get(name, "") for name in NO_PROXY)
    return ",".join(dict.fromkeys((*(entry for text in texts for entry in _entries(text)), *_LOOPBACK)))


def exempt_for_all(text: str) -> bool:
    """Whether this list exempts the address of the endpoint for all clients."""
    return _BETWEEN_COMMAS.match(text) is not None


def exempt_for_some(text: str) -> bool:
    """Whether this list exempts the address of the endpoint for some clients."""
    return any(map(_exempts, _entries(text)))


def _entries(text: str) -> list[str]:
    # A host has no white space, so white space can be read as a separator, as some clients do.
    return text.replace(",", " ").split()


def _exempts(entry: str) -> bool:
    host, _, port = entry.rpartition(":")
    if entry == "*" or (host == ENDPOINT_ADDRESS and port.isdecimal()):
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(ENDPOINT_ADDRESS) in ipaddress.ip_network(entry, strict=False)
    # Python compares an address like a name with domains.
    return f".{ENDPOINT_ADDRESS}".endswith(f".{entry.lstrip('.')}")
