"""The commands and the daemon in the image, with its user and with a user id that OpenShift assigns."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar import __version__
from tests.helpers.values import jwt_bytes
from tests.image.container import Engine

USERS = pytest.mark.parametrize("user", [(19841, 19841), (1_000_660_000, 0)], ids=["own", "assigned"])
Start = Callable[[tuple[int, int]], "Daemon"]
RUN = "/var/run/aws-oidc-sidecar"
ASK = (
    "import socket, sys\n"
    "with socket.create_connection(('127.0.0.1', int(sys.argv[1]))) as c:\n"
    "    lines = f'GET {sys.argv[2]} HTTP/1.1', f'Host: 127.0.0.1:{sys.argv[1]}', 'Connection: close', '', ''\n"
    "    c.sendall('\\r\\n'.join(lines).encode())\n"
    "    print(c.makefile('rb').readline().decode())\n"
)


class Daemon:
    """The daemon in a container, with a made-up token and an unreachable STS."""

    def __init__(self, engine: Engine, folder: Path, user: tuple[int, int]) -> None:
        (folder / "token").write_bytes(jwt_bytes(exp=4_000_000_000))
        self._engine = engine
        command = engine.command(
            ["run"],
            user=user,
            mounts=[(folder, "/var/run/secrets/aws-oidc-sidecar", "ro")],
            volumes=[f"{RUN}/state", f"{RUN}/profiles/default"],
            environment={
                "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/reader",
                "AWS_REGION": "eu-central-1",
                "AWS_ENDPOINT_URL_STS": "https://127.0.0.1:1",
            },
        )
        self.name = command[-1]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def line(self, event: str) -> dict[str, object]:
        """Return the next log line of this event."""
        assert self.process.stderr is not None
        seen = []
        for text in self.process.stderr:
            seen.append(text)
            if text.startswith("{") and (line := json.loads(text))["event"] == event:
                return dict(line)
        raise AssertionError("".join(seen))

    def ask(self, port: int, path: str) -> str:
        """Send a request in the container, and return the status line of the response."""
        done = self._engine.execute(self.name, ["/usr/bin/python3", "-I", "-c", ASK, str(port), path])
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def start(engine: Engine, tmp_path: Path) -> Iterator[Start]:
    started: list[Daemon] = []
    folder = tmp_path / "token"
    folder.mkdir()

    def run(user: tuple[int, int]) -> Daemon:
        started.append(Daemon(engine, folder, user))
        return started[-1]

    yield run
    for daemon in started:
        daemon.process.kill()
        daemon.process.communicate()


@USERS
def test_version_prints_the_version(engine: Engine, user: tuple[int, int]) -> None:
    done = engine.run(["--version"], user=user)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"aws-oidc-sidecar {__version__}\n", "")


@USERS
def test_check_config_prints_the_settings(engine: Engine, user: tuple[int, int]) -> None:
    environment = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/reader", "AWS_REGION": "eu-central-1"}
    done = engine.run(["run", "--check-config"], user=user, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "arn:aws:iam::123456789012:role/reader  [AWS_ROLE_ARN]" in done.stdout


@USERS
def test_check_without_a_daemon_has_exit_code_3(engine: Engine, user: tuple[int, int]) -> None:
    assert engine.run(["check"], user=user).returncode == 3


def test_env_prints_the_variables(engine: Engine) -> None:
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:9841/v1/credentials" in engine.run(["env"]).stdout


def test_the_default_command_is_run(engine: Engine, archive_config: dict[str, object]) -> None:
    command = archive_config["Cmd"]
    assert isinstance(command, list)
    done = engine.run(command)
    assert done.returncode == 2
    assert "AWS_ROLE_ARN" in done.stderr


@USERS
def test_the_daemon_is_alive_and_reports_the_failed_exchange(
    engine: Engine, start: Start, user: tuple[int, int]
) -> None:
    began = time.monotonic()  # noqa: TID251 - a measurement of real time
    daemon = start(user)
    daemon.line("started")
    failed = daemon.line("exchange_failed")
    assert time.monotonic() - began < 10  # noqa: TID251 - as above
    assert (failed["outcome"], failed["aws_code"]) == ("unreachable", "EndpointConnectionError")
    assert daemon.ask(9842, "/livez") == "HTTP/1.1 200 OK"
    assert daemon.ask(9842, "/readyz").startswith("HTTP/1.1 503")
    assert daemon.ask(9842, "/metrics") == "HTTP/1.1 200 OK"
    assert daemon.ask(9841, "/v1/credentials/default").startswith("HTTP/1.1 403")
    probe = engine.execute(daemon.name, ["aws-oidc-sidecar", "check"])
    assert probe.returncode == 1
    assert "unreachable" in probe.stdout
    reads = "print(len(open('/var/run/aws-oidc-sidecar/profiles/default/auth-token').read()))"
    assert engine.execute(daemon.name, ["python3", "-I", "-c", reads]).stdout == "43\n"


@USERS
def test_inotify_works_in_the_image(engine: Engine, start: Start, user: tuple[int, int]) -> None:
    daemon = start(user)
    daemon.line("started")
    script = ASK.replace("c.makefile('rb').readline()", "c.makefile('rb').read()")
    command = ["/usr/bin/python3", "-I", "-c", script, "9842", "/metrics"]
    assert "aws_oidc_sidecar_token_watch_active 1.0" in engine.execute(daemon.name, command).stdout


@USERS
def test_as_process_1_the_daemon_ends_on_sigterm(start: Start, user: tuple[int, int]) -> None:
    daemon = start(user)
    daemon.line("started")
    began = time.monotonic()  # noqa: TID251 - as above
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    assert time.monotonic() - began < 2.5  # noqa: TID251 - the daemon has 2 s, runc the rest


@USERS
def test_credential_process_as_a_command_and_as_a_file(engine: Engine, user: tuple[int, int]) -> None:
    token = ["--auth-token-file", "/etc/passwd"]
    for command in (
        ["/usr/bin/aws-oidc-sidecar", "credential-process", *token],
        ["/usr/bin/python3", "-I", "-S", "/opt/aws-oidc-sidecar/shim.py", *token],
    ):
        done = engine.run(command, user=user, entrypoint=False)
        assert (done.returncode, done.stdout) == (3, ""), done.stderr
        assert done.stderr.startswith("aws-oidc-sidecar credential-process: ")


def test_an_init_container_copies_the_shim(engine: Engine, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    code = "import shutil; shutil.copy('/opt/aws-oidc-sidecar/shim.py', '/shared/')"
    done = engine.python(code, mounts=[(shared, "/shared", "rw")])
    assert done.returncode == 0, done.stderr
    assert (shared / "shim.py").read_bytes() == Path("sidecar/shim.py").read_bytes()


def test_direct_reads_a_token_and_reports_an_unreachable_sts(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(jwt_bytes(exp=4_000_000_000))
    arguments = ["--role-arn=arn:aws:iam::123456789012:role/reader", "--token-file=/token", "--region=eu-central-1"]
    done = engine.run(["credential-process", "--direct", *arguments], mounts=[(tmp_path / "token", "/token", "ro")])
    assert (done.returncode, done.stdout) == (3, "")
    assert "unreachable (EndpointConnectionError)" in done.stderr


@USERS
def test_a_process_of_the_same_user_cannot_read_the_daemon(engine: Engine, start: Start, user: tuple[int, int]) -> None:
    """As a container with the sidecar's user id under shareProcessNamespace, and a debug container without rights."""
    daemon = start(user)
    daemon.line("started")
    reads = (
        "import os\n"
        "for path in 'environ', 'maps', 'mem', 'fd/0', 'root/var/run/secrets/aws-oidc-sidecar/token':\n"
        "    try: print(path, open(f'/proc/1/{path}', 'rb').read(1))\n"
        "    except PermissionError: pass\n"
        # Before the first line of a program: the interpreter's mode has made this process non-dumpable.
        "print(os.stat('/proc/self/environ').st_uid, open('/proc/1/stat').read(2))\n"
    )
    done = engine.execute(daemon.name, ["/usr/bin/python3", "-I", "-c", reads])
    assert (done.stdout, done.stderr) == ("0 1 \n", "")
    # Its own reads of /proc/self: limits and fd, stat; the doctor reads mountinfo.
    script = ASK.replace("c.makefile('rb').readline()", "c.makefile('rb').read()")
    text = engine.execute(daemon.name, ["/usr/bin/python3", "-I", "-c", script, "9842", "/metrics"]).stdout
    for metric in ("process_max_fds", "process_open_fds", "process_resident_memory_bytes"):
        assert metric in text
    own = "print(len(open('/proc/self/mountinfo').read()) > 100)"
    assert engine.execute(daemon.name, ["/usr/bin/python3", "-I", "-c", own]).stdout == "True\n"
