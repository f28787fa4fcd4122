"""No token, key or Authorization value is disclosed by any failure, at debug level (I3).

Each case of this folder searches for secrets at its end. Here are the failures that no other case has, and tests that
the search finds disclosed secrets.
"""

import socket
from collections.abc import Callable

import pytest

from examples.local import denials
from examples.local.faults import FaultKind
from tests.faults import audit
from tests.faults.case import Case
from tests.faults.processes import core_limit
from tests.faults.watch import ask

pytestmark = pytest.mark.timeout(120)


def _send(port: int, data: bytes) -> bytes:
    """Send these bytes, and return the response."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while more := sock.recv(65_536):
            answer += more
    return answer


BAD_REQUESTS: dict[str, Callable[[str, str], str]] = {
    "token in the target": lambda host, token: f"GET /{token} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "token in the query": lambda host, token: f"GET /v1/credentials/default?t={token} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "token as the method": lambda host, token: f"{token} / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "token as the host": lambda _, token: f"GET / HTTP/1.1\r\nHost: {token}\r\n\r\n",
    "token as the version": lambda host, token: f"GET / {token}\r\nHost: {host}\r\n\r\n",
    "token with a line feed": lambda host, token: (
        f"GET / HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\nx\r\n\r\n"
    ),
    "token twice": lambda host, token: (
        f"GET /v1/credentials/default HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n"
        f"Authorization: {token}\r\n\r\n"
    ),
    "token in a huge head": lambda host, token: (
        f"GET / HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nX: {'x' * 20_000}\r\n\r\n"
    ),
    "token and an origin": lambda host, token: (
        f"GET /v1/credentials/default HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nOrigin: http://x\r\n\r\n"
    ),
}


@pytest.mark.parametrize("port", ["endpoint", "admin"])
def test_a_bad_request_is_not_quoted(case: Case, port: str) -> None:
    case.start_with_credentials()
    number = case.sidecar.port if port == "endpoint" else case.sidecar.admin_port
    answers = {
        name: _send(number, make(f"127.0.0.1:{number}", case.sidecar.auth_token).encode())
        for name, make in BAD_REQUESTS.items()
    }
    assert all(answers.values())
    secrets = audit.secrets_of(case.tokens, case.world.aws.issued(), case.auth_tokens)
    assert not audit.find(secrets, {name: [answer] for name, answer in answers.items()})


def test_all_failures_of_sts_in_one_process_at_debug_level_disclose_no_secret(case: Case) -> None:
    case.start_with_credentials()
    # A policy that applies to AWS principals alone does not deny an exchange.
    granted = {kind for kind, denial in denials.TEXTS.items() if not denial.of_tokens}
    for kind in FaultKind:
        case.world.aws.faults.replace([])
        case.mark()
        case.world.aws.faults.set(kind, seconds=0.2)
        case.refresh()
        case.wait_for_line("exchange_started")
        if kind in {FaultKind.SLOW, FaultKind.STALE_JWKS, FaultKind.FAR_EXPIRY, *granted}:
            case.wait_for_line("credentials_refreshed")
        else:
            case.wait_for_line("exchange_failed")
    case.world.aws.faults.clear()
    case.deny()
    case.mark()
    case.refresh()
    case.wait_for_line("exchange_failed")
    for content in (b"", b"no.token.here", case.tokens[0].encode()[:-4], (case.tokens[0] + "\n\nx").encode()):
        case.put_token(content)
        case.watch.more(2)
    for path in ("/metrics", "/livez", "/readyz", "/startupz", "/nothing"):
        case.watch.bodies.add(ask(case.sidecar.admin_port, path).body)
    for token in ("", "x" * 43, case.sidecar.auth_token[:-1], case.sidecar.auth_token + "x"):
        case.watch.bodies.add(ask(case.sidecar.port, "/v1/credentials/default", token).body)
    assert len(case.sidecar.raw) > 30


def test_no_core_file_can_be_written(case: Case) -> None:
    case.start_with_credentials()
    assert core_limit(case.sidecar.process.pid) == "0"
    case.refresh()
    case.children.wait_for_child(set(case.children.seen))
    case.watch.more(5)
    assert case.children.core_limits == {"0"}


def test_the_state_file_has_mode_0600(case: Case) -> None:
    case.start_with_credentials()
    case.watch.more(2)
    (state,) = case.state.iterdir()
    assert state.stat().st_mode & 0o777 == 0o600
    modes = {path.name: path.stat().st_mode & 0o777 for path in case.sidecar.profile_directory.iterdir()}
    assert modes == {"auth-token": 0o644, "credentials.json": 0o644}


@pytest.mark.parametrize("place", ["cwd", "tmp", "run/profiles/default"])
def test_the_search_finds_a_secret_in_a_file(case: Case, place: str) -> None:
    case.start_with_credentials()
    file = case.directory / place / "file"
    file.write_text(f"key={case.world.aws.issued()[0].secret_access_key}")
    (leak,) = case.leaks()
    assert "a secret access key in" in leak
    file.unlink()


def test_the_search_finds_a_part_of_a_token_in_a_log_line_and_an_environment(case: Case) -> None:
    case.start_with_credentials()
    part = case.tokens[0].split(".")[2]
    line = f'{{"event": "x", "detail": "{part}"}}'
    case.sidecar.raw.append(line)
    case.children.shown.add(f"A=1\0TOKEN={part}\0".encode())
    assert len(case.leaks()) == 2
    case.sidecar.raw.remove(line)
    case.children.shown = {text for text in case.children.shown if part.encode() not in text}


def test_the_search_finds_a_state_file_that_other_users_can_read(case: Case) -> None:
    case.start_with_credentials()
    case.watch.more(2)
    state = case.state / "default.json"
    state.chmod(0o644)
    assert len(case.leaks()) == 3
    state.chmod(0o600)
