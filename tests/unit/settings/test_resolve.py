from pathlib import Path

import pytest

from sidecar.errors import SettingsError
from sidecar.settings.options import OPTIONS
from sidecar.settings.resolve import Settings, resolve as resolve_with
from tests.helpers.values import ROLE_ARN

IRSA = {
    "AWS_ROLE_ARN": ROLE_ARN,
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/token",
    "AWS_ROLE_SESSION_NAME": "me",
    "AWS_REGION": "eu-central-1",
}


def unread(path: Path) -> str:
    raise AssertionError(path)


def resolve(flags: dict[str, str | None], environment: dict[str, str]) -> Settings:
    return resolve_with(flags, environment, unread)


def settings(environment: dict[str, str] | None = None, **flags: str) -> Settings:
    return resolve({name.replace("_", "-"): text for name, text in flags.items()}, IRSA | (environment or {}))


def error_of(environment: dict[str, str], **flags: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        settings(environment, **flags)
    return caught.value


def test_the_variables_of_irsa_are_enough() -> None:
    found = settings()
    (profile,) = found.profiles
    assert (profile.name, profile.role_arn, profile.session_name) == ("default", ROLE_ARN, "me")
    assert (profile.region, profile.duration_seconds) == ("eu-central-1", 3_600)
    assert found.token_file == Path("/var/run/secrets/token")
    assert found.warnings == ()


def test_the_role_arn_is_the_one_required_setting() -> None:
    found = resolve({}, {"AWS_ROLE_ARN": ROLE_ARN})
    assert str(found.token_file) == "/var/run/secrets/aws-oidc-sidecar/token"
    assert (found.endpoint_port, found.admin_port) == (9841, 9842)


def test_a_flag_wins_over_our_variable_which_wins_over_irsa() -> None:
    ours = {"AWS_OIDC_SIDECAR_REGION": "eu-west-1"}
    assert settings(ours).profiles[0].region == "eu-west-1"
    assert settings(ours, region="us-east-1").profiles[0].region == "us-east-1"
    shown = {name: (text, source) for name, text, source in settings(ours).shown}
    assert shown["region"] == ("eu-west-1", "AWS_OIDC_SIDECAR_REGION")
    assert shown["duration"] == ("3600", "default")


def test_a_variable_that_is_empty_is_not_set() -> None:
    assert settings({"AWS_OIDC_SIDECAR_REGION": ""}).profiles[0].region == "eu-central-1"


def test_a_missing_role_is_reported_with_the_variables_to_set() -> None:
    with pytest.raises(SettingsError, match="AWS_ROLE_ARN or AWS_OIDC_SIDECAR_ROLE_ARN"):
        resolve({}, {})


@pytest.mark.rule("SDK 27")
@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("AWS_ROLE_ARN", "KubernetesParameterStoreRole"),
        ("AWS_ROLE_ARN", "arn:aws:iam::123:role/R"),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:user/R"),
        ("AWS_ROLE_ARN", ROLE_ARN + "\n"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "relative/token"),
        ("AWS_ROLE_SESSION_NAME", "a"),
        ("AWS_ROLE_SESSION_NAME", "x" * 65),
        ("AWS_ROLE_SESSION_NAME", "with space"),
        ("AWS_REGION", "Frankfurt"),
        ("AWS_OIDC_SIDECAR_DURATION", "899"),
        ("AWS_OIDC_SIDECAR_DURATION", "43201"),
        ("AWS_OIDC_SIDECAR_DURATION", "1h"),
        ("AWS_OIDC_SIDECAR_ENDPOINT_PORT", "65536"),
        ("AWS_OIDC_SIDECAR_ENDPOINT_PORT", "-1"),
        ("AWS_OIDC_SIDECAR_FIPS", "yes"),
        ("AWS_OIDC_SIDECAR_LOG_LEVEL", "loud"),
        ("AWS_OIDC_SIDECAR_REFRESH_ON_ROTATION", "never"),
        ("AWS_OIDC_SIDECAR_ADMIN_ADDRESS", "localhost"),
        ("AWS_OIDC_SIDECAR_AUTH_TOKEN_MODE", "0666"),
        ("AWS_OIDC_SIDECAR_CLUSTER", "a cluster"),
        ("AWS_ENDPOINT_URL_STS", "sts.amazonaws.com"),
        ("AWS_ENDPOINT_URL_STS", "ftp://sts.amazonaws.com"),
        ("AWS_ENDPOINT_URL_STS", "https://sts.amazonaws.com:99999"),
        ("AWS_ENDPOINT_URL_STS", "https://sts.amazonaws.com:port"),
        ("AWS_ENDPOINT_URL_STS", "https://[sts.amazonaws.com"),
        ("AWS_ENDPOINT_URL_STS", "https://user:secret-word@sts.amazonaws.com"),
    ],
)
def test_an_invalid_value_is_rejected_with_its_variable_and_not_quoted(variable: str, text: str) -> None:
    error = error_of({variable: text})
    assert error.where == variable
    assert error.fix
    assert "secret-word" not in str(error)
    assert "\n" not in str(error)


