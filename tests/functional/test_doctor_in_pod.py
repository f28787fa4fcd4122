"""The doctor inside a pod: beside a daemon that runs, and in the application's container."""

from collections.abc import Callable
from pathlib import Path

import pytest

from examples.local.faults import FaultKind
from examples.local.kubelet import Kubelet
from examples.local.process import Sidecar
from examples.local.world import World
from tests.functional.doctoring import Patient

Start = Callable[..., Sidecar]


@pytest.fixture
def sidecar(run_sidecar: Start) -> Sidecar:
    running = run_sidecar()
    running.wait_for("credentials_renewed")
    return running


@pytest.fixture
def application(fresh_world: World, sidecar: Sidecar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    """An application's container: its two variables and its profile's volume, no token."""
    # For the clock.
    sts = {"AWS_ENDPOINT_URL_STS": fresh_world.aws.url, "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true"}
    environment = dict(sidecar.application) | sts
    return Patient(fresh_world, environment, tmp_path / "no-token", monkeypatch, [], [sidecar.auth_token])


@pytest.fixture
def beside(
    fresh_world: World, sidecar: Sidecar, kubelet: Kubelet, role_arn: str, monkeypatch: pytest.MonkeyPatch
) -> Patient:
    """The sidecar's own container."""
    environment = {
        "AWS_ROLE_ARN": role_arn,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(kubelet.path),
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_STS": fresh_world.aws.url,
        "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
        "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(sidecar.profile_directory.parents[1]),
        "AWS_OIDC_SIDECAR_ENDPOINT_PORT": str(sidecar.port),
    }
    secrets = [sidecar.auth_token, kubelet.path.read_text()]
    return Patient(fresh_world, environment, kubelet.path, monkeypatch, [], secrets)


def test_a_healthy_pod_raises_no_alarm_from_either_container(application: Patient, beside: Patient) -> None:
    of_application, of_sidecar = application.ask(), beside.ask()
    assert of_application.status == of_sidecar.status == 0
    for report in (of_application, of_sidecar):
        assert report.causes("broken", "advice", "unknown") == {}
        assert report.checks["daemon"]["state"] == report.checks["auth_token"]["state"] == "ok"
    assert of_application.checks["token_file"]["state"] == "skipped"
    assert of_sidecar.checks["application_environment"]["state"] == "skipped"


def test_the_application_is_told_what_it_cannot_see(application: Patient) -> None:
    report = application.ask()
    skipped = {name for name, check in report.checks.items() if check["state"] == "skipped"}
    assert skipped >= {"role", "token_file", "token_claims", "discovery", "keys", "sts_path", "exchange"}


@pytest.mark.parametrize(
    ("variables", "cause", "mend"),
    [
        ({"HTTP_PROXY": "http://proxy.test:3128"}, "proxy_for_loopback", "NO_PROXY"),
        (
            {"AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/R"},
            "web_identity_variables",
            "remove both",
        ),
        ({"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a-secret-key"}, "static_keys", "remove them"),
        ({"AWS_PROFILE": "prod"}, "profile_variable", "unset it"),
        ({"AWS_DEFAULT_PROFILE": ""}, "profile_variable", "unset it"),
    ],
)
def test_what_wins_over_the_sidecar_is_named(
    application: Patient, variables: dict[str, str], cause: str, mend: str
) -> None:
    application.environment |= variables
    application.secrets.append("a-secret-key")
    report = application.ask_in_a_process()
    assert report.causes() == {"application_environment": [cause]}
    assert mend in report.mend("application_environment")
    assert report.status == 1


@pytest.mark.parametrize(
    ("left_out", "names"),
    [
        (["AWS_CONTAINER_CREDENTIALS_FULL_URI"], ["uri_missing"]),
        (["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"], ["auth_token_file_missing"]),
    ],
)
def test_what_leads_to_the_sidecar_and_is_not_there_is_named(
    application: Patient, sidecar: Sidecar, left_out: list[str], names: list[str]
) -> None:
    for name in left_out:
        del application.environment[name]
    application.flags += ["--place", "application", "--endpoint-port", str(sidecar.port)]
    report = application.ask()
    assert report.causes()["application_environment"] == names
    assert report.checks["application_environment"]["evidence"] == f"lacks: {left_out[0]}"
    assert report.status == 1


def test_an_auth_token_in_a_variable_needs_no_file(application: Patient) -> None:
    del application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
    application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = application.secrets[0]
    # Whether both are the same cannot be seen without the file.
    assert application.ask().causes()["application_environment"] == ["auth_token_variable"]


def test_a_container_that_asks_by_credential_process_lacks_nothing(
    application: Patient, sidecar: Sidecar, tmp_path: Path
) -> None:
    del application.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    (tmp_path / "config").write_text("[default]\ncredential_process = aws-oidc-sidecar credential-process\n")
    application.environment["AWS_CONFIG_FILE"] = str(tmp_path / "config")
    report = application.ask("--place", "application", "--endpoint-port", str(sidecar.port))
    assert report.causes("broken", "advice", "unknown") == {}


def test_a_profile_that_is_in_no_file_keeps_nothing_but_iam_from_being_looked_at(beside: Patient) -> None:
    beside.environment["AWS_PROFILE"] = "prod"
    report = beside.ask_in_a_process()
    assert report.status == 0
    assert report.causes("broken", "advice", "unknown") == {}
    assert report.checks["exchange"]["state"] == "ok"
    assert report.checks["iam"]["evidence"] == "AWS_PROFILE names a profile that is in no file here"


def test_an_endpoint_of_other_services_leads_the_token_nowhere_and_is_not_quoted(beside: Patient) -> None:
    del beside.environment["AWS_ENDPOINT_URL_STS"]
    beside.environment["AWS_ENDPOINT_URL"] = "https://me:hunter2@127.0.0.1:1"
    beside.secrets.append("hunter2")
    report = beside.ask_in_a_process("--connect-to", "sts.eu-central-1.amazonaws.com:443:127.0.0.1:1")
    assert report.checks["sts_path"]["evidence"].startswith("sts.eu-central-1.amazonaws.com:443: ")


def test_a_line_feed_in_the_auth_token_is_named(application: Patient, tmp_path: Path) -> None:
    copy = tmp_path / "auth-token"
    copy.write_text(f"{application.secrets[0]}\n")
    application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(copy)
    report = application.ask()
    assert report.causes()["auth_token"] == ["auth_token_newline"]
    assert "printf %s" in report.mend("auth_token")


@pytest.mark.parametrize(
    ("content", "cause"),
    [(b"", "auth_token_malformed"), (b"\xff\xfe", "auth_token_malformed"), (None, "auth_token_missing")],
)
def test_an_auth_token_that_is_none_is_named(
    application: Patient, tmp_path: Path, content: bytes | None, cause: str
) -> None:
    copy = tmp_path / "auth-token"
    if content is not None:
        copy.write_bytes(content)
    application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(copy)
    report = application.ask()
    assert report.causes()["auth_token"] == [cause]
    assert report.causes()["daemon"] == ["auth_token_refused"]


def test_an_auth_token_that_cannot_be_read_is_named(application: Patient, tmp_path: Path) -> None:
    application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(tmp_path)
    assert application.ask().causes()["auth_token"] == ["auth_token_unreadable"]


def test_the_auth_token_of_another_profile_is_named(application: Patient, tmp_path: Path) -> None:
    (tmp_path / "auth-token").write_text("x" * 43)
    application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(tmp_path / "auth-token")
    assert application.ask().causes() == {"daemon": ["auth_token_refused"]}


def test_a_profile_that_the_daemon_has_not_is_named(application: Patient) -> None:
    application.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] += "x"
    report = application.ask()
    assert report.causes() == {"daemon": ["auth_token_refused"]}
    assert "profile defaultx" in report.checks["daemon"]["causes"][0]["what"]


