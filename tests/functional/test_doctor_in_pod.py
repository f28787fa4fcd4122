"""The doctor in the two containers of a pod: the sidecar, with a daemon that runs, and the application."""

from collections.abc import Callable
from pathlib import Path

import pytest

from examples.local.faults import FaultKind
from examples.local.kubelet import Kubelet
from examples.local.loopback import LoopbackHandler, LoopbackServer
from examples.local.process import Sidecar
from examples.local.world import World
from tests.functional.doctoring import DoctorSetup

Start = Callable[..., Sidecar]


@pytest.fixture
def sidecar(run_sidecar: Start) -> Sidecar:
    running = run_sidecar()
    running.wait_for("credentials_refreshed")
    return running


@pytest.fixture
def application(fresh_world: World, sidecar: Sidecar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DoctorSetup:
    """An application's container: its two variables and its profile's volume, no token."""
    # The check of the clock connects to STS.
    sts = {"AWS_ENDPOINT_URL_STS": fresh_world.aws.url, "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true"}
    environment = dict(sidecar.application) | sts
    return DoctorSetup(fresh_world, environment, tmp_path / "no-token", monkeypatch, [], [sidecar.auth_token])


@pytest.fixture
def in_sidecar(
    fresh_world: World, sidecar: Sidecar, kubelet: Kubelet, role_arn: str, monkeypatch: pytest.MonkeyPatch
) -> DoctorSetup:
    """The sidecar's container."""
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
    return DoctorSetup(fresh_world, environment, kubelet.path, monkeypatch, [], secrets)


def test_no_fault_is_reported_from_either_container_of_a_healthy_pod(
    application: DoctorSetup, in_sidecar: DoctorSetup
) -> None:
    of_application, of_sidecar = application.run(), in_sidecar.run()
    assert of_application.status == of_sidecar.status == 0
    for report in (of_application, of_sidecar):
        assert report.causes("broken", "advice", "unknown") == {}
        assert report.checks["daemon"]["status"] == report.checks["auth_token"]["status"] == "ok"
    assert of_application.checks["token_file"]["status"] == "skipped"
    assert of_sidecar.checks["application_environment"]["status"] == "skipped"


def test_checks_that_need_the_sidecar_are_skipped_in_the_application(application: DoctorSetup) -> None:
    report = application.run()
    skipped = {name for name, check in report.checks.items() if check["status"] == "skipped"}
    assert skipped >= {"role", "token_file", "token_claims", "discovery", "keys", "sts_path", "exchange"}


@pytest.mark.rule("SDK 6")
@pytest.mark.parametrize(
    ("variables", "cause", "fix"),
    [
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
def test_a_setting_that_sdks_prefer_to_the_sidecar_is_named(
    application: DoctorSetup, variables: dict[str, str], cause: str, fix: str
) -> None:
    application.environment |= variables
    application.secrets.append("a-secret-key")
    report = application.run_in_process()
    assert report.causes() == {"application_environment": [cause]}
    assert fix in report.fix("application_environment")
    assert report.status == 1


@pytest.mark.mutant("an exemption that only some clients read is accepted")
@pytest.mark.parametrize(
    ("variables", "cause", "sdk"),
    [
        ({"HTTP_PROXY": "http://proxy.test:3128"}, "proxy_for_loopback", "object_store"),
        ({"HTTP_PROXY": "http://proxy.test:3128", "NO_PROXY": "*"}, "no_proxy_form", "only some clients"),
        ({"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/R"}, "role_without_web_identity", "most SDKs"),
        ({"AWS_CREDENTIAL_PROFILES_FILE": "/"}, "java_credentials_file", "Java SDK v1"),
        ({"BOTO_CONFIG": "/"}, "boto_files", "boto3"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "region_missing", "boto3"),
        ({"AWS_REGION": ""}, "aws_region_missing", "Java"),
        ({"AWS_DEFAULT_REGION": ""}, "default_region_missing", "boto3"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "regions_differ", "Java"),
    ],
)
def test_a_setting_that_affects_a_few_sdks_is_advice_that_names_them(
    application: DoctorSetup, variables: dict[str, str], cause: str, sdk: str
) -> None:
    application.environment |= {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"} | variables
    report = application.run()
    assert report.causes("broken", "advice", "unknown") == {"application_environment": [cause]}
    assert sdk in report.checks["application_environment"]["causes"][0]["what"]
    assert report.status == 0


def test_a_fault_comes_before_an_advice_of_the_same_check(application: DoctorSetup) -> None:
    application.environment |= {"AWS_DEFAULT_REGION": "", "AWS_PROFILE": "prod"}
    report = application.run()
    assert report.causes() == {"application_environment": ["profile_variable", "default_region_missing"]}
    assert report.status == 1


@pytest.mark.parametrize(
    ("left_out", "names"),
    [
        (["AWS_CONTAINER_CREDENTIALS_FULL_URI"], ["uri_missing"]),
        (["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"], ["auth_token_file_missing"]),
    ],
)
def test_a_missing_variable_of_the_sidecar_is_named(
    application: DoctorSetup, sidecar: Sidecar, left_out: list[str], names: list[str]
) -> None:
    for name in left_out:
        del application.environment[name]
    application.flags += ["--place", "application", "--endpoint-port", str(sidecar.port)]
    report = application.run()
    assert report.causes()["application_environment"] == names
    assert report.checks["application_environment"]["evidence"] == f"missing: {left_out[0]}"
    assert report.status == 1


@pytest.mark.parametrize(
    "config",
    [
        "[default]\nregion = eu-central-1\noutput = json\n",
        "[profile work]\nsso_session = work\n[sso-session work]\nsso_region = eu-west-1\n",
    ],
)
def test_a_config_file_without_credentials_for_default_is_no_fault(
    application: DoctorSetup, tmp_path: Path, config: str
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(config)
    application.environment["HOME"] = str(tmp_path)
    assert application.run().causes("broken", "advice", "unknown") == {}
    (tmp_path / ".aws" / "config").write_text(config + "[default]\nsso_session = work\n")
    assert application.run().causes() == {"application_environment": ["home_files"]}


@pytest.mark.parametrize(("old", "new"), [("127.0.0.1", "localhost"), ("/default", "/default/")])
def test_another_spelling_of_the_uri_is_no_fault(application: DoctorSetup, old: str, new: str) -> None:
    uri = application.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    application.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = uri.replace(old, new)
    assert application.run().causes("broken", "advice", "unknown") == {}


def test_an_auth_token_in_a_variable_needs_no_file(application: DoctorSetup) -> None:
    del application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
    application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = application.secrets[0]
    # Without the file both values cannot be compared.
    assert application.run().causes("advice") == {"application_environment": ["auth_token_variable"]}


def test_a_container_with_credential_process_needs_no_variables(
    application: DoctorSetup, sidecar: Sidecar, tmp_path: Path
) -> None:
    del application.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    (tmp_path / "config").write_text("[default]\ncredential_process = aws-oidc-sidecar credential-process\n")
    application.environment["AWS_CONFIG_FILE"] = str(tmp_path / "config")
    report = application.run("--place", "application", "--endpoint-port", str(sidecar.port))
    assert report.causes("broken", "advice", "unknown") == {}


def test_an_unknown_aws_profile_skips_only_the_check_of_iam(in_sidecar: DoctorSetup) -> None:
    in_sidecar.environment["AWS_PROFILE"] = "prod"
    report = in_sidecar.run_in_process()
    assert report.status == 0
    assert report.causes("broken", "advice", "unknown") == {}
    assert report.checks["exchange"]["status"] == "ok"
    assert report.checks["iam"]["evidence"] == "AWS_PROFILE names a profile that no AWS config file here has"


def test_a_general_endpoint_url_does_not_receive_the_token_and_is_not_quoted(in_sidecar: DoctorSetup) -> None:
    del in_sidecar.environment["AWS_ENDPOINT_URL_STS"]
    in_sidecar.environment["AWS_ENDPOINT_URL"] = "https://me:hunter2@127.0.0.1:1"
    in_sidecar.secrets.append("hunter2")
    report = in_sidecar.run_in_process("--connect-to", "sts.eu-central-1.amazonaws.com:443:127.0.0.1:1")
    assert report.checks["sts_path"]["evidence"].startswith("sts.eu-central-1.amazonaws.com:443: ")


@pytest.mark.mutant("the auth token is compared without its line feed")
def test_a_line_feed_in_the_auth_token_is_named(application: DoctorSetup, tmp_path: Path) -> None:
    copy = tmp_path / "auth-token"
    copy.write_text(f"{application.secrets[0]}\n")
    application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(copy)
    report = application.run()
    assert report.causes()["auth_token"] == ["auth_token_newline"]
    assert "printf %s" in report.fix("auth_token")


@pytest.mark.parametrize(
    ("content", "cause"),
    [(b"", "auth_token_malformed"), (b"\xff\xfe", "auth_token_malformed"), (None, "auth_token_missing")],
)
def test_a_file_without_an_auth_token_is_named(
    application: DoctorSetup, tmp_path: Path, content: bytes | None, cause: str
) -> None:
    copy = tmp_path / "auth-token"
    if content is not None:
        copy.write_bytes(content)
    application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(copy)
    report = application.run()
    assert report.causes()["auth_token"] == [cause]
    assert report.causes()["daemon"] == ["auth_token_refused"]


def test_an_auth_token_that_cannot_be_read_is_named(application: DoctorSetup, tmp_path: Path) -> None:
    application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(tmp_path)
    assert application.run().causes()["auth_token"] == ["auth_token_unreadable"]


def test_the_auth_token_of_another_profile_is_named(application: DoctorSetup, tmp_path: Path) -> None:
    (tmp_path / "auth-token").write_text("x" * 43)
    application.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(tmp_path / "auth-token")
    assert application.run().causes() == {"daemon": ["auth_token_refused", "daemon_of_another_sidecar"]}


def test_an_unknown_profile_is_named(application: DoctorSetup) -> None:
    application.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] += "x"
    report = application.run()
    assert report.causes() == {"daemon": ["auth_token_refused", "daemon_of_another_sidecar"]}
    assert "profile defaultx" in report.checks["daemon"]["causes"][0]["what"]


def test_another_endpoint_is_named(application: DoctorSetup) -> None:
    application.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials"
    assert application.run().causes()["application_environment"] == ["other_endpoint"]


@pytest.mark.mutant("any program that answers 200 is taken for the daemon")
@pytest.mark.parametrize(("status", "body"), [(200, b"hi"), (200, b"{}"), (404, b'{"message": "no"}')])
def test_another_program_on_the_port_is_named(application: DoctorSetup, status: int, body: bytes) -> None:
    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            self.reply(status, {"Content-Type": "application/json"}, body)

    server = LoopbackServer(Handler)
    server.start()
    uri = f"http://127.0.0.1:{server.server_port}/v1/credentials/default"
    application.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = uri
    try:
        assert application.run().causes() == {"daemon": ["daemon_foreign"]}
    finally:
        server.close()


def test_the_daemon_of_another_sidecar_is_named_first_in_the_sidecar(in_sidecar: DoctorSetup, sidecar: Sidecar) -> None:
    (sidecar.profile_directory / "auth-token").write_text("x" * 43)
    assert in_sidecar.run().causes() == {"daemon": ["daemon_of_another_sidecar", "auth_token_refused"]}


@pytest.mark.mutant("credentials that STS does not accept are good because the daemon serves them")
def test_served_credentials_that_sts_does_not_accept_are_named_from_both_containers(
    application: DoctorSetup, in_sidecar: DoctorSetup
) -> None:
    in_sidecar.world.aws.invalidate_credentials()
    for setup in (application, in_sidecar):
        report = setup.run()
        assert report.causes() == {"daemon": ["served_credentials_invalid"]}
        assert "InvalidClientTokenId" in report.checks["daemon"]["evidence"]
        assert report.status == 4


def test_a_daemon_that_does_not_run_is_named(application: DoctorSetup, sidecar: Sidecar) -> None:
    sidecar.close()
    report = application.run()
    assert report.causes() == {"daemon": ["daemon_unreachable"]}
    assert report.status == 3


@pytest.mark.mutant("a daemon without credentials is reported as the cause, not as a symptom")
def test_a_daemon_without_credentials_is_a_symptom_of_another_broken_check(
    run_sidecar: Start, in_sidecar: DoctorSetup, sidecar: Sidecar
) -> None:
    sidecar.close()
    in_sidecar.world.aws.faults.set(FaultKind.REGION_DISABLED)
    in_sidecar.world.set_up_trust(namespace="other")
    for path in (Path(in_sidecar.environment["AWS_OIDC_SIDECAR_RUNTIME_DIR"]) / "state").iterdir():
        path.unlink()
    again = run_sidecar()
    again.wait_for("exchange_failed")
    in_sidecar.environment["AWS_OIDC_SIDECAR_ENDPOINT_PORT"] = str(again.port)
    in_sidecar.secrets.append(again.auth_token)
    report = in_sidecar.run()
    assert report.causes() == {"daemon": ["daemon_without_credentials"], "exchange": ["region_disabled"]}
    assert report.checks["daemon"]["evidence"].endswith("HTTP 503 (no_credentials; last exchange: region_disabled)")
    assert report.status == 4
