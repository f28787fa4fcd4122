"""SIGTERM and SIGINT in the commands other than `run`: one line on standard error, and exit code 128 + signal."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.functional.cluster_job import Job, job as make_job
from tests.helpers.values import jwt_bytes

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-I", "-m", "sidecar")
SHIM = (sys.executable, "-I", "-S", str(ROOT / "sidecar" / "shim.py"))
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
ISSUER = "https://issuer.test"
ROLE_ARN = "arn:aws:iam::123456789012:role/R"
ROLE = ("--issuer", ISSUER, "--role", "R", "--service-account", "default/app")
PUBLISHED = ("--issuer", ISSUER, "--from", ISSUER)

# Each command waits for a response from {port}, or for a file that is a pipe without a writer.
COMMANDS: dict[str, tuple[str, ...]] = {
    "bootstrap aws": ("bootstrap", "aws", *ROLE, "--connect-to", "{to}"),
    "bootstrap aws --check": ("bootstrap", "aws", *ROLE, "--check", "--connect-to", "{to}"),
    "bootstrap aws --emit": ("bootstrap", "aws", *ROLE, "--emit", "cli", "--connect-to", "{to}"),
    "bootstrap aws at AWS": ("bootstrap", "aws", *ROLE, "--check", "--thumbprint", "0" * 40),
    "bootstrap cluster": ("bootstrap", "cluster", "--token-file", "{token}", "--connect-to", "{to}"),
    "doctor": ("doctor", "--token-file", "{token}", "--connect-to", "{to}", "--place", "elsewhere", "--no-iam"),
    "publish-issuer": ("publish-issuer", *PUBLISHED, "--to", "{site}", "--connect-to", "{to}"),
    "publish-issuer --check": ("publish-issuer", *PUBLISHED, "--check", "--connect-to", "{to}"),
    "credential-process": ("credential-process", "--uri", "http://127.0.0.1:{port}/v1/credentials/default"),
    "credential-process --direct": ("credential-process", "--direct", "--token-file", "{token}"),
    "check": ("check", "--admin-port", "{port}"),
    "run --check-config": ("run", "--check-config"),
    "run --check-conf": ("run", "--check-conf"),
}  # fmt: skip
IMPORTED = {
    "bootstrap aws": ("sidecar.commands.bootstrap_aws", "sidecar.bootstrap.iam", "boto3"),
    "bootstrap cluster": ("sidecar.commands.bootstrap_cluster",),
    "doctor": ("sidecar.cli", "sidecar.commands.doctor"),
    "env": ("sidecar.cli", "sidecar.commands.env"),
    "publish-issuer": ("sidecar.commands.publish_issuer",),
    "credential-process": ("sidecar.shim",),
    "credential-process --direct": ("sidecar.cli", "sidecar.commands.credential_process"),
    "check": ("sidecar.check",),
    "run --check-config": ("sidecar.cli", "sidecar.settings.resolve"),
}
SLOW_IMPORT = """
import sys, time
module = sys.argv.pop(1)
class Finder:
    def find_spec(self, name, *_):
        if name == module:
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Finder())
from sidecar.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


def arguments(name: str, port: int, folder: Path) -> list[str]:
    (folder / "token").write_bytes(jwt_bytes(iss=ISSUER, exp=4_000_000_000))
    values = {
        "port": port,
        "to": f"issuer.test:443:127.0.0.1:{port}",
        "token": folder / "token",
        "site": folder / "site",
    }
    return [text.format(**values) for text in COMMANDS[name]]


def environment(port: int, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AWS_ROLE_ARN": ROLE_ARN,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "x" * 40,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t" * 43,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{port}",
        "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "*",
        **more,
    }


