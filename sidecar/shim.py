"""A ``credential_process`` that asks the daemon: one file, the standard library, nothing of this package.

Copied alone, it runs as ``python3 -I -S shim.py`` on Python 3.8 and later; ``aws-oidc-sidecar credential-process`` is
the same. The form of its output is the AWS CLI User Guide's, "Sourcing credentials with an external process".
"""

import os
import sys
import time

try:
    # Half of a run's time is what the public module imports around this one.
    import _socket as socket
except ImportError:
    import socket  # type: ignore[no-redef]

# As typing.TYPE_CHECKING, without the 5 ms that importing typing takes of 15.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("OPTIONS", "USAGE", "Trouble", "main")

USAGE = """usage: credential-process [-h] [--profile NAME] [--uri URI] [--auth-token-file PATH] [--direct ...]

Asks the daemon of aws-oidc-sidecar beside us for credentials, and prints them as an AWS credential_process does.
On failure standard output stays empty, one line on standard error says why, and the exit code is 1: the daemon has
no credentials, 2: wrong usage, 3: no daemon answers within a second, 4: it refuses the auth token.

  --profile NAME          whose credentials; names the path where --uri does not
  --uri URI               where to ask, on loopback only
                          [AWS_CONTAINER_CREDENTIALS_FULL_URI; http://127.0.0.1:9841/v1/credentials]
  --auth-token-file PATH  the auth token of that profile
                          [AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE; /var/run/aws-oidc-sidecar/auth-token]
  --direct                exchange a token file here, without a daemon: only as a command of the whole program, see
                          aws-oidc-sidecar credential-process --direct --help
"""
URI = "http://127.0.0.1:9841/v1/credentials"
AUTH_TOKEN_FILE = "/var/run/aws-oidc-sidecar/auth-token"  # noqa: S105 - a path
OPTIONS = ("--profile", "--uri", "--auth-token-file")

# The daemon answers within a second or not at all; clients that call us wait for ever (botocore, Java, JS).
_DEADLINE_SECONDS = 0.9
# A daemon that restarts is back within about half of that: nobody has to notice.
_RETRY_SECONDS = 0.05
_ANSWER_MAX_BYTES = 65_536
# Go reads what we print into a buffer of 8 KiB (aws-sdk-go processcreds).
_OUTPUT_MAX_BYTES = 8_191
_NAMES = {"Token": "SessionToken"}


