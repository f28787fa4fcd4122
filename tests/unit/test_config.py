from pathlib import Path

import pytest

from sidecar.config import Settings, resolve as resolve_with
from sidecar.errors import SettingsError
from sidecar.options import OPTIONS
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


def refusal(environment: dict[str, str], **flags: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        settings(environment, **flags)
    return caught.value


def test_the_variables_of_irsa_suffice() -> None:
    found = settings()
    (profile,) = found.profiles
    assert (profile.name, profile.role_arn, profile.session_name) == ("default", ROLE_ARN, "me")
    assert (profile.region, profile.duration_seconds) == ("eu-central-1", 3_600)
    assert found.token_file == Path("/var/run/secrets/token")
    assert found.warnings == ()


def test_a_role_arn_is_all_that_has_to_be_given() -> None:
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


def test_without_a_role_it_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="AWS_ROLE_ARN or AWS_OIDC_SIDECAR_ROLE_ARN"):
        resolve({}, {})


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
def test_a_value_that_cannot_be_used_is_refused_by_its_variable_and_not_repeated(variable: str, text: str) -> None:
    error = refusal({variable: text})
    assert error.where == variable
    assert error.fix
    assert "secret-word" not in str(error)
    assert "\n" not in str(error)


def test_a_bad_flag_is_named_as_a_flag() -> None:
    assert refusal({}, duration="1").where == "--duration"


def test_a_misspelt_setting_is_refused_with_the_one_that_was_meant() -> None:
    assert "AWS_OIDC_SIDECAR_DURATION" in refusal({"AWS_OIDC_SIDECAR_DURATON": "3600"}).fix


def test_variables_of_a_service_named_like_us_configure_nothing() -> None:
    links = {
        "AWS_OIDC_SIDECAR_PORT": "tcp://10.96.0.9:80",
        "AWS_OIDC_SIDECAR_SERVICE_HOST": "10.96.0.9",
        "AWS_OIDC_SIDECAR_SERVICE_PORT_HTTP": "80",
        "AWS_OIDC_SIDECAR_PORT_80_TCP_ADDR": "10.96.0.9",
        "AWS_OIDC_SIDECAR_ADMIN_PORT": "tcp://10.96.0.9:80",
    }
    assert settings(links).admin_port == 9842


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
def test_settings_that_contradict_are_refused_with_both_names(environment: dict[str, str], where: str) -> None:
    assert refusal(environment).where == where


def test_what_was_refused_can_be_allowed_on_purpose() -> None:
    settings({"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:5000", "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true"})
    same = {"AWS_OIDC_SIDECAR_POD_IP": "10.0.0.1", "AWS_OIDC_SIDECAR_HOST_IP": "10.0.0.1"}
    settings(same | {"AWS_OIDC_SIDECAR_ALLOW_HOST_NETWORK": "true"})
    settings({"AWS_OIDC_SIDECAR_ENDPOINT_PORT": "0", "AWS_OIDC_SIDECAR_ADMIN_PORT": "0"})


def test_what_is_unwise_is_warned_of() -> None:
    (short,) = settings({"AWS_OIDC_SIDECAR_DURATION": "900"}).warnings
    assert "on every call" in short
    (region,) = resolve({}, {"AWS_ROLE_ARN": ROLE_ARN}).warnings
    assert "AWS_REGION" in region


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-eusc"])
def test_roles_of_every_partition_are_taken(partition: str) -> None:
    arn = f"arn:{partition}:iam::123456789012:role/path/to/Role"
    assert resolve({}, {"AWS_ROLE_ARN": arn}).profiles[0].role_arn == arn


def test_the_endpoint_for_everything_else_does_not_take_sts_along() -> None:
    assert settings({"AWS_ENDPOINT_URL": "https://minio.test"}).profiles[0].endpoint_url == ""


def test_every_option_has_a_default_that_it_takes_itself() -> None:
    for option in OPTIONS:
        option.parse(option.default)
