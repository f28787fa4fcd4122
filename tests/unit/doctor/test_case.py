"""Detection of the place and of the profile that the doctor checks."""

from pathlib import Path

import pytest

from sidecar.doctor.checks import application, auth_token, daemon, token_file
from sidecar.doctor.options import Place
from sidecar.doctor.result import CheckStatus
from sidecar.doctor.sts import Stage, StsProbe
from sidecar.doctor.uri import Endpoint, endpoint_of
from sidecar.errors import SettingsError
from tests.helpers.clock import FakeClock
from tests.helpers.values import token
from tests.unit.doctor.cases import accepted, case

URI, FILE = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
REGIONS = {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
WEB_IDENTITY = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/R"}
HERE = "http://127.0.0.1:9841"
ROLE = "role_arn = arn:aws:iam::123456789012:role"
CHAIN = f"""
[default]
{ROLE}/Base
serve = false
[profile app]
{ROLE}/App
source_profile = default
"""


@pytest.mark.parametrize(
    ("uri", "port", "profile"),
    [
        (f"{HERE}/v1/credentials/reader", 9841, "reader"),
        (f"{HERE}/v1/credentials", 9841, "default"),
        (f"{HERE}/v1/credentials/", 9841, "default"),
        ("http://localhost:9841/v1/credentials/reader/", 9841, "reader"),
        (f"{HERE}/v1/credentials/a/b", 9841, ""),
        (f"{HERE}/v2/reader", 9841, ""),
        ("http://127.0.0.1/v1/credentials/reader", 0, "reader"),
        ("http://169.254.170.23:80/v1/credentials/reader", 0, "reader"),
        ("http://127.0.0.1:port/v1/credentials/reader", 0, ""),
        ("http://127.0.0.1:99999/v1/credentials/reader", 0, ""),
        ("http://[/", 0, ""),
        ("", 0, ""),
    ],
)
def test_port_and_profile_are_parsed_from_the_uri(uri: str, port: int, profile: str) -> None:
    assert endpoint_of(uri)._replace(path="") == Endpoint(port, "", profile)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("path", ["/v1/credentials", "/v1/credentials/reader"])
def test_a_uri_that_the_endpoint_serves_is_accepted(known: bool, path: str) -> None:  # noqa: FBT001
    made = case({URI: f"{HERE}{path}", FILE: "/auth-token"} | REGIONS | (WEB_IDENTITY if known else {}), known=known)
    assert made.place is Place.APPLICATION
    names = [finding.cause.name for finding in application.CHECK.run(made).findings]
    assert names == (["web_identity_variables"] if known else [])


def test_the_config_file_in_the_home_directory_is_read_unless_a_variable_names_another(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[default]\ncredential_process = aws-oidc-sidecar credential-process\n")

    def found(**environment: str) -> list[str]:
        made = case({"HOME": str(tmp_path)} | REGIONS | environment, known=False, place=Place.APPLICATION)
        return [finding.cause.name for finding in application.CHECK.run(made).findings]

    assert found() == []
    assert found(AWS_CONFIG_FILE="/dev/null") == ["uri_missing", "auth_token_file_missing"]


@pytest.mark.parametrize("uri", ["http://me:hunter2@elsewhere.test/creds", "http://127.0.0.1:port/v1/credentials/x"])
def test_a_uri_of_another_form_names_no_profile(uri: str) -> None:
    made = case({URI: uri, FILE: "/auth-token"} | REGIONS, known=False)
    assert made.facts["profile"] == "default"
    assert [finding.cause.name for finding in application.CHECK.run(made).findings] == ["other_endpoint"]
    assert "hunter2" not in repr([check.run(made) for check in (application.CHECK, auth_token.CHECK, daemon.CHECK)])


def test_a_path_without_a_profile_does_not_match_a_named_profile() -> None:
    made = case({URI: f"{HERE}/v1/credentials", FILE: "/auth-token"} | REGIONS, known=False, profile="reader")
    assert [finding.cause.name for finding in application.CHECK.run(made).findings] == ["other_endpoint"]


def test_the_default_profile_is_a_served_profile() -> None:
    assert [profile.name for profile in case(profiles=CHAIN).role_chain] == ["default", "app"]
    only = CHAIN.replace("default", "profile base", 1).replace("= default", "= base")
    assert [profile.name for profile in case(profiles=only).role_chain] == ["base", "app"]


def test_one_of_several_served_profiles_must_be_named() -> None:
    several = f"{CHAIN}[profile other]\n{ROLE}/Other\n"
    with pytest.raises(
        SettingsError, match="--profile: missing, and several profiles are served: app, other; name one of them"
    ):
        _ = case(profiles=several).role_chain
    assert [profile.name for profile in case(profiles=several, profile="other").role_chain] == ["other"]


def test_the_sidecar_is_detected_by_the_directory_of_any_served_profile(tmp_path: Path) -> None:
    environment = {"AWS_OIDC_SIDECAR_RUNTIME_DIR": str(tmp_path)}
    (tmp_path / "profiles/default").mkdir(parents=True)
    assert case(environment, profiles=CHAIN).place is Place.ELSEWHERE
    (tmp_path / "profiles/app").mkdir()
    assert case(environment, profiles=CHAIN).place is Place.SIDECAR
    source = case(environment, profiles=CHAIN, profile="default")
    assert source.place is Place.SIDECAR
    for check in (auth_token.CHECK, daemon.CHECK):
        assert check.run(source).evidence == "profile default is not served (serve = false)"


def test_a_token_that_aws_accepted_has_not_expired_whatever_the_local_clock(tmp_path: Path) -> None:
    late = token(expires_at=FakeClock().now().wall - 3_600)
    probe = StsProbe(
        "sts.test", 443, Stage.ANSWERED, "HTTP 200", "", FakeClock().now().wall - 7_200, FakeClock().now().wall
    )
    environment = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}
    assert token_file.CHECK.run(case(environment, token=late, sts=probe)).status is CheckStatus.BROKEN
    result = token_file.CHECK.run(accepted(case(environment, token=late, sts=probe)))
    assert result.status is CheckStatus.GOOD
    assert result.evidence.endswith(": 60 min left of 60 min")
