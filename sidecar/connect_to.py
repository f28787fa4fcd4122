"""``--connect-to``: reaches a host at another address than its name's, as curl's option of that name does.

A proxy that the environment names is not asked for such a host: it knows only where the name really leads.

IAM takes no port in an issuer's URL, so an issuer that is tried out on one machine is ``https://issuer.test`` and
listens elsewhere. Only where the bytes go changes: TLS, the Host header and all checks still see the name.
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ("ConnectTo", "Target", "parse", "redirected")

Target = tuple[str, int]
"""A host name or address, and a port."""

ConnectTo = Mapping[Target, Target]
"""{what a URL says: where the connection goes}."""

_HOST: Final = r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)"
_FORM: Final = re.compile(f"{_HOST}:([0-9]{{1,5}}):{_HOST}:([0-9]{{1,5}})")
_PORT_MAX: Final = 65_535


def parse(text: str) -> tuple[Target, Target]:
    """Return what one ``HOST:PORT:ADDRESS:PORT`` says (curl(1), ``--connect-to``); IPv6 addresses stand in brackets.

    Unlike curl's, no part may be empty: a redirection of every host would send secrets astray.

    Raises:
        ValueError: "what; fix".
    """
    match = _FORM.fullmatch(text)
    if match is None or any(not 0 < int(match[number]) <= _PORT_MAX for number in (2, 4)):
        raise ValueError("not HOST:PORT:ADDRESS:PORT; write it as in issuer.test:443:127.0.0.1:8443")
    return (match[1].strip("[]").lower(), int(match[2])), (match[3].strip("[]"), int(match[4]))


@contextlib.contextmanager
def redirected(connect_to: ConnectTo) -> Iterator[None]:
    """Have every connection of this process that is made in the block go where `connect_to` says.

    It stands in for ``socket.getaddrinfo``, which http.client, urllib3 and so boto3 resolve each target with, and adds
    to ``no_proxy``, which tells boto3's clients, those that it makes for a profile too; a tool that runs once and alone
    in its process may do that, the daemon never does.
    """
    if not connect_to:
        yield
        return
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401 - of the one that it replaces
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
    # As urllib.request reads them: the lower-case variable wins, and an asterisk counts alone.
    exempt = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    named = sorted(f"[{host}]" if ":" in host else host for host in hosts)
    return exempt if exempt.strip() == "*" else ",".join(filter(None, (exempt, *named)))
