"""``aws-oidc-sidecar env``: what it prints, what it warns of, what it refuses."""

import argparse
import io
import re
from pathlib import Path

import pytest

from sidecar.appenv import FORMATS
from sidecar.appenv_findings import HOME_FILES, RULES
from sidecar.env_command import add_options, run
from sidecar.errors import SettingsError

ROOT = Path(__file__).parents[2]
URI = "http://127.0.0.1:9841/v1/credentials/default"
FILE = "/var/run/aws-oidc-sidecar/auth-token"
LOOPBACK = "127.0.0.1,localhost,::1"
REGION = {"AWS_REGION": "eu-central-1"}
WEB_IDENTITY = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/R"}


def env(*arguments: str, **environment: str) -> tuple[int, str, str]:
    parser = argparse.ArgumentParser()
    add_options(parser)
    out, err = io.StringIO(), io.StringIO()
    code = run(parser.parse_args(arguments), environment, out, err)
    return code, out.getvalue(), err.getvalue()


def printed(*arguments: str, **environment: str) -> dict[str, str]:
    text = env("--format", "dotenv", *arguments, **environment)[1]
    return dict(line.split("=", 1) for line in text.splitlines())


def warned(*arguments: str, **environment: str) -> list[str]:
    """Return what each warning names."""
    lines = env(*arguments, **(REGION | environment))[2].splitlines()
    assert all(line.startswith("warning: ") and line.count("; ") >= 1 for line in lines), lines
    return [line.removeprefix("warning: ").partition(": ")[0] for line in lines]


# --- what it prints ---


def test_it_prints_what_an_application_container_needs() -> None:
    lines = (
        f"export AWS_CONTAINER_CREDENTIALS_FULL_URI={URI}\n"
        f"export AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={FILE}\n"
        "export AWS_REGION=eu-central-1\n"
        "export AWS_DEFAULT_REGION=eu-central-1\n"
        f"export NO_PROXY={LOOPBACK}\n"
        f"export no_proxy={LOOPBACK}\n"
    )
    assert env(**REGION) == (0, lines, "")


def test_what_it_prints_is_what_the_readme_says() -> None:
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```\n(AWS_CONTAINER_CREDENTIALS_FULL_URI=.*?)```", text, re.DOTALL)
    promised = dict(line.split("=", 1) for line in block.splitlines())
    wanted = printed(**REGION)
    # A proxy is not of AWS and not of every cluster; the README may leave it to docs/application.md.
    assert promised | {name: wanted[name] for name in ("NO_PROXY", "no_proxy")} == wanted


def test_dotenv_has_neither_quotes_nor_export() -> None:
    assert env("--format", "dotenv", NO_PROXY="a b")[1] == (
        f"AWS_CONTAINER_CREDENTIALS_FULL_URI={URI}\nAWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={FILE}\n"
        f"NO_PROXY=a b,{LOOPBACK}\nno_proxy=a b,{LOOPBACK}\n"
    )


def test_kubernetes_is_a_list_for_env() -> None:
    assert env("--format", "kubernetes")[1].startswith(
        f'- name: AWS_CONTAINER_CREDENTIALS_FULL_URI\n  value: "{URI}"\n- name: AWS_CONTAINER_AUTH'
    )


def test_without_a_region_it_says_so_and_that_is_no_finding() -> None:
    code, out, err = env("--strict")
    assert code == 0
    assert "REGION" not in out
    assert err == "note: no region is known, and most SDKs need one; set AWS_REGION or give --region\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "region"),
    [
        ((), {"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ((), {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-2"}, "eu-west-2"),
        ((), {"AWS_REGION": "eu-west-2", "AWS_OIDC_SIDECAR_REGION": "eu-west-3"}, "eu-west-3"),
        (("--region", "us-gov-west-1"), {"AWS_REGION": "eu-west-2"}, "us-gov-west-1"),
    ],
)
def test_the_region_is_found_as_the_daemon_finds_it(
    arguments: tuple[str, ...], environment: dict[str, str], region: str
) -> None:
    wanted = printed(*arguments, **environment)
    assert (wanted["AWS_REGION"], wanted["AWS_DEFAULT_REGION"]) == (region, region)


