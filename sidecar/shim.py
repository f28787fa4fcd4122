"""A ``credential_process`` that gets credentials from the daemon: one file that needs only the standard library.

A copy of this file runs as ``python3 -I -S shim.py`` on Python 3.8 and later; ``aws-oidc-sidecar credential-process``
is the same program. Output format: AWS CLI User Guide, "Sourcing credentials with an external process".
"""

import os
import sys
import time

try:
    # The imports of the public module take half of the time of a run.
    import _socket as socket
except ImportError:
    import socket  # type: ignore[no-redef]

# As typing.TYPE_CHECKING; importing typing would take 5 of 15 ms.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("OPTION_NAMES", "USAGE", "ShimError", "main")

USAGE = """usage: credential-process [-h] [--profile NAME] [--uri URI] [--auth-token-file PATH] [--direct ...]

Gets credentials from the aws-oidc-sidecar daemon in this pod, and prints them in the format of an AWS
credential_process. After a failure standard output is empty and standard error has one line. Exit codes: 1: the daemon
has no credentials, 2: wrong usage, 3: the daemon does not answer within a second, 4: the daemon rejects the auth token,
130 or 143: interrupted by SIGINT or SIGTERM.

  --profile NAME          profile whose credentials are printed; sets the path of the URI, unless --uri is given
  --uri URI               URI of the credentials endpoint; the host must be a loopback address or localhost
                          [AWS_CONTAINER_CREDENTIALS_FULL_URI; default: http://127.0.0.1:9841/v1/credentials]
  --auth-token-file PATH  file with the auth token of the profile
                          [AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE; default: /var/run/aws-oidc-sidecar/auth-token]
  --direct                exchange the token of a file, without a daemon; needs the complete program, see
                          aws-oidc-sidecar credential-process --direct --help
"""
URI = "http://127.0.0.1:9841/v1/credentials"
DEFAULT_AUTH_TOKEN_FILE = "/var/run/aws-oidc-sidecar/auth-token"  # noqa: S105 - a path
OPTION_NAMES = ("--profile", "--uri", "--auth-token-file")

# The daemon answers within a second or not at all; SDKs wait for this process without a timeout (botocore, Java, JS).
_DEADLINE_SECONDS = 0.9
# A daemon that restarts answers again within about half of that: the SDK does not notice the restart.
_RETRY_SECONDS = 0.05
_ANSWER_MAX_BYTES = 65_536
# Go reads the output into a buffer of 8 KiB (aws-sdk-go processcreds).
_OUTPUT_MAX_BYTES = 8_191
_NAMES = {"Token": "SessionToken"}
_SIGNALS = {2: "SIGINT", 15: "SIGTERM"}


class ShimError(Exception):
    """A failure: the line to print, and the exit code."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


def main(arguments: "Sequence[str]", environment: "Mapping[str, str]") -> int:
    """Print credentials and return 0, or print one line on standard error and return an exit code of ``USAGE``.

    Args:
        arguments: without the program's name.
        environment: has the variables of the endpoint and the auth token.
    """
    if "-h" in arguments or "--help" in arguments:
        sys.stdout.write(USAGE)
        return 0
    try:
        given = _parse(arguments)
        address, port, path = _target(given, environment)
        _print(_output(_ask(address, port, path, _auth_token(given, environment))))
    except ShimError as error:
        sys.stderr.write(f"aws-oidc-sidecar credential-process: {error}\n")
        return error.code
    return 0


def _print(output: str) -> None:
    # Not by sys.stdout: after a failed write it tries again at exit, and prints a traceback.
    try:
        written = os.write(1, output.encode())
    except OSError as error:
        raise ShimError(1, f"cannot write to standard output ({error.strerror})") from None
    if written != len(output):
        raise ShimError(1, "cannot write the whole output to standard output")


def _parse(arguments: "Sequence[str]") -> "dict[str, str]":
    given = {}
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag not in OPTION_NAMES:
            hint = (
                "needs the complete program; run aws-oidc-sidecar credential-process"
                if flag == "--direct"
                else "is not an option; see --help"
            )
            raise ShimError(2, f"{flag[:40]} {hint}")
        given[flag] = value if equals else next(rest, "")
        if not given[flag]:
            raise ShimError(2, f"{flag} needs a value")
    return given


def _target(given: "Mapping[str, str]", environment: "Mapping[str, str]") -> "tuple[str, int, str]":
    """Return address, port and path.

    Names are not resolved and other machines are rejected: any server that answers would receive the auth token.
    """
    uri = given.get("--uri") or environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") or URI
    authority, slash, path = uri.partition("://")[2].partition("/")
    host, _, port = authority.rpartition(":")
    address = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "[::1]": "::1"}.get(host)
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0  # noqa: PLR2004 - digits of a port
    if not uri.startswith("http://") or address is None or not 0 < number < 65_536 or not _is_plain(path):  # noqa: PLR2004
        raise ShimError(2, "the URI is not valid; use http://127.0.0.1:<port>/v1/credentials/<profile>")
    if "--profile" in given and "--uri" not in given:
        path = "v1/credentials/" + given["--profile"]
        if not _is_plain(path):
            raise ShimError(2, "--profile is not a profile name")
    return address, number, slash + path if slash else "/" + path


def _auth_token(given: "Mapping[str, str]", environment: "Mapping[str, str]") -> str:
    path = given.get("--auth-token-file") or environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if path or not token:
        path = path or DEFAULT_AUTH_TOKEN_FILE
        try:
            with open(path, encoding="latin-1") as file:
                token = file.read(_OUTPUT_MAX_BYTES)
        except OSError as error:
            line = f"cannot read the auth token {path} ({error.strerror}); mount the profile's volume"
            raise ShimError(2, line) from None
    token = token.strip()
    if not token or not _is_plain(token):
        raise ShimError(2, f"the auth token is empty or not one line; check that {path or 'it'} is from the sidecar")
    return token


def _ask(address: str, port: int, path: str, token: str) -> str:
    """Return the body of a response with status 200."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
    try:
        answer = _exchange_with_retries(address, port, head.encode("latin-1")).decode("latin-1")
    except OSError as error:
        why = error.strerror or "no answer in time"
        line = f"no daemon answers at {address} port {port} ({why}); check that the sidecar runs in this pod"
        raise ShimError(3, line) from None
    top, _, body = answer.partition("\r\n\r\n")
    words = top.split(" ", 2)
    length = [
        line.partition(":")[2].strip() for line in top.split("\r\n") if line.lower().startswith("content-length:")
    ]
    if not top.startswith("HTTP/1.") or len(words) != 3 or length != [str(len(body))]:  # noqa: PLR2004 - a status line
        line = f"the server at {address} port {port} is not the sidecar; check which program uses this port"
        raise ShimError(3, line)
    if words[1] != "200":
        raise ShimError(4 if words[1] == "403" else 1, f"the daemon answers {words[1]}: {_reason(body)}")
    return body


