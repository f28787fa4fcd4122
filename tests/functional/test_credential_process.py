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
    """Wait for what a thread of the daemon does after the line that tells of its cause."""
    for _ in range(200):
        if holds():
            return
        sidecar.wait(0.05)
    raise TimeoutError


class Container:
    """An application container with a config file of the examples and no variable of the endpoint's.

    What the examples write as in a pod is replaced by where it is here, and nothing else.
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
            # Neither HOME nor a way to Python: the line of the file has to be enough.
            "PATH": "/usr/bin:/bin",
            "AWS_CONFIG_FILE": str(home / "config"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": world.aws.url,
        }
        if sidecar:
            # The daemon of a test has a port of its own; in a pod it is 9841 and neither variable is needed.
            self.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://127.0.0.1:{sidecar.port}/v1/credentials"
            self.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(volume / "auth-token")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=30, cwd="/"
        )


@pytest.mark.parametrize("form", ["daemon", "shim", "cat"])
def test_unmodified_clients_work_through_each_form(
    fresh_world: World, run_sidecar: Run, kubelet: Kubelet, tmp_path: Path, form: str
) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_renewed")
    eventually(sidecar, (sidecar.profile_directory / "credentials.json").exists)
    container = Container(fresh_world, sidecar, tmp_path, form, kubelet.path)
    cli = container.run(str(BIN / "aws"), "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    assert (cli.returncode, cli.stdout.strip(), cli.stderr) == (0, ARN, "")
    boto3 = container.run(sys.executable, "-I", "-c", IDENTITY)
    assert (boto3.returncode, boto3.stdout.strip(), boto3.stderr) == (0, ARN, "")
    keys = {issued.access_key_id for issued in fresh_world.aws.issued()}
    assert len(keys) == 1, "a client of the daemon's set must not cost a call of STS"
    if form == "cat":
        assert sidecar.metric("http_requests_total", code="200", cause="none") == 0


def test_the_line_alone_takes_the_place_of_the_endpoint(
    fresh_world: World, run_sidecar: Run, kubelet: Kubelet, tmp_path: Path
) -> None:
    # With the program gone the same container fails: so what worked above was the line, not the endpoint's variables.
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_renewed")
    container = Container(fresh_world, sidecar, tmp_path, "shim", kubelet.path)
    (tmp_path / "shim.py").unlink()
    assert container.run(sys.executable, "-I", "-c", IDENTITY).returncode != 0


def test_direct_exchanges_without_a_daemon(fresh_world: World, role_arn: str, kubelet: Kubelet, tmp_path: Path) -> None:
    container = Container(fresh_world, None, tmp_path, "direct", kubelet.path)
    # The strict STS of this machine has no TLS; everything else is the example's line.
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


def test_what_it_prints_is_what_sts_granted(fresh_world: World, run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_renewed")
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
    # The file says the same, byte for byte.
    eventually(sidecar, (sidecar.profile_directory / "credentials.json").exists)
    assert (sidecar.profile_directory / "credentials.json").read_text() == out


def test_a_daemon_without_credentials_is_one_line(fresh_world: World, run_sidecar: Run) -> None:
    fresh_world.aws.faults.set(FaultKind.DOWN)
    sidecar = run_sidecar()
    sidecar.wait_for("exchange_failed")
    code, out, err = shim(sidecar.application)
    assert (code, out) == (1, "")
    assert err.startswith(
        "aws-oidc-sidecar credential-process: the daemon answers 503: no credentials; the last exchange"
    )
    assert err.count("\n") == 1
    assert not (sidecar.profile_directory / "credentials.json").exists()


def test_a_wrong_auth_token_is_one_line_without_it(run_sidecar: Run, tmp_path: Path) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_renewed")
    (tmp_path / "wrong").write_text("w" * 43)
    code, out, err = shim(sidecar.application, "--auth-token-file", str(tmp_path / "wrong"))
    assert (code, out) == (4, "")
    assert "the daemon answers 403: the token does not fit" in err
    assert "www" not in err


def test_a_daemon_that_restarts_is_waited_for(run_sidecar: Run) -> None:
    first = run_sidecar()
    first.wait_for("credentials_renewed")
    port, (code, before, _) = first.port, shim(first.application)
    assert code == 0
    eventually(first, (first.profile_directory / "credentials.json").exists)
    first.kill()
    file = first.profile_directory / "credentials.json"
    assert file.read_text() == before, "the file lasts while the daemon is away"
    asking = subprocess.Popen(SHIM, env=first.application, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    second = run_sidecar(endpoint_port=str(port))
    out, err = asking.communicate(timeout=20)
    second.wait_for("started")
    assert (out, err) == (before, "")
    assert file.read_text() == before


def test_the_file_is_for_the_application_and_follows_renewals(fresh_world: World, run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_renewed")
    file = sidecar.profile_directory / "credentials.json"
    eventually(sidecar, file.exists)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    first = json.loads(file.read_text())["AccessKeyId"]
    sidecar.process.send_signal(signal.SIGHUP)
    sidecar.wait_for("credentials_renewed", 2)
    eventually(sidecar, lambda: json.loads(file.read_text())["AccessKeyId"] != first)
    assert json.loads(file.read_text())["AccessKeyId"] == fresh_world.aws.issued()[-1].access_key_id
    assert {path.name for path in sidecar.profile_directory.iterdir()} == {"auth-token", "credentials.json"}


def test_a_file_from_before_is_removed_when_there_is_no_set(
    fresh_world: World, run_sidecar: Run, tmp_path: Path
) -> None:
    volume = tmp_path / "run" / "profiles" / "default"
    volume.mkdir(parents=True)
    (volume / "credentials.json").write_text('{"Version":1}')
    fresh_world.aws.faults.set(FaultKind.DOWN)
    sidecar = run_sidecar()
    sidecar.wait_for("exchange_failed")
    eventually(sidecar, lambda: not (volume / "credentials.json").exists())


def test_the_file_goes_when_its_set_may_not_be_served_any_more(fresh_world: World, run_sidecar: Run) -> None:
    fresh_world.aws.grant_seconds = 33
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_renewed")
    file = sidecar.profile_directory / "credentials.json"
    eventually(sidecar, file.exists)
    fresh_world.aws.faults.set(FaultKind.DOWN)
    sidecar.wait_for("credentials_withdrawn")
    eventually(sidecar, lambda: not file.exists())
    assert sidecar.get().status == 503


def test_a_volume_that_takes_no_file_costs_a_warning_and_no_answer(run_sidecar: Run, tmp_path: Path) -> None:
    volume = tmp_path / "run" / "profiles" / "default"
    (volume / "credentials.json" / "in the way").mkdir(parents=True)
    sidecar = run_sidecar()
    line = sidecar.wait_for("credentials_file_failed", profile="default")
    assert line["reason"] == "Is a directory"
    sidecar.wait_for("credentials_renewed")
    assert sidecar.get().status == 200
    assert sidecar.metric("credentials_file_errors_total", profile="default") >= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--token-file", "/nowhere"), (2, "token missing; mount a projected serviceAccountToken volume there")),
        (("--role-arn", "arn:aws:iam::123456789012:role/Other"), (4, "access_denied (AccessDenied): ")),
        (("--sts-endpoint", "http://127.0.0.1:1"), (3, "unreachable")),
        (("--role-arn", "x"), (2, "--role-arn: not an IAM role ARN; write arn:aws:iam::<12 digits>:role/<name>")),
        (("--profile", "other"), (2, "--profile: names none of default; choose one of these")),
    ],
)
def test_direct_failures_are_one_line_and_a_code(
    fresh_world: World, role_arn: str, kubelet: Kubelet, arguments: tuple[str, ...], said: tuple[int, str]
) -> None:
    environment = {
        "AWS_ROLE_ARN": role_arn,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(kubelet.path),
        "AWS_REGION": "eu-central-1",
        "AWS_OIDC_SIDECAR_STS_ENDPOINT": fresh_world.aws.url,
        "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
    }
    code, out, err = shim(environment, *arguments, command=(str(PROGRAM), "credential-process", "--direct"))
    assert (code, out) == (said[0], "")
    assert err.startswith(f"aws-oidc-sidecar: {said[1]}")
    assert err.count("\n") == 1