@pytest.mark.parametrize(
    ("arguments", "environment", "uri", "file"),
    [
        (("--profile", "reader"), {}, "http://127.0.0.1:9841/v1/credentials/reader", FILE),
        (("--endpoint-port", "1"), {}, "http://127.0.0.1:1/v1/credentials/default", FILE),
        ((), {"AWS_OIDC_SIDECAR_ENDPOINT_PORT": "2"}, "http://127.0.0.1:2/v1/credentials/default", FILE),
        # The variable of a Service with an unlucky name.
        ((), {"AWS_OIDC_SIDECAR_ENDPOINT_PORT": "tcp://10.0.0.1:80"}, URI, FILE),
        (("--auth-token-file", "/t"), {"AWS_OIDC_SIDECAR_RUNTIME_DIR": "/run"}, URI, "/t"),
        (("--runtime-dir", "/r"), {}, URI, "/r/profiles/default/auth-token"),
        ((), {"AWS_OIDC_SIDECAR_RUNTIME_DIR": "/run"}, URI, "/run/profiles/default/auth-token"),
        # There it is the Secret that the daemon copies from.
        ((), {"AWS_OIDC_SIDECAR_AUTH_TOKEN_FILE": "/secret"}, URI, FILE),
    ],
)
def test_what_differs_can_be_said(arguments: tuple[str, ...], environment: dict[str, str], uri: str, file: str) -> None:
    wanted = printed(*arguments, **environment)
    assert wanted["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == uri
    assert wanted["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] == file


@pytest.mark.parametrize(
    ("environment", "exempt"),
    [
        ({}, LOOPBACK),
        ({"NO_PROXY": ""}, LOOPBACK),
        ({"NO_PROXY": "a.test, localhost"}, "a.test,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "a.test,b.test", "no_proxy": "b.test,,c.test"}, f"a.test,b.test,c.test,{LOOPBACK}"),
        # Alone it exempts everything; in a list it is a name like any to curl and Python.
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_exemptions_from_a_proxy_are_kept_and_loopback_joins_them(environment: dict[str, str], exempt: str) -> None:
    wanted = printed(**environment)
    assert (wanted["NO_PROXY"], wanted["no_proxy"]) == (exempt, exempt)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_the_relative_uri_is_never_printed(form: str) -> None:
    _, out, _ = env("--format", form, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="")
    assert "RELATIVE" not in out


# --- what it refuses ---


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("--profile", "Reader"), "--profile"),
        (("--profile", ""), "--profile"),
        (("--profile", "../default"), "--profile"),
        (("--format", "json"), "--format"),
        (("--endpoint-port", "0"), "--endpoint-port"),
        (("--endpoint-port", "http"), "--endpoint-port"),
        (("--auth-token-file", "auth-token"), "--auth-token-file"),
        (("--runtime-dir", "run"), "--runtime-dir"),
        (("--region", "Frankfurt"), "--region"),
        (("--auth-token-file", "/a", "--runtime-dir", "/r"), "--auth-token-file and --runtime-dir"),
        (("--auth-token-file", "/a\nb", "--format", "dotenv"), "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        (("--auth-token-file", "/\udcff"), "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_printed(arguments: tuple[str, ...], where: str) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SettingsError) as caught:
        run(parser.parse_args(arguments), {}, out, err)
    assert caught.value.where == where
    assert str(caught.value).count("\n") == 0
    assert out.getvalue() == err.getvalue() == ""


def test_a_variable_that_cannot_be_used_is_refused_by_its_name() -> None:
    with pytest.raises(SettingsError) as caught:
        env(AWS_OIDC_SIDECAR_ENDPOINT_PORT="many")
    assert caught.value.where == "AWS_OIDC_SIDECAR_ENDPOINT_PORT"


# --- what it warns of ---

FOUND: list[tuple[dict[str, str], str]] = [
    (WEB_IDENTITY, "AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN"),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
    ({"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/R"}, "AWS_ROLE_ARN"),
    ({"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}, "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
    ({"AWS_SECRET_KEY": "S"}, "AWS_SECRET_KEY"),
    ({"AWS_PROFILE": "p"}, "AWS_PROFILE"),
    ({"AWS_DEFAULT_PROFILE": ""}, "AWS_DEFAULT_PROFILE"),
    ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": ""}, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": URI + "/"}, "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": ""}, "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    ({"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/other"}, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ({"HTTP_PROXY": "http://proxy.test"}, "HTTP_PROXY"),
    ({"http_proxy": "http://proxy.test", "NO_PROXY": "localhost,::1"}, "http_proxy"),
    ({"ALL_PROXY": "http://proxy.test", "NO_PROXY": "10.0.0.0/8"}, "ALL_PROXY"),
    ({"all_proxy": "http://proxy.test", "NO_PROXY": "127.0.0.1", "no_proxy": ""}, "all_proxy"),
    ({"AWS_ENDPOINT_URL": "https://elsewhere.test"}, "AWS_ENDPOINT_URL"),
    ({"AWS_SHARED_CREDENTIALS_FILE": "/c", "AWS_CONFIG_FILE": "/c"}, "AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE"),
    ({"AWS_CREDENTIAL_FILE": "/c", "BOTO_CONFIG": "/c"}, "AWS_CREDENTIAL_FILE, BOTO_CONFIG"),
]


@pytest.mark.parametrize(("environment", "names"), FOUND)
def test_what_wins_or_leaks_is_warned_of_by_name(environment: dict[str, str], names: str) -> None:
    assert warned(**environment) == [names]
    code, out, _ = env("--strict", **(REGION | environment))
    assert (code, bool(out)) == (1, True)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_S3": "https://s3.test", "AWS_SESSION_TOKEN": ""},
        dict.fromkeys([*WEB_IDENTITY, "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL", "HTTP_PROXY"], ""),
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": URI, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": FILE},
        {"HTTP_PROXY": "http://proxy.test", "NO_PROXY": "a.test, 127.0.0.1"},
        {"HTTP_PROXY": "http://proxy.test", "no_proxy": "127.0.0.0/8"},
        {"HTTP_PROXY": "http://proxy.test", "NO_PROXY": "*"},
        # The endpoint is asked by http.
        {"HTTPS_PROXY": "http://proxy.test"},
        {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"},
    ],
)
def test_what_does_no_harm_is_not_warned_of(environment: dict[str, str]) -> None:
    assert env("--strict", **(REGION | environment))[::2] == (0, "")


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_what_it_prints_is_never_warned_of(form: str) -> None:
    wanted = printed(HTTP_PROXY="http://proxy.test", NO_PROXY="a.test", **REGION)
    assert warned("--format", form, HTTP_PROXY="http://proxy.test", **wanted) == []


def test_a_variable_of_a_webhook_is_told_with_the_way_to_keep_it_out() -> None:
    for name in WEB_IDENTITY:
        text = env(**(REGION | {name: "x"}))[2]
        assert "eks.amazonaws.com/role-arn" in text
        assert "eks.amazonaws.com/skip-containers" in text


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"secret-one", ""), (b"secret-two", "is not what"), (b"secret-one\n", "is not what"), (None, "cannot be read")],
)
def test_an_auth_token_in_the_environment_has_to_be_that_of_the_file(
    content: bytes | None, text: str, tmp_path: Path
) -> None:
    file = tmp_path / "auth-token"
    if content is not None:
        file.write_bytes(content)
    environment = REGION | {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret-one"}
    code, out, err = env("--strict", "--auth-token-file", str(file), **environment)
    assert code == bool(text)
    assert text in err
    assert err.startswith("warning: AWS_CONTAINER_AUTHORIZATION_TOKEN: ") or not text
    assert "secret" not in out + err


@pytest.mark.parametrize(("file", "variable"), HOME_FILES.items())
def test_files_at_home_are_warned_of_unless_a_variable_leads_elsewhere(
    file: str, variable: str, tmp_path: Path
) -> None:
    home = str(tmp_path)
    assert warned(HOME=home) == []
    (tmp_path / ".aws").mkdir()
    (tmp_path / file[2:]).write_text("")
    assert warned(HOME=home) == [file]
    assert warned(HOME=home, **{variable: "/dev/null"}) == []
    assert warned() == []


@pytest.mark.parametrize("way", sorted((ROOT / "examples/credential-process").glob("*.ini")), ids=lambda way: way.name)
def test_a_file_by_which_the_sidecar_is_asked_is_not_warned_of(way: Path, tmp_path: Path) -> None:
    assert warned(AWS_CONFIG_FILE=str(way)) == []
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(way.read_text())
    assert warned(HOME=str(tmp_path)) == []
    # The variable leads away from it.
    assert warned(HOME=str(tmp_path), AWS_CONFIG_FILE="/c") == ["AWS_CONFIG_FILE"]
    with (tmp_path / ".aws/config").open("a") as file:
        file.write("aws_access_key_id = AKIAEXAMPLE\n")
    assert warned(HOME=str(tmp_path)) == ["~/.aws/config"]


def test_a_process_of_somebody_else_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\ncredential_process = /opt/vault-credentials\n")
    assert warned(AWS_CONFIG_FILE=str(tmp_path / "config")) == ["AWS_CONFIG_FILE"]


def test_no_value_of_the_environment_is_told() -> None:
    names = {name for rule in RULES for name in rule.names if not name.startswith("~")}
    _, out, err = env(HOME="/secret", **(REGION | dict.fromkeys(names, "http://secret:secret@secret")))
    assert "secret" not in out + err
    assert [name for name in sorted(names) if name not in err] == []


def test_every_rule_is_found_by_a_case_above() -> None:
    told = "".join(env(**environment)[2] for environment, _ in FOUND)
    with_tests_of_their_own = [("AWS_CONTAINER_AUTHORIZATION_TOKEN",), ("AWS_CONTAINER_AUTHORIZATION_TOKEN",)]
    assert [rule.names for rule in RULES if rule.why not in told] == [*with_tests_of_their_own, tuple(HOME_FILES)]


def test_the_documentation_names_all_that_is_looked_at_or_printed() -> None:
    text = (ROOT / "docs/application.md").read_text()
    names = {name for rule in RULES for name in rule.names} | set(printed(**REGION))
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_the_page_says_who_reads_a_config_file_and_who_never_runs_a_process() -> None:
    page = " ".join((ROOT / "docs/application.md").read_text().split())
    assert "v2 and Go v1 read the file only with `AWS_SDK_LOAD_CONFIG=1`, PHP reads `$HOME/.aws/config`" in page
    assert "object_store, OpenDAL, MinIO and boto 2 start no process" in page
