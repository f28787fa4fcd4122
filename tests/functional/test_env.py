"""``aws-oidc-sidecar env``: with the real boto3 and AWS CLI its output is sufficient, and its warnings are true.

The request counter of the daemon shows whether an application sent it a request.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from examples.local.kubelet import Kubelet
from examples.local.process import Sidecar
from examples.local.world import World

Run = Callable[..., Sidecar]
Done = subprocess.CompletedProcess[str]
COMMAND = (sys.executable, "-I", "-m", "sidecar", "env")
BOTO3 = (sys.executable, "-I", "-c", "import boto3\nprint(boto3.client('sts').get_caller_identity()['Arn'])")
CLI = (sys.executable, "-I", "-m", "awscli", "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
OURS = "arn:aws:sts::123456789012:assumed-role/KubernetesParameterStoreRole/default-aws-test\n"
# The key of the administrator stands for any other access key in the environment.
THEIRS = "arn:aws:iam::123456789012:user/moto\n"


def env(*arguments: str, **environment: str) -> Done:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=20
    )


def asked(sidecar: Sidecar) -> float:
    """Return how many requests the daemon answered; call it once, because the text is cached for a second."""
    families = text_string_to_metric_families(sidecar.admin("/metrics").body.decode())
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "aws_oidc_sidecar_http_requests_total"
    )


@pytest.fixture
def sidecar(run_sidecar: Run) -> Sidecar:
    """A daemon that has credentials."""
    running = run_sidecar()
    running.wait_for("credentials_refreshed")
    return running


@pytest.fixture
def start(fresh_world: World, sidecar: Sidecar, tmp_path: Path) -> Callable[..., Done]:
    """Run an application in a shell that evaluated the output of the command; keywords are variables set before."""
    home = tmp_path / "home"
    home.mkdir()

    def run(*application: str, **before: str) -> Done:
        command = shlex.join(
            (*COMMAND, "--runtime-dir", str(tmp_path / "run"), "--endpoint-port", str(sidecar.port),
             "--region", "eu-central-1")
        )  # fmt: skip
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "AWS_ENDPOINT_URL": fresh_world.aws.url}
        return subprocess.run(
            ["sh", "-c", f'eval "$({command})"; exec "$@"', "sh", *application],
            env=environment | before, capture_output=True, text=True, check=False, timeout=50,
        )  # fmt: skip

    return run


@pytest.fixture
def keys(fresh_world: World) -> dict[str, str]:
    """Other access keys in the environment."""
    admin = fresh_world.aws.admin
    return {"AWS_ACCESS_KEY_ID": admin.access_key_id, "AWS_SECRET_ACCESS_KEY": admin.secret_access_key}


@pytest.mark.rule("SDK 1")
@pytest.mark.parametrize("application", [BOTO3, CLI], ids=["boto3", "cli"])
def test_its_output_is_sufficient_for_an_application(
    application: tuple[str, ...], sidecar: Sidecar, start: Callable[..., Done]
) -> None:
    done = start(*application)
    assert (done.returncode, done.stdout) == (0, OURS), done.stderr
    assert asked(sidecar) == 1


def test_all_formats_have_the_same_variables(sidecar: Sidecar) -> None:
    port = ("--endpoint-port", str(sidecar.port))
    shell, dotenv, kubernetes = (
        env(*port, "--format", form, AWS_REGION="eu-central-1").stdout for form in ("shell", "dotenv", "kubernetes")
    )
    assert shell == "".join(f"export {line}\n" for line in dotenv.splitlines())
    assert [tuple(line.split("=", 1)) for line in dotenv.splitlines()] == [
        (name.removeprefix("- name: "), value.removeprefix("  value: ").strip('"'))
        for name, value in zip(kubernetes.splitlines()[::2], kubernetes.splitlines()[1::2], strict=True)
    ]


def test_its_exit_codes() -> None:
    assert env("--strict", AWS_REGION="eu-central-1").returncode == 0
    assert env("--strict", AWS_REGION="eu-central-1", AWS_PROFILE="p").returncode == 1
    assert env(AWS_REGION="eu-central-1", AWS_PROFILE="p").returncode == 0
    refused = env("--profile", "Reader")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert refused.stderr.startswith("aws-oidc-sidecar: --profile: ")


# --- its warnings are true ---


@pytest.mark.rule("SDK 6")
def test_with_web_identity_variables_boto3_uses_sts_and_not_the_sidecar(
    fresh_world: World, kubelet: Kubelet, role_arn: str, sidecar: Sidecar, start: Callable[..., Done]
) -> None:
    done = start(*BOTO3, AWS_WEB_IDENTITY_TOKEN_FILE=str(kubelet.path), AWS_ROLE_ARN=role_arn)
    assert "warning: AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN: " in done.stderr
    assert done.returncode == 0, done.stderr
    assert done.stdout != OURS, "the session is named by boto3"
    assert len(fresh_world.aws.calls("AssumeRoleWithWebIdentity")) == 2
    assert asked(sidecar) == 0


def test_with_one_web_identity_variable_boto3_fails(
    kubelet: Kubelet, sidecar: Sidecar, start: Callable[..., Done]
) -> None:
    done = start(*BOTO3, AWS_WEB_IDENTITY_TOKEN_FILE=str(kubelet.path))
    assert "warning: AWS_WEB_IDENTITY_TOKEN_FILE: " in done.stderr
    assert "InvalidConfigError" in done.stderr
    assert (done.returncode, asked(sidecar)) == (1, 0)


@pytest.mark.parametrize("application", [BOTO3, CLI], ids=["boto3", "cli"])
def test_keys_in_the_environment_win(
    application: tuple[str, ...], keys: dict[str, str], sidecar: Sidecar, start: Callable[..., Done]
) -> None:
    done = start(*application, **keys)
    assert "warning: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: " in done.stderr
    assert (done.stdout, asked(sidecar)) == (THEIRS, 0), done.stderr


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
@pytest.mark.parametrize("value", ["of-another-program", ""])
def test_an_unknown_profile_is_an_error(
    variable: str, value: str, sidecar: Sidecar, start: Callable[..., Done]
) -> None:
    done = start(*BOTO3, **{variable: value})
    assert f"warning: {variable}: " in done.stderr
    assert "ProfileNotFound" in done.stderr
    assert (done.returncode, asked(sidecar)) == (1, 0)


@pytest.mark.rule("SDK 2")
def test_with_an_empty_relative_uri_boto3_connects_to_another_address(
    sidecar: Sidecar, start: Callable[..., Done]
) -> None:
    # Prints the address of each connection, and blocks connections to other machines.
    watched = (
        "import sys\n"
        "def stay(event, arguments):\n"
        "    if event == 'socket.connect' and not str(arguments[1][0]).startswith('127.'):\n"
        "        print(arguments[1][0])\n"
        "        raise ConnectionRefusedError\n"
        "sys.addaudithook(stay)\n"
    )
    done = start(*BOTO3[:3], watched + BOTO3[3], AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="")
    assert "warning: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: " in done.stderr
    assert set(done.stdout.split()) == {"169.254.170.2"}
    assert (done.returncode, asked(sidecar)) == (1, 0)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("AWS_SHARED_CREDENTIALS_FILE", "[default]\naws_access_key_id={}\naws_secret_access_key={}\n"),
        ("AWS_CONFIG_FILE", "[default]\naws_access_key_id={}\naws_secret_access_key={}\n"),
        ("AWS_CREDENTIAL_FILE", "AWSAccessKeyId={}\nAWSSecretKey={}\n"),
        ("BOTO_CONFIG", "[Credentials]\naws_access_key_id={}\naws_secret_access_key={}\n"),
    ],
    ids=["credentials", "config", "ec2", "boto2"],
)
@pytest.mark.parametrize("application", [BOTO3, CLI], ids=["boto3", "cli"])
def test_keys_in_a_file_win(
    variable: str,
    text: str,
    application: tuple[str, ...],
    keys: dict[str, str],
    sidecar: Sidecar,
    start: Callable[..., Done],
    tmp_path: Path,
) -> None:
    (tmp_path / "keys").write_text(text.format(*keys.values()))
    done = start(*application, **{variable: str(tmp_path / "keys")})
    assert f"warning: {variable}: " in done.stderr
    assert (done.stdout, asked(sidecar)) == (THEIRS, 0), done.stderr


@pytest.mark.parametrize("variable", ["AWS_SHARED_CREDENTIALS_FILE", ""])
def test_keys_at_home_win_unless_the_variable_is_dev_null(
    variable: str, keys: dict[str, str], sidecar: Sidecar, start: Callable[..., Done], tmp_path: Path
) -> None:
    file = tmp_path / "home" / ".aws" / "credentials"
    file.parent.mkdir()
    file.write_text("[default]\naws_access_key_id={}\naws_secret_access_key={}\n".format(*keys.values()))
    done = start(*BOTO3, **({variable: "/dev/null"} if variable else {}))
    assert ("warning: ~/.aws/credentials: " in done.stderr) == (not variable)
    assert (done.stdout, asked(sidecar)) == ((OURS, 1) if variable else (THEIRS, 0)), done.stderr