@contextmanager
def started(command: Sequence[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    # Make runs its background jobs with SIGINT ignored, and a child inherits that.
    def default() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=default,  # noqa: PLW1509 - the test has no other thread
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def assert_interrupted(process: subprocess.Popen[str], number: int) -> str:
    """Check the exit code and the one line; return standard output."""
    out, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number, err
    assert err.count("\n") == 1, err
    name = signal.Signals(number).name
    assert err.startswith(("aws-oidc-sidecar: ", "aws-oidc-sidecar credential-process: ")), err
    assert f": interrupted by {name}" in err
    return out


@pytest.mark.mutant("an interrupted command exits with 0", case="bootstrap aws --check-SIGTERM")
@SIGNALS
@pytest.mark.parametrize("name", [name for name in COMMANDS if not name.startswith("run ")])
def test_while_it_waits_on_the_network(name: str, number: int, silent_server: socket.socket, tmp_path: Path) -> None:
    port = silent_server.getsockname()[1]
    with started([*PROGRAM, *arguments(name, port, tmp_path)], environment(port)) as process:
        connection, _ = silent_server.accept()
        with connection:
            connection.settimeout(20)
            assert connection.recv(1), "no request"
            process.send_signal(number)
            out = assert_interrupted(process, number)
            # A child of the command also closes its connection.
            while connection.recv(65_536):
                pass
    reports = name.startswith("bootstrap aws") and "emit" not in name
    assert out.endswith("interrupted: nothing was changed\n" if reports else "")
    assert reports or not out
    assert not (tmp_path / "site").exists()


@SIGNALS
@pytest.mark.parametrize("name", ["run --check-config", "run --check-conf"])
def test_while_it_reads_a_file(name: str, number: int, tmp_path: Path) -> None:
    pipe = tmp_path / "profiles"
    os.mkfifo(pipe)
    variables = environment(1, AWS_ROLE_ARN="", AWS_OIDC_SIDECAR_PROFILES_FILE=str(pipe))
    with started([*PROGRAM, *COMMANDS[name]], variables) as process, pipe.open("wb") as writer:
        process.send_signal(number)
        # Python handles signals before and after the read: a signal between the two is handled after the read ends.
        writer.close()
        assert assert_interrupted(process, number) == ""


# Both signals have the same handler, so one import is sufficient for SIGINT.
@pytest.mark.parametrize(
    ("name", "module", "number"),
    [
        ("env", IMPORTED["env"][0], signal.SIGINT),
        *((name, module, signal.SIGTERM) for name, modules in IMPORTED.items() for module in modules),
    ],
)
def test_during_imports(name: str, module: str, number: int, silent_server: socket.socket, tmp_path: Path) -> None:
    port = silent_server.getsockname()[1]
    wanted = "bootstrap aws at AWS" if module in {"boto3", "sidecar.bootstrap.iam"} else name
    given = ["env"] if wanted == "env" else arguments(wanted, port, tmp_path)
    command = [sys.executable, "-I", "-c", SLOW_IMPORT, module, *given]
    with started(command, environment(port)) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "importing\n":
            assert process.poll() is None
        process.send_signal(number)
        assert_interrupted(process, number)


@SIGNALS
def test_the_shim_as_a_single_file(number: int, silent_server: socket.socket) -> None:
    uri = f"http://127.0.0.1:{silent_server.getsockname()[1]}/v1/credentials/default"
    with started([*SHIM, "--uri", uri], environment(1)) as process:
        connection, _ = silent_server.accept()
        with connection:
            process.send_signal(number)
            assert assert_interrupted(process, number) == ""


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with make_job(tmp_path) as running:
        yield running


def test_bootstrap_cluster_reports_what_it_applied(job: Job) -> None:
    job.server.lag = lag = 1_000_000
    command = [*PROGRAM, "bootstrap", *job.arguments, "--mode", "apply", "--wait", "600"]
    with started(command, job.environment | {"NO_PROXY": "*"}) as process:
        while job.server.lag == lag:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    did = "ClusterRoleBinding allow-anon-openid: created; run this command again to verify it"
    assert (process.returncode, err) == (143, f"aws-oidc-sidecar: interrupted by SIGTERM; {did}\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace of process ids needs root")
@SIGNALS
@pytest.mark.parametrize("name", ["bootstrap aws --check", "doctor", "check", "credential-process"])
def test_as_process_1(name: str, number: int, silent_server: socket.socket, tmp_path: Path) -> None:
    port = silent_server.getsockname()[1]
    unshare = ("unshare", "--pid", "--fork", "--kill-child")
    with started([*unshare, *PROGRAM, *arguments(name, port, tmp_path)], environment(port)) as process:
        connection, _ = silent_server.accept()
        with connection:
            (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(child), number)
            assert_interrupted(process, number)


@SIGNALS
def test_the_daemon_ends_with_0_during_imports(number: int) -> None:
    command = [sys.executable, "-I", "-c", SLOW_IMPORT, "structlog", "run"]
    with started(command, environment(1)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(number)
        assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0
