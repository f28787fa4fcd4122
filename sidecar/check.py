"""``aws-oidc-sidecar check``: checks whether the daemon in this pod has credentials. For exec probes and for people.

An exec probe runs every few seconds under the CPU quota of the pod, so this module imports very little: a socket, but
no HTTP library and no argument parser.
"""

import os
import socket
import sys

# As typing.TYPE_CHECKING; importing typing would take 5 of the 20 ms of a probe.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

__all__ = ("check",)

USAGE = """usage: aws-oidc-sidecar check [-h] [--admin-port VALUE] [--admin-address VALUE]

Sends GET /readyz to the daemon and prints one line. Exit codes: 0: every served profile has valid credentials, 1: a
profile has none, 2: wrong usage, 3: the daemon does not answer, 130 or 143: interrupted by SIGINT or SIGTERM.

options:
  --admin-port VALUE     port that serves health and metrics (default: 9842) [AWS_OIDC_SIDECAR_ADMIN_PORT]
  --admin-address VALUE  its IP address (default: 127.0.0.1) [AWS_OIDC_SIDECAR_ADMIN_ADDRESS]
"""
_OPTIONS = {"--admin-port": "AWS_OIDC_SIDECAR_ADMIN_PORT", "--admin-address": "AWS_OIDC_SIDECAR_ADMIN_ADDRESS"}
# The probe of the kubelet has its own timeout; a running daemon answers in milliseconds.
_TIMEOUT_SECONDS = 2.0
_ANSWER_MAX_BYTES = 65_536


def check(
    arguments: "Sequence[str]", environment: "Mapping[str, str] | None" = None, out: "TextIO | None" = None
) -> int:
    """Send a request to the daemon, print one line, and return the exit code: 0, 1, 2 or 3 as in ``USAGE``.

    Args:
        arguments: without the names of program and command.
        environment: by default that of the process.
        out: by default standard output.
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
        # The addresses that mean "all addresses" include loopback.
        target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - where to connect to
        status, text = _ask(target, int(port))
    except (OSError, ValueError, OverflowError):
        out.write(f"no daemon answers at {address} port {port}; check that the sidecar runs in this pod\n")
        return 3
    out.write(f"{text}\n")
    return 0 if status == b"200" else 1


def _parse(arguments: "Sequence[str]") -> dict[str, str]:
    """Return the options by flag; the key "" is set if an argument is not an option."""
    given = {}
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag not in _OPTIONS:
            return {"": argument}
        given[flag] = value if equals else next(rest, "")
    return given


def _ask(address: str, port: int) -> tuple[bytes, str]:
    # Not create_connection: it resolves names, and imports modules for that.
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