def test_a_bad_flag_is_named_as_a_flag() -> None:
    assert error_of({}, duration="1").where == "--duration"


def test_a_misspelt_setting_is_rejected_with_a_suggestion() -> None:
    assert "AWS_OIDC_SIDECAR_DURATION" in error_of({"AWS_OIDC_SIDECAR_DURATON": "3600"}).fix


def test_variables_of_a_service_with_our_name_are_ignored() -> None:
    links = {
        "AWS_OIDC_SIDECAR_PORT": "tcp://10.96.0.9:80",
        "AWS_OIDC_SIDECAR_SERVICE_HOST": "10.96.0.9",
        "AWS_OIDC_SIDECAR_SERVICE_PORT_HTTP": "80",
        "AWS_OIDC_SIDECAR_PORT_80_TCP_ADDR": "10.96.0.9",
        "AWS_OIDC_SIDECAR_ADMIN_PORT": "tcp://10.96.0.9:80",
    }
    assert settings(links).admin_port == 9842


@pytest.mark.rule("SDK 26", "Kubernetes D7")
@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:5000"}, "AWS_ENDPOINT_URL_STS"),
        (
            {"AWS_ENDPOINT_URL_STS": "https://vpce.test", "AWS_USE_FIPS_ENDPOINT": "true"},
            "AWS_ENDPOINT_URL_STS and AWS_USE_FIPS_ENDPOINT",
        ),
        (
            {"AWS_ENDPOINT_URL_STS": "https://vpce.test", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
            "AWS_ENDPOINT_URL_STS and AWS_USE_DUALSTACK_ENDPOINT",
        ),
        (
            {"AWS_OIDC_SIDECAR_ENDPOINT_PORT": "9000", "AWS_OIDC_SIDECAR_ADMIN_PORT": "9000"},
            "AWS_OIDC_SIDECAR_ENDPOINT_PORT and AWS_OIDC_SIDECAR_ADMIN_PORT",
        ),
        (
            {"AWS_OIDC_SIDECAR_POD_IP": "10.0.0.1", "AWS_OIDC_SIDECAR_HOST_IP": "10.0.0.1"},
            "AWS_OIDC_SIDECAR_POD_IP",
        ),
    ],
)
def test_contradicting_settings_are_rejected_with_both_names(environment: dict[str, str], where: str) -> None:
    assert error_of(environment).where == where


@pytest.mark.rule("Kubernetes D7")
def test_a_flag_can_allow_http_and_host_network() -> None:
    settings({"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:5000", "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true"})
    same = {"AWS_OIDC_SIDECAR_POD_IP": "10.0.0.1", "AWS_OIDC_SIDECAR_HOST_IP": "10.0.0.1"}
    settings(same | {"AWS_OIDC_SIDECAR_ALLOW_HOST_NETWORK": "true"})
    settings({"AWS_OIDC_SIDECAR_ENDPOINT_PORT": "0", "AWS_OIDC_SIDECAR_ADMIN_PORT": "0"})


def test_a_short_duration_and_a_missing_region_give_a_warning() -> None:
    (short,) = settings({"AWS_OIDC_SIDECAR_DURATION": "900"}).warnings
    assert "on every call" in short
    (region,) = resolve({}, {"AWS_ROLE_ARN": ROLE_ARN}).warnings
    assert "AWS_REGION" in region


PATHS = ("profiles-file", "token-file", "runtime-dir", "auth-token-file")


@pytest.mark.parametrize("name", PATHS)
def test_a_relative_path_is_rejected_by_the_daemon_and_resolved_by_a_command(name: str) -> None:
    role = {} if name == "profiles-file" else {"AWS_ROLE_ARN": ROLE_ARN}
    with pytest.raises(SettingsError) as caught:
        resolve({name: "a/b"}, role)
    assert str(caught.value) == f"--{name}: not an absolute path; start it with /"
    read = {Path("/home/me/a/b"): f"[default]\nrole_arn = {ROLE_ARN}\n"}
    for given, found in (("a/b", "/home/me/a/b"), ("/a/b", "/a/b")):
        read[Path(found)] = read[Path("/home/me/a/b")]
        shown = resolve_with({name: given}, role, read.__getitem__, Path("/home/me"))
        values = (shown.profiles_file, shown.token_file, shown.runtime_directory, shown.auth_token_file)
        assert values[PATHS.index(name)] == Path(found)


@pytest.mark.rule("SDK 26")
def test_the_general_endpoint_url_does_not_apply_to_sts() -> None:
    assert settings({"AWS_ENDPOINT_URL": "https://minio.test"}).profiles[0].endpoint_url == ""


def test_each_option_accepts_its_own_default() -> None:
    for option in OPTIONS:
        option.parse(option.default)