def test_an_endpoint_that_is_none_of_ours_is_named(application: Patient) -> None:
    application.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials"
    assert application.ask().causes()["application_environment"] == ["other_endpoint"]


def test_a_daemon_that_is_not_there_is_named(application: Patient, sidecar: Sidecar) -> None:
    sidecar.close()
    report = application.ask()
    assert report.causes() == {"daemon": ["daemon_unreachable"]}
    assert report.status == 3


def test_a_daemon_without_a_set_is_a_symptom_of_the_link_that_is_broken(
    run_sidecar: Start, beside: Patient, sidecar: Sidecar
) -> None:
    sidecar.close()
    beside.world.aws.faults.set(FaultKind.REGION_DISABLED)
    beside.world.set_up_trust(namespace="other")
    for path in (Path(beside.environment["AWS_OIDC_SIDECAR_RUNTIME_DIR"]) / "state").iterdir():
        path.unlink()
    again = run_sidecar()
    again.wait_for("exchange_failed")
    beside.environment["AWS_OIDC_SIDECAR_ENDPOINT_PORT"] = str(again.port)
    beside.secrets.append(again.auth_token)
    report = beside.ask()
    assert report.causes() == {"daemon": ["daemon_without_credentials"], "exchange": ["region_disabled"]}
    assert report.status == 4