def _exchange_with_retries(address: str, port: int, request: bytes) -> bytes:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        try:
            return _exchange(address, port, request, deadline)
        except ConnectionError:  # refused or closed: the daemon may be restarting
            if time.monotonic() + _RETRY_SECONDS > deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def _exchange(address: str, port: int, request: bytes, deadline: float) -> bytes:
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        connection.connect((address, port))
        connection.sendall(request)
        answer = b""
        while len(answer) < _ANSWER_MAX_BYTES:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            part = connection.recv(16_384)
            if not part:
                break
            answer += part
        return answer
    finally:
        connection.close()


def _output(body: str) -> str:
    fields = _flat(body)
    parts = ['{"Version":1']
    for key in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId"):
        value = fields.get(key)
        if value:
            parts.append(f'"{_NAMES.get(key, key)}":"{value}"')
        elif key != "AccountId":
            raise ShimError(1, f"the daemon's answer has no {key}; use the daemon and this file of one version")
    # Several SDKs use expired credentials without an error. Both texts have the same form: they compare like times.
    if fields["Expiration"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()):
        raise ShimError(1, "the daemon's credentials have expired by the clock of this container; check the clock")
    output = ",".join(parts) + "}\n"
    if len(output) > _OUTPUT_MAX_BYTES:
        line = f"the credentials are over {_OUTPUT_MAX_BYTES} bytes, which Go cannot read; shorten the session tags"
        raise ShimError(1, line)
    return output


def _flat(body: str) -> "dict[str, str]":
    """Return the members of a JSON object whose values are texts without escapes.

    An answer of the daemon has no others, and importing json takes as long as the start of the interpreter.
    """
    words = body.strip().split('"')
    count = len(words) // 4
    between = "".join(words[::2]).replace(" ", "")
    if (
        len(words) != 4 * count + 1
        or between != "{" + ":,".join([""] * count) + ":}"
        or not _is_plain("".join(words), " ")
    ):
        raise ShimError(1, "the daemon's answer has an unknown form; use the daemon and this file of one version")
    return dict(zip(words[1::4], words[3::4]))  # noqa: B905 - `strict` needs Python 3.10; the count was checked above


def _is_plain(text: str, also: str = "") -> bool:
    """Whether each character is printable ASCII that needs no escape in a header and in JSON."""
    return all(("!" <= letter <= "~" and letter not in '"\\') or letter in also for letter in text)


def _reason(body: str) -> str:
    """Return the message of the daemon, which is one line and quotes no secret."""
    import json  # noqa: PLC0415 - see _flat

    try:
        return str(json.loads(body)["message"]).partition("\n")[0][:500]
    except (ValueError, KeyError, TypeError):
        return "no reason given"


def _interrupted(number: int, _frame: object) -> None:
    os.write(2, f"aws-oidc-sidecar credential-process: interrupted by {_SIGNALS[number]}\n".encode())
    os._exit(128 + number)


if __name__ == "__main__":
    # The module that `signal` wraps; `signal` imports enum.
    import _signal as signal  # type: ignore[import-not-found]

    for _number in _SIGNALS:
        if signal.getsignal(_number) != signal.SIG_IGN:
            signal.signal(_number, _interrupted)
    sys.exit(main(sys.argv[1:], os.environ))
