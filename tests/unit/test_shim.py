"""The shim against servers that answer well, wrongly, slowly or not at all; most tests start it as applications do."""

import ast
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sidecar import shim
from sidecar.credentials.bodies import ecs_body, process_body
from tests.helpers.scripted_peer import Peer
from tests.helpers.values import credentials

FILE = Path(__file__).parents[2] / "sidecar" / "shim.py"
CREDENTIALS = credentials(expires_at=4_000_000_000)
GOOD = ecs_body(CREDENTIALS)


def answer(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (
        status.encode(), len(body) if length is None else length, body,
    )  # fmt: skip


Start = Callable[[bytes | Callable[[socket.socket], None]], Peer]


@pytest.fixture
def peer() -> Iterator[Start]:
    made: list[Peer] = []

    def start(act: bytes | Callable[[socket.socket], None]) -> Peer:
        if isinstance(act, bytes):
            content = act
            made.append(Peer(lambda connection: connection.sendall(content)))
        else:
            made.append(Peer(act))
        return made[-1]

    yield start
    for one in made:
        one.close()


def environment(port: int, **more: str) -> dict[str, str]:
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}/v1/credentials/default",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t" * 43,
    } | more


def run(variables: dict[str, str], *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(FILE), *arguments]
    return subprocess.run(
        command, env=variables, text=True, check=False, timeout=20,
        stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_it_sends_one_request_and_prints_the_credentials(peer: Start) -> None:
    there = peer(answer(GOOD))
    done = run(environment(there.port))
    assert (done.returncode, done.stdout.encode(), done.stderr) == (0, process_body(CREDENTIALS), "")
    assert there.heads == [
        b"GET /v1/credentials/default HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: %s\r\nConnection: close\r\n\r\n"
        % (there.port, b"t" * 43)
    ]


@pytest.mark.rule("SDK 32")
def test_a_missing_daemon_is_reported_within_a_second() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: refused
        began = time.perf_counter()
        done = run(environment(free.getsockname()[1]))
    assert time.perf_counter() - began < 3  # 0.9 s of its own, and an interpreter on a busy machine
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("aws-oidc-sidecar credential-process: no daemon answers at 127.0.0.1 port ")
    assert done.stderr.endswith(" (Connection refused); check that the sidecar runs in this pod\n")
    assert done.stderr.count("\n") == 1


def _drip(connection: socket.socket) -> None:
    for letter in answer(GOOD):
        time.sleep(0.1)
        connection.send(bytes([letter]))


@pytest.mark.rule("SDK 32")
@pytest.mark.parametrize("act", [lambda _: time.sleep(5), _drip], ids=["silent", "a byte at a time"])
def test_a_daemon_that_hangs_is_reported_within_a_second(peer: Start, act: Callable[[socket.socket], None]) -> None:
    there = peer(act)
    began = time.perf_counter()
    done = run(environment(there.port))
    assert time.perf_counter() - began < 3  # as above
    assert (done.returncode, done.stdout) == (3, "")
    assert "(no answer in time)" in done.stderr


def test_a_reset_connection_is_retried(peer: Start) -> None:
    tries: list[int] = []

    def reset_once(connection: socket.socket) -> None:
        tries.append(1)
        if len(tries) == 1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        else:
            connection.sendall(answer(GOOD))

    done = run(environment(peer(reset_once).port))
    assert (done.returncode, len(tries)) == (0, 2)


WRONG = {
    "nothing": (b"", 3),
    "no HTTP": (b"220 smtp.example ESMTP\r\n\r\n", 3),
    "cut short": (answer(GOOD, length=len(GOOD) + 1), 3),
    "no length": (b"HTTP/1.1 200 OK\r\n\r\n" + GOOD, 3),
    "a page": (answer(b"<html></html>"), 1),
    "a redirect": (answer(b"", "302 Found"), 1),
    "rejected": (answer(b'{"message":"the token is wrong"}', "403 Forbidden"), 4),
    "no credentials": (answer(b'{"message":"no credentials"}', "503 Service Unavailable"), 1),
    "an error that is no JSON": (answer(b"oops", "500 Internal Server Error"), 1),
    "without the secret": (answer(b'{"AccessKeyId":"A","Token":"T","Expiration":"2999-01-01T00:00:00Z"}'), 1),
    "an empty token": (answer(GOOD.replace(CREDENTIALS.session_token.encode(), b"")), 1),
    "expired": (answer(ecs_body(credentials(expires_at=1_000_000_000))), 1),
    "too large for Go": (answer(GOOD.replace(CREDENTIALS.session_token.encode(), b"x" * 8_000)), 1),
    "an escape": (answer(GOOD.replace(CREDENTIALS.session_token.encode(), b"\\u0041")), 1),
    "a control character": (answer(GOOD.replace(CREDENTIALS.session_token.encode(), b"a\nb")), 1),
    "nested": (answer(b'{"Credentials":{"AccessKeyId":"A"}}'), 1),
    "an array": (answer(b'["AccessKeyId","A","Token","T"]'), 1),
    "a number": (answer(b'{"AccessKeyId":1}'), 1),
    "endless": (b"x" * 100_000, 3),
}


@pytest.mark.rule("SDK 31", "SDK 37")
@pytest.mark.mutant("the shim prints expired credentials", "the shim prints incomplete credentials")
@pytest.mark.parametrize("name", WRONG)
def test_after_a_bad_answer_standard_output_is_empty(peer: Start, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    content, code = WRONG[name]
    assert shim.main([], environment(peer(content).port)) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert CREDENTIALS.secret_access_key not in err
    assert "ttttt" not in err


@pytest.mark.rule("SDK 37")
@pytest.mark.mutant("the shim sends requests to any machine")
@pytest.mark.parametrize(
    "uri",
    [
        "http://169.254.170.2/v1/credentials", "http://127.0.0.1.evil.example:80/", "http://evil.example:9841/", "",
        "https://127.0.0.1:9841/", "http://127.0.0.1/", "http://127.0.0.1:0/", "http://127.0.0.1:99999/", "http://:1/",
        "http://user@127.0.0.1:9841/", "http://127.0.0.1:9841/a b", "http://127.0.0.1:9841/\r\nHost: x", "127.0.0.1:1/",
        "http://127.0.0.2:9841/", "http://2130706433:9841/", "HTTP://127.0.0.1:9841/", "http://127.0.0.1:²/",
    ],
)  # fmt: skip
def test_the_auth_token_is_not_sent_to_another_machine(uri: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert shim.main([f"--uri={uri}"], {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "t" * 43}) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_hosts_are_accepted(peer: Start, host: str, capfd: pytest.CaptureFixture[str]) -> None:
    there = peer(answer(GOOD))
    uri = f"http://{host}:{there.port}"
    assert shim.main(["--uri", uri], environment(1)) == 0
    assert capfd.readouterr().out.encode() == process_body(CREDENTIALS)
    assert there.heads[0].startswith(b"GET / HTTP/1.1\r\n")


def test_the_profile_sets_the_path(peer: Start, capfd: pytest.CaptureFixture[str]) -> None:
    there = peer(answer(GOOD))
    assert shim.main(["--profile", "reader"], environment(there.port)) == 0
    assert shim.main(["--profile=a b"], environment(there.port)) == 2
    assert there.heads[0].startswith(b"GET /v1/credentials/reader HTTP/1.1\r\n")
    assert capfd.readouterr().err.endswith("--profile is not a profile name\n")


@pytest.mark.parametrize("arguments", [["--port", "1"], ["now"], ["--profile"], ["--uri="], ["--direct"]])
def test_wrong_usage_is_one_line_and_code_2(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert shim.main(arguments, environment(1)) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"a b", "tök".encode(), b"x" * 9_000 + b"\n y"])
def test_an_invalid_auth_token_file_is_rejected(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "auth-token").write_bytes(content)
    assert shim.main(["--auth-token-file", str(tmp_path / "auth-token")], environment(1)) in {2, 3}
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_the_auth_token_file_wins_over_the_variable(peer: Start, tmp_path: Path) -> None:
    there = peer(answer(GOOD))
    (tmp_path / "auth-token").write_text("f" * 43 + "\n")
    variables = environment(there.port, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(tmp_path / "auth-token"))
    assert run(variables).returncode == 0
    assert b"Authorization: " + b"f" * 43 + b"\r\n" in there.heads[0]


@pytest.mark.rule("SDK 30", "SDK 35", "SDK 37")
def test_proxy_and_python_variables_have_no_effect(peer: Start, tmp_path: Path) -> None:
    there = peer(answer(GOOD))
    (tmp_path / "socket.py").write_text("raise SystemExit('planted')")
    (tmp_path / "os.py").write_text("raise SystemExit('planted')")
    variables = environment(
        there.port, PYTHONPATH=str(tmp_path), PYTHONSTARTUP="/nowhere", PYTHONWARNINGS="error", PYTHONVERBOSE="1",
        http_proxy="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1", ALL_PROXY="socks5://127.0.0.1:1",
    )  # fmt: skip
    done = run(variables)
    assert (done.returncode, done.stdout.encode(), done.stderr) == (0, process_body(CREDENTIALS), "")


@pytest.mark.rule("SDK 34")
def test_concurrent_and_repeated_runs_succeed(peer: Start) -> None:
    there = peer(answer(GOOD))
    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(lambda _: run(environment(there.port)), range(40)))
    assert {(one.returncode, one.stdout.encode(), one.stderr) for one in done} == {(0, process_body(CREDENTIALS), "")}


@pytest.mark.rule("SDK 31")
def test_a_failed_write_to_standard_output_is_one_line(peer: Start) -> None:
    there = peer(answer(GOOD))
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = run(environment(there.port), stdout=full.fileno())
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left on device" in done.stderr


def test_help_lists_the_options() -> None:
    done = run({}, "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in shim.OPTION_NAMES)


@pytest.mark.rule("SDK 35")
def test_it_imports_few_modules(peer: Start) -> None:
    there = peer(answer(GOOD))
    # Compiled here, because runpy imports more modules.
    code = (
        f"import sys; code = compile(open({str(FILE)!r}).read(), 'shim', 'exec'); space = {{'__name__': 'shim'}}\n"
        "exec(code, space); import os; status = space['main']([], os.environ)\n"
        "sys.stderr.write(' '.join(sorted(sys.modules))); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        env=environment(there.port),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    loaded = set(done.stderr.split())
    assert "_socket" in loaded
    assert not loaded & {"json", "re", "enum", "socket", "typing", "pathlib", "argparse", "http", "sidecar", "site"}


@pytest.mark.rule("SDK 35")
def test_its_syntax_is_valid_for_python_3_8() -> None:
    ast.parse(FILE.read_text(), feature_version=(3, 8))


@pytest.mark.rule("SDK 29")
def test_it_prints_one_line_of_json_that_sdks_can_read() -> None:
    printed = shim._output(GOOD.decode())
    assert printed.count("\n") == 1
    assert list(json.loads(printed)) == [
        "Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AccountId",
    ]  # fmt: skip
    assert len(printed) < 8_192
