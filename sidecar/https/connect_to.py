"""``--connect-to``: connects to another address than that of a host's name, like the option of curl.

The proxy of the environment is not used for such a host: the proxy would resolve the name.

IAM accepts no port in the URL of an issuer, so an issuer in a test on one machine is ``https://issuer.test`` and
listens on another port. Only the address of the connection changes: TLS, the Host header and all checks use the name.
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar.errors import InvalidValueError

__all__ = ("ConnectTo", "Target", "parse_connect_to", "redirected")

Target = tuple[str, int]
"""A host name or address, and a port."""

ConnectTo = Mapping[Target, Target]
"""{host and port of a URL: host and port of the connection}."""

_HOST: Final = r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)"
_FORM: Final = re.compile(f"{_HOST}:([0-9]{{1,5}}):{_HOST}:([0-9]{{1,5}})")
_PORT_MAX: Final = 65_535


def parse_connect_to(text: str) -> tuple[Target, Target]:
    """Return the two parts of ``HOST:PORT:ADDRESS:PORT`` (curl(1), ``--connect-to``); IPv6 addresses are in brackets.

    Unlike in curl, no part may be empty: a redirection of all hosts would send secrets to the wrong server.

    Raises:
        InvalidValueError: the text does not have this form.
    """
    match = _FORM.fullmatch(text)
    if match is None or any(not 0 < int(match[number]) <= _PORT_MAX for number in (2, 4)):
        raise InvalidValueError("not HOST:PORT:ADDRESS:PORT", "write for example issuer.test:443:127.0.0.1:8443")
    return (match[1].strip("[]").lower(), int(match[2])), (match[3].strip("[]"), int(match[4]))


@contextlib.contextmanager
def redirected(connect_to: ConnectTo) -> Iterator[None]:
    """Redirect the connections of this process, within the block, as `connect_to` says.

    It replaces ``socket.getaddrinfo``, which http.client, urllib3 and boto3 call for each host, and extends
    ``no_proxy`` for the clients of boto3, also for those that boto3 creates for a profile. A command that is alone in
    its process can do that; the daemon must not.
    """
    if not connect_to:
        yield
        return
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401 - the signature of the replaced function
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
        number = int(port) if str(port).isdecimal() else port
        return resolve(*connect_to.get((name.lower(), number), (host, port)), *rest, **named)

    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = _exempting({host for host, _ in connect_to})
    socket.getaddrinfo = getaddrinfo
    try:
        yield
    finally:
        socket.getaddrinfo = resolve
        if before is None:
            os.environ.pop("no_proxy", None)
        else:
            os.environ["no_proxy"] = before


def _exempting(hosts: set[str]) -> str:
    # As urllib.request reads them: the lower-case variable wins, and an asterisk must be the whole value.
    exempt = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    named = sorted(f"[{host}]" if ":" in host else host for host in hosts)
    return exempt if exempt.strip() == "*" else ",".join(filter(None, (exempt, *named)))
