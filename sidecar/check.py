"""``aws-oidc-sidecar check``: does the daemon beside us hold credentials? For exec probes and for people.

An exec probe runs every few seconds under the pod's CPU quota, so this imports next to nothing: a plain socket, no
HTTP library, no argument parser.
"""

import os
import socket
import sys

# As typing.TYPE_CHECKING, without the 5 ms that importing typing takes of a probe's 20.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

__all__ = ("check",)

USAGE = """usage: aws-oidc-sidecar check [-h] [--admin-port VALUE] [--admin-address VALUE]

Asks the daemon's /readyz. Prints one line; exit code 0: every served profile holds unexpired credentials, 1: not so,
2: wrong usage, 3: no daemon answers.

options:
  --admin-port VALUE     port of health and metrics (default 9842) [AWS_OIDC_SIDECAR_ADMIN_PORT]
  --admin-address VALUE  its address (default 127.0.0.1) [AWS_OIDC_SIDECAR_ADMIN_ADDRESS]
"""
_OPTIONS = {"--admin-port": "AWS_OIDC_SIDECAR_ADMIN_PORT", "--admin-address": "AWS_OIDC_SIDECAR_ADMIN_ADDRESS"}
# A kubelet's probe gives up after its own timeout; a daemon that lives answers in milliseconds.
_TIMEOUT_SECONDS = 2.0
_ANSWER_MAX_BYTES = 65_536


def check(
    arguments: "Sequence[str]", environment: "Mapping[str, str] | None" = None, out: "TextIO | None" = None
) -> int:
    """Ask the daemon, print one line, and return the exit code: 0, 1, 2 or 3 as in ``USAGE``.

    Args:
        arguments: without the program's and the command's name.
        environment: that of the process unless given.
        out: standard output unless given.
    """
    environment = os.environ if environment is None else environment
    out = out or sys.stdout
    if any(argument in {"-h", "--help"} for argument in arguments):
        out.write(USAGE)
        return 0
    given = _parse(arguments)
    port = given.get("--admin-port") or environment.get(_OPTIONS["--admin-port"]) or "9842"
    address = given.get("--admin-address") or environment.get(_OPTIONS["--admin-address"]) or "127.0.0.1"
    if "" in given or "" in given.values() or not port.isdecimal():
        sys.stderr.write("aws-oidc-sidecar check: wrong usage; see aws-oidc-sidecar check --help\n")
        return 2
    try:
        # The addresses that mean "every one" are reached by loopback.
        target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - where to connect to
        status, text = _ask(target, int(port))
    except (OSError, ValueError, OverflowError):
        out.write(f"no daemon answers at {address} port {port}: is it running there?\n")
        return 3
    out.write(f"{text}\n")
    return 0 if status == b"200" else 1


def _parse(arguments: "Sequence[str]") -> dict[str, str]:
    """Return the options by flag; the key "" says that something is not an option."""
    given = {}
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag not in _OPTIONS:
            return {"": argument}
        given[flag] = value if equals else next(rest, "")
    return given


def _ask(address: str, port: int) -> tuple[bytes, str]:
    # Not create_connection: it takes names, and for those imports what a literal address does not need.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_SECONDS)
        connection.connect((address, port))
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n")
        answer = b""
        while (part := connection.recv(4_096)) and len(answer) < _ANSWER_MAX_BYTES:
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if not words[0].startswith(b"HTTP/") or len(words) != 3:  # noqa: PLR2004 - version, status, reason
        raise ValueError
    return words[1], body.decode("utf-8", "replace").strip().partition("\n")[0]
