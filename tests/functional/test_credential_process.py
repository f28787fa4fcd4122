"""Every form of ``credential_process``: the real daemon, AWS CLI and boto3, and the config files of the examples."""

import json
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.local.faults import FaultKind
from examples.local.kubelet import Kubelet
from examples.local.process import Sidecar
from examples.local.world import World

Run = Callable[..., Sidecar]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PROGRAM = BIN / "aws-oidc-sidecar"
IDENTITY = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
ARN = "arn:aws:sts::123456789012:assumed-role/KubernetesParameterStoreRole/default-aws-test"


SHIM = (sys.executable, "-I", "-S", str(ROOT / "sidecar" / "shim.py"))


def shim(environment: dict[str, str], *arguments: str, command: tuple[str, ...] = SHIM) -> tuple[int, str, str]:
    done = subprocess.run(
        [*command, *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def eventually(sidecar: Sidecar, holds: Callable[[], bool]) -> None:
    """Wait for an effect that a thread of the daemon causes after it wrote the log line."""
    for _ in range(200):
        if holds():
            return
        sidecar.wait(0.05)
    raise TimeoutError


class Container:
    """An application container with a config file of the examples, but without the variables of the endpoint.

    The paths of a pod in the example are replaced by the paths of this machine.
    """

    def __init__(self, world: World, sidecar: Sidecar | None, home: Path, form: str, token_file: Path) -> None:
        text = (ROOT / "examples" / "credential-process" / f"{form}.ini").read_text()
        volume = sidecar.profile_directory if sidecar else home
        shutil.copy(ROOT / "sidecar" / "shim.py", home / "shim.py")
        for there, here in {
            "aws-oidc-sidecar credential-process": f"{PROGRAM} credential-process",
            "/usr/bin/python3": sys.executable,
            "/opt/aws-oidc-sidecar/shim.py": str(home / "shim.py"),
            "/var/run/aws-oidc-sidecar/": f"{volume}/",
            "/var/run/secrets/aws-oidc-sidecar/token": str(token_file),
        }.items():
            text = text.replace(there, here)
        (home / "config").write_text(text)
        self.environment = {
            # No HOME and no Python in PATH: the line of the file must be enough.
            "PATH": "/usr/bin:/bin",
            "AWS_CONFIG_FILE": str(home / "config"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": world.aws.url,
        }
        if sidecar:
            # The daemon of a test uses another port; in a pod it is 9841 and neither variable is needed.
            self.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://127.0.0.1:{sidecar.port}/v1/credentials"
            self.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(volume / "auth-token")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=30, cwd="/"
        )


@pytest.mark.rule("SDK 30", "SDK 33", "SDK 35")
@pytest.mark.parametrize("form", ["daemon", "shim", "cat"])
def test_unmodified_clients_work_through_each_form(
    fresh_world: World, run_sidecar: Run, kubelet: Kubelet, tmp_path: Path, form: str
) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    eventually(sidecar, (sidecar.profile_directory / "credentials.json").exists)
    container = Container(fresh_world, sidecar, tmp_path, form, kubelet.path)
    cli = container.run(str(BIN / "aws"), "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    assert (cli.returncode, cli.stdout.strip(), cli.stderr) == (0, ARN, "")
    boto3 = container.run(sys.executable, "-I", "-c", IDENTITY)
    assert (boto3.returncode, boto3.stdout.strip(), boto3.stderr) == (0, ARN, "")
    keys = {issued.access_key_id for issued in fresh_world.aws.issued()}
    assert len(keys) == 1, "a client that gets credentials from the daemon must not send a request to STS"
    if form == "cat":
        assert sidecar.metric("http_requests_total", code="200", reason="none") == 0


def test_the_config_line_replaces_the_endpoint_variables(
    fresh_world: World, run_sidecar: Run, kubelet: Kubelet, tmp_path: Path
) -> None:
    # Without the program the same container fails: above, the line made it work and not the variables of the endpoint.
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    container = Container(fresh_world, sidecar, tmp_path, "shim", kubelet.path)
    (tmp_path / "shim.py").unlink()
    assert container.run(sys.executable, "-I", "-c", IDENTITY).returncode != 0


def test_direct_exchanges_without_a_daemon(fresh_world: World, role_arn: str, kubelet: Kubelet, tmp_path: Path) -> None:
    container = Container(fresh_world, None, tmp_path, "direct", kubelet.path)
    # The strict STS of this machine has no TLS; the rest is the line of the example.
    container.environment |= {
        "AWS_OIDC_SIDECAR_STS_ENDPOINT": fresh_world.aws.url,
        "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
    }
    assert role_arn in (tmp_path / "config").read_text()
    cli = container.run(str(BIN / "aws"), "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    assert (cli.returncode, cli.stdout.strip(), cli.stderr) == (0, ARN, "")
    boto3 = container.run(sys.executable, "-I", "-c", IDENTITY)
    assert (boto3.returncode, boto3.stdout.strip(), boto3.stderr) == (0, ARN, "")
    assert len(fresh_world.aws.issued()) == 2


@pytest.mark.rule("SDK 29")
def test_it_prints_the_credentials_that_sts_issued(fresh_world: World, run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    uri = sidecar.application["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    token_file = sidecar.application["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
    by_flags = shim({}, "--uri", uri, f"--auth-token-file={token_file}")
    by_variables = shim(sidecar.application)
    by_token = shim(
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": sidecar.auth_token}
    )
    by_profile = shim(sidecar.application, "--profile", "default")
    by_program = shim(sidecar.application, command=(str(PROGRAM), "credential-process"))
    assert by_flags == by_variables == by_token == by_profile == by_program
    code, out, err = by_flags
    assert (code, err) == (0, "")
    (issued,) = fresh_world.aws.issued()
    printed = json.loads(out)
    expiration = printed.pop("Expiration")
    assert printed == {
        "Version": 1, "AccessKeyId": issued.access_key_id, "SecretAccessKey": issued.secret_access_key,
        "SessionToken": issued.session_token, "AccountId": "123456789012",
    }  # fmt: skip
    assert expiration == sidecar.get().json()["Expiration"]
    assert out.endswith("}\n")
    assert " " not in out
    # The file has the same bytes.
    eventually(sidecar, (sidecar.profile_directory / "credentials.json").exists)
    assert (sidecar.profile_directory / "credentials.json").read_text() == out


def test_a_daemon_without_credentials_is_one_line(fresh_world: World, run_sidecar: Run) -> None:
    fresh_world.aws.faults.set(FaultKind.DOWN)
    sidecar = run_sidecar()
    sidecar.wait_for("exchange_failed")
    code, out, err = shim(sidecar.application)
    assert (code, out) == (1, "")
    assert err.startswith(
        "aws-oidc-sidecar credential-process: the daemon answers 503: no credentials; last exchange: "
    )
    assert err.count("\n") == 1
    assert not (sidecar.profile_directory / "credentials.json").exists()


def test_a_wrong_auth_token_is_one_line_that_does_not_quote_it(run_sidecar: Run, tmp_path: Path) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    (tmp_path / "wrong").write_text("w" * 43)
    code, out, err = shim(sidecar.application, "--auth-token-file", str(tmp_path / "wrong"))
    assert (code, out) == (4, "")
    assert "the daemon answers 403: the auth token is wrong" in err
    assert "www" not in err


def test_the_shim_waits_for_a_daemon_that_restarts(run_sidecar: Run) -> None:
    first = run_sidecar()
    first.wait_for("credentials_refreshed")
    port, (code, before, _) = first.port, shim(first.application)
    assert code == 0
    eventually(first, (first.profile_directory / "credentials.json").exists)
    first.kill()
    file = first.profile_directory / "credentials.json"
    assert file.read_text() == before, "the file stays while the daemon is down"
    client = subprocess.Popen(SHIM, env=first.application, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    second = run_sidecar(endpoint_port=str(port))
    out, err = client.communicate(timeout=20)
    second.wait_for("started")
    assert (out, err) == (before, "")
    assert file.read_text() == before


@pytest.mark.rule("Kubernetes D12")
def test_the_file_is_for_the_application_and_follows_refreshes(fresh_world: World, run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    file = sidecar.profile_directory / "credentials.json"
    eventually(sidecar, file.exists)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    first = json.loads(file.read_text())["AccessKeyId"]
    sidecar.process.send_signal(signal.SIGHUP)
    sidecar.wait_for("credentials_refreshed", 2)
    eventually(sidecar, lambda: json.loads(file.read_text())["AccessKeyId"] != first)
    assert json.loads(file.read_text())["AccessKeyId"] == fresh_world.aws.issued()[-1].access_key_id
    assert {path.name for path in sidecar.profile_directory.iterdir()} == {"auth-token", "credentials.json"}


@pytest.mark.mutant("the file from before a restart stays although its profile has no credentials")
def test_a_file_from_before_a_restart_is_removed_without_credentials(
    fresh_world: World, run_sidecar: Run, tmp_path: Path
) -> None:
    volume = tmp_path / "run" / "profiles" / "default"
    volume.mkdir(parents=True)
    (volume / "credentials.json").write_text('{"Version":1}')
    fresh_world.aws.faults.set(FaultKind.DOWN)
    sidecar = run_sidecar()
    sidecar.wait_for("exchange_failed")
    eventually(sidecar, lambda: not (volume / "credentials.json").exists())


@pytest.mark.rule("SDK 33")
@pytest.mark.mutant("the file of withdrawn credentials is not removed")
def test_the_file_is_removed_when_its_credentials_may_not_be_served(fresh_world: World, run_sidecar: Run) -> None:
    fresh_world.aws.max_lifetime_seconds = 33
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    file = sidecar.profile_directory / "credentials.json"
    eventually(sidecar, file.exists)
    fresh_world.aws.faults.set(FaultKind.DOWN)
    sidecar.wait_for("credentials_withdrawn")
    eventually(sidecar, lambda: not file.exists())
    assert sidecar.get().status == 503


def test_a_failed_file_write_logs_a_warning_and_the_endpoint_still_serves(run_sidecar: Run, tmp_path: Path) -> None:
    volume = tmp_path / "run" / "profiles" / "default"
    (volume / "credentials.json" / "in the way").mkdir(parents=True)
    sidecar = run_sidecar()
    line = sidecar.wait_for("credentials_file_failed", profile="default")
    assert line["reason"] == "Is a directory"
    sidecar.wait_for("credentials_refreshed")
    assert sidecar.get().status == 200
    assert sidecar.metric("credentials_file_errors_total", profile="default") >= 1


@pytest.mark.rule("SDK 31")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--token-file", "/nowhere"), (2, "token missing; mount a projected serviceAccountToken volume there")),
        (("--role-arn", "arn:aws:iam::123456789012:role/Other"), (4, "access_denied (AccessDenied): ")),
        (("--sts-endpoint", "http://127.0.0.1:1"), (3, "unreachable")),
        (("--role-arn", "x"), (2, "--role-arn: not an IAM role ARN; write arn:aws:iam::<12 digits>:role/<name>")),
        (("--profile", "other"), (2, "--profile: unknown profile; use one of: default")),
    ],
)
def test_direct_failures_are_one_line_and_a_code(
    fresh_world: World, role_arn: str, kubelet: Kubelet, arguments: tuple[str, ...], expected: tuple[int, str]
) -> None:
    environment = {
        "AWS_ROLE_ARN": role_arn,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(kubelet.path),
        "AWS_REGION": "eu-central-1",
        "AWS_OIDC_SIDECAR_STS_ENDPOINT": fresh_world.aws.url,
        "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
    }
    code, out, err = shim(environment, *arguments, command=(str(PROGRAM), "credential-process", "--direct"))
    assert (code, out) == (expected[0], "")
    assert err.startswith(f"aws-oidc-sidecar: {expected[1]}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_direct_accepts_a_token_file_relative_to_the_current_directory(
    fresh_world: World, role_arn: str, kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.chdir(kubelet.path.parent)
    environment = {
        "AWS_ROLE_ARN": role_arn,
        "AWS_REGION": "eu-central-1",
        "AWS_OIDC_SIDECAR_STS_ENDPOINT": fresh_world.aws.url,
        "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
        **({"AWS_WEB_IDENTITY_TOKEN_FILE": kubelet.path.name} if by == "variable" else {}),
    }
    arguments = ["--token-file", kubelet.path.name] if by == "flag" else []
    code, out, err = shim(environment, *arguments, command=(str(PROGRAM), "credential-process", "--direct"))
    assert (code, err) == (0, "")
    assert json.loads(out)["SessionToken"]