class Trouble(Exception):  # noqa: N818 - it is the reason for an exit code, not an error in here
    """The one line to print, and the exit code."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


def main(arguments: "Sequence[str]", environment: "Mapping[str, str]") -> int:
    """Print credentials and return 0, or print one line on standard error and return what ``USAGE`` says.

    Args:
        arguments: without the program's name.
        environment: where the endpoint and the auth token are looked for.
    """
    if "-h" in arguments or "--help" in arguments:
        sys.stdout.write(USAGE)
        return 0
    try:
        given = _parse(arguments)
        address, port, path = _target(given, environment)
        _print(_output(_ask(address, port, path, _auth_token(given, environment))))
    except Trouble as trouble:
        sys.stderr.write(f"aws-oidc-sidecar credential-process: {trouble}\n")
        return trouble.code
    return 0


def _print(output: str) -> None:
    # Not by sys.stdout: what it could not write it tries again at the end, with a traceback.
    try:
        written = os.write(1, output.encode())
    except OSError as error:
        raise Trouble(1, f"cannot write to standard output ({error.strerror})") from None
    if written != len(output):
        raise Trouble(1, "cannot write all to standard output")


def _parse(arguments: "Sequence[str]") -> "dict[str, str]":
    given = {}
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag not in OPTIONS:
            hint = (
                "needs the whole program, not this file alone" if flag == "--direct" else "is not an option; see --help"
            )
            raise Trouble(2, f"{flag[:40]} {hint}")
        given[flag] = value if equals else next(rest, "")
        if not given[flag]:
            raise Trouble(2, f"{flag} needs a value")
    return given


def _target(given: "Mapping[str, str]", environment: "Mapping[str, str]") -> "tuple[str, int, str]":
    """Return address, port and path.

    A name is never resolved and no machine but this one is ever asked: the auth token would go to whoever answers.
    """
    uri = given.get("--uri") or environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") or URI
    authority, slash, path = uri.partition("://")[2].partition("/")
    host, _, port = authority.rpartition(":")
    address = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "[::1]": "::1"}.get(host)
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0  # noqa: PLR2004 - digits of a port
    if not uri.startswith("http://") or address is None or not 0 < number < 65_536 or not _is_plain(path):  # noqa: PLR2004
        raise Trouble(2, "the URI to ask has to be http://127.0.0.1:<port>/v1/credentials/<profile>")
    if "--profile" in given and "--uri" not in given:
        path = "v1/credentials/" + given["--profile"]
        if not _is_plain(path):
            raise Trouble(2, "--profile is not a name")
    return address, number, slash + path if slash else "/" + path


def _auth_token(given: "Mapping[str, str]", environment: "Mapping[str, str]") -> str:
    path = given.get("--auth-token-file") or environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if path or not token:
        path = path or AUTH_TOKEN_FILE
        try:
            with open(path, encoding="latin-1") as file:
                token = file.read(_OUTPUT_MAX_BYTES)
        except OSError as error:
            line = f"cannot read the auth token {path} ({error.strerror}); mount the volume of the profile"
            raise Trouble(2, line) from None
    token = token.strip()
    if not token or not _is_plain(token):
        raise Trouble(2, f"the auth token is empty or not one line; is {path or 'it'} a file of the sidecar?")
    return token


def _ask(address: str, port: int, path: str, token: str) -> str:
    """Return the body of a 200."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
    try:
        answer = _exchange_patiently(address, port, head.encode("latin-1")).decode("latin-1")
    except OSError as error:
        why = error.strerror or "no answer in time"
        raise Trouble(3, f"no daemon answers at {address} port {port} ({why}): does the sidecar run here?") from None
    top, _, body = answer.partition("\r\n\r\n")
    words = top.split(" ", 2)
    length = [
        line.partition(":")[2].strip() for line in top.split("\r\n") if line.lower().startswith("content-length:")
    ]
    if not top.startswith("HTTP/1.") or len(words) != 3 or length != [str(len(body))]:  # noqa: PLR2004 - a status line
        raise Trouble(3, f"what answers at {address} port {port} is no sidecar: another program has its port")
    if words[1] != "200":
        raise Trouble(4 if words[1] == "403" else 1, f"the daemon answers {words[1]}: {_reason(body)}")
    return body


def _exchange_patiently(address: str, port: int, request: bytes) -> bytes:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        try:
            return _exchange(address, port, request, deadline)
        except ConnectionError:  # refused or cut: perhaps the daemon restarts
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
            raise Trouble(1, f"the daemon's answer has no {key}; are its version and this file's the same?")
    # Several SDKs use what has expired without a word. Both texts have one form, so they compare as times do.
    if fields["Expiration"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()):
        raise Trouble(1, "the daemon's credentials have expired by this container's clock")
    output = ",".join(parts) + "}\n"
    if len(output) > _OUTPUT_MAX_BYTES:
        raise Trouble(1, f"the credentials are over {_OUTPUT_MAX_BYTES} bytes, which Go does not read; shorten tags")
    return output


def _flat(body: str) -> "dict[str, str]":
    """Return the members of a JSON object whose values are texts without escapes.

    Nothing else is in an answer of ours, and json takes as long to import as the whole interpreter to start.
    """
    words = body.strip().split('"')
    count = len(words) // 4
    between = "".join(words[::2]).replace(" ", "")
    if (
        len(words) != 4 * count + 1
        or between != "{" + ":,".join([""] * count) + ":}"
        or not _is_plain("".join(words), " ")
    ):
        raise Trouble(1, "the daemon's answer is not as this file knows it; are their versions the same?")
    return dict(zip(words[1::4], words[3::4]))  # noqa: B905 - `strict` came with Python 3.10; the count says it


def _is_plain(text: str, also: str = "") -> bool:
    """Whether all is printable ASCII that a header and a JSON text take as it is."""
    return all(("!" <= letter <= "~" and letter not in '"\\') or letter in also for letter in text)


def _reason(body: str) -> str:
    """Return the daemon's own words, which are one line and quote no secret."""
    import json  # noqa: PLC0415 - see _flat

    try:
        return str(json.loads(body)["message"]).partition("\n")[0][:500]
    except (ValueError, KeyError, TypeError):
        return "without a reason"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
