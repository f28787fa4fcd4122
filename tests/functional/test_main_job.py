"""The main job without mocks: a real process, real sockets, real rotations, real boto3, a strict AWS."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from examples.local.faults import FaultKind
from examples.local.kubelet import Kubelet
from examples.local.process import Sidecar
from examples.local.world import World

Run = Callable[..., Sidecar]
Application = Callable[[Sidecar, str], subprocess.CompletedProcess[str]]


def test_an_unchanged_application_reads_the_parameter_store(
    fresh_world: World, run_sidecar: Run, application: Application
) -> None:
    fresh_world.admin_client("ssm").put_parameter(Name="/demo/image-id", Value="ami-0abc", Type="String")
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    done = application(
        sidecar,
        "import boto3, json\n"
        "print(json.dumps([boto3.client('sts').get_caller_identity()['Arn'],"
        " boto3.client('ssm').get_parameter(Name='/demo/image-id')['Parameter']['Value']]))\n",
    )
    assert done.returncode == 0, done.stderr
    arn, value = json.loads(done.stdout)
    assert arn == "arn:aws:sts::123456789012:assumed-role/KubernetesParameterStoreRole/default-aws-test"
    assert value == "ami-0abc"


@pytest.mark.rule("Kubernetes D7")
def test_without_the_auth_token_the_same_application_gets_no_credentials(
    run_sidecar: Run, application: Application
) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    (sidecar.profile_directory / "auth-token").write_text("x" * 43)
    done = application(sidecar, "import boto3\nboto3.client('sts').get_caller_identity()\n")
    assert done.returncode != 0
    assert "CredentialRetrievalError" in done.stderr


@pytest.mark.rule("SDK 14", "SDK 15")
def test_the_answer_has_the_fields_that_sdks_require(fresh_world: World, run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    answer = sidecar.get()
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    body = answer.json()
    assert set(body) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId", "RoleArn"}
    (issued,) = fresh_world.aws.issued()
    assert body["AccessKeyId"] == issued.access_key_id
    assert body["SecretAccessKey"] == issued.secret_access_key
    assert body["Token"] == issued.session_token
    expiration = datetime.strptime(body["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert expiration.timestamp() == issued.expires_at


def test_it_listens_at_once_and_does_not_wait_for_sts(fresh_world: World, run_sidecar: Run) -> None:
    fresh_world.aws.faults.set(FaultKind.SLOW, seconds=3.0)
    sidecar = run_sidecar()
    sidecar.wait_for("started")
    began = datetime.now(UTC)  # noqa: TID251 - a measurement of real time
    answer = sidecar.get()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert (datetime.now(UTC) - began).total_seconds() < 1.0  # noqa: TID251 - as above
    assert sidecar.admin("/livez").status == 200
    assert sidecar.admin("/readyz").status == 503
    assert sidecar.admin("/startupz").status == 503
    sidecar.wait_for("credentials_refreshed")
    assert sidecar.get().status == 200
    assert sidecar.admin("/readyz").status == 200
    assert sidecar.admin("/startupz").status == 200


def test_a_rotated_token_is_exchanged_and_the_previous_credentials_are_served_until_then(
    fresh_world: World, run_sidecar: Run, kubelet: Kubelet
) -> None:
    # With a lifetime of 60 s a rotation is ignored for one second after a success, not for a minute.
    fresh_world.aws.max_lifetime_seconds = 60
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    first = sidecar.get().json()["AccessKeyId"]
    while sidecar.count("credentials_refreshed") < 2:
        kubelet.rotate_now()
        sidecar.wait_for("token_read", count=kubelet.rotations)
        assert sidecar.get().status == 200
        sidecar.wait(0.5)
    second = sidecar.get().json()["AccessKeyId"]
    assert first != second
    assert [key.access_key_id for key in fresh_world.aws.issued()] == [first, second]


@pytest.mark.rule("Kubernetes D1")
def test_three_rotations_are_detected(run_sidecar: Run, kubelet: Kubelet) -> None:
    sidecar = run_sidecar()
    for number in range(1, 4):
        sidecar.wait_for("token_read", count=number)
        kubelet.rotate_now()
    sidecar.wait_for("token_read", count=4)
    assert sidecar.metric("token_watch_active") == 1


def test_the_token_of_another_service_account_is_denied_with_the_fix(fresh_world: World, run_sidecar: Run) -> None:
    sidecar = run_sidecar({"AWS_ROLE_ARN": fresh_world.set_up_trust(role="NotForUs", service_account="another")})
    line = sidecar.wait_for("exchange_failed")
    assert (line["outcome"], line["aws_code"]) == ("access_denied", "AccessDenied")
    assert "trust policy" in line["fix"]
    answer = sidecar.get()
    assert answer.status == 503
    assert "trust policy" in answer.json()["message"]
    assert sidecar.metric("sts_requests_total", outcome="access_denied") >= 1


def test_an_sts_outage_keeps_the_credentials_and_its_end_is_detected(
    fresh_world: World, run_sidecar: Run, kubelet: Kubelet, application: Application
) -> None:
    fresh_world.aws.faults.set(FaultKind.DOWN)
    sidecar = run_sidecar()
    assert sidecar.wait_for("exchange_failed")["outcome"] == "unreachable"
    fresh_world.aws.faults.clear()
    sidecar.wait_for("credentials_refreshed")
    fresh_world.aws.faults.set(FaultKind.DOWN)
    kubelet.rotate_now()
    sidecar.wait_for("token_read", count=2)
    assert sidecar.get().status == 200
    done = application(
        sidecar,
        "import boto3\nprint(boto3.client('ssm').describe_parameters()['ResponseMetadata']['HTTPStatusCode'])\n",
    )
    assert done.stdout == "200\n", done.stderr


@pytest.mark.rule("Kubernetes D8")
@pytest.mark.mutant("the daemon ignores SIGTERM")
def test_sigterm_ends_it_cleanly_within_two_seconds(run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    status, seconds = sidecar.terminate()
    assert status == 0
    assert seconds < 2.0
    assert [line["event"] for line in sidecar.lines][-2:] == ["stopping", "stopped"]


@pytest.mark.rule("Kubernetes D8")
@pytest.mark.mutant("the end waits for the child process")
def test_sigterm_during_an_exchange_takes_the_child_along(fresh_world: World, run_sidecar: Run) -> None:
    fresh_world.aws.faults.set(FaultKind.SLOW, seconds=8.0)
    sidecar = run_sidecar()
    sidecar.wait_for("exchange_started")
    children = sidecar.children()
    status, seconds = sidecar.terminate()
    assert status == 0
    assert seconds < 2.0
    for child in children:
        with pytest.raises(FileNotFoundError):
            open(f"/proc/{child}/stat").close()  # noqa: PTH123 - the file that only a live process has
