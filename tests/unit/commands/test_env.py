"""``aws-oidc-sidecar env``: its output, its warnings and its errors."""

import argparse
import io
import re
from pathlib import Path

import pytest
import yaml
from botocore.session import Session

from sidecar.application.rule import HOME_FILES
from sidecar.application.rules import RULES
from sidecar.application.variables import FORMATS
from sidecar.commands.env import add_options, run
from sidecar.errors import SettingsError

ROOT = Path(__file__).parents[3]
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
    """Return the names of each warning."""
    lines = env(*arguments, **(REGION | environment))[2].splitlines()
    assert all(line.startswith("warning: ") and line.count("; ") >= 1 for line in lines), lines
    return [line.removeprefix("warning: ").partition(": ")[0] for line in lines]


# --- output ---


@pytest.mark.rule("SDK 1", "SDK 3")
def test_it_prints_the_variables_of_an_application_container() -> None:
    lines = (
        f"export AWS_CONTAINER_CREDENTIALS_FULL_URI={URI}\n"
        f"export AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={FILE}\n"
        "export AWS_REGION=eu-central-1\n"
        "export AWS_DEFAULT_REGION=eu-central-1\n"
        f"export NO_PROXY={LOOPBACK}\n"
        f"export no_proxy={LOOPBACK}\n"
    )
    assert env(**REGION) == (0, lines, "")


def test_its_output_is_the_same_as_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```\n(AWS_CONTAINER_CREDENTIALS_FULL_URI=.*?)```", text, re.DOTALL)
    promised = dict(line.split("=", 1) for line in block.splitlines())
    assert promised == printed(**REGION)


@pytest.mark.rule("SDK 5")
def test_its_output_is_the_same_as_in_the_example_pod() -> None:
    documents = yaml.safe_load_all((ROOT / "examples/pod.yaml").read_text())
    (pod,) = (each for each in documents if each["kind"] == "Pod")
    (application,) = pod["spec"]["containers"]
    lines = env("--format", "kubernetes", "--region", "eu-central-1")[1]
    assert application["env"] == yaml.safe_load(lines)


def test_dotenv_has_neither_quotes_nor_export() -> None:
    assert env("--format", "dotenv", "--auth-token-file", "/a b")[1] == (
        f"AWS_CONTAINER_CREDENTIALS_FULL_URI={URI}\nAWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/a b\n"
        f"NO_PROXY={LOOPBACK}\nno_proxy={LOOPBACK}\n"
    )


def test_kubernetes_is_a_list_for_env() -> None:
    assert env("--format", "kubernetes")[1].startswith(
        f'- name: AWS_CONTAINER_CREDENTIALS_FULL_URI\n  value: "{URI}"\n- name: AWS_CONTAINER_AUTH'
    )


def test_a_missing_region_is_a_warning_unless_a_file_or_the_output_has_it(tmp_path: Path) -> None:
    code, out, err = env("--strict", HOME=str(tmp_path))
    assert code == 1
    assert "REGION" not in out
    assert err.startswith("warning: AWS_REGION, AWS_DEFAULT_REGION: no region is set: boto3")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[profile a]\nregion = eu-west-1\n[default]\noutput = json\n")
    assert env("--strict", HOME=str(tmp_path))[0] == 1
    (tmp_path / ".aws/config").write_text("[default]\noutput = json\nregion=eu-west-1\n")
    assert env("--strict", HOME=str(tmp_path))[::2] == (0, "")
    assert env("--strict", "--region", "eu-west-1")[::2] == (0, "")


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "AWS_REGION, AWS_DEFAULT_REGION"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}, None),
        ({"AWS_REGION": "eu-west-1"}, "AWS_REGION, ~/.aws/config"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "AWS_DEFAULT_REGION, ~/.aws/config"),
        ({"AWS_DEFAULT_REGION": "eu-central-1"}, None),
        ({}, None),
    ],
)
def test_two_regions_are_a_warning(environment: dict[str, str], names: str | None, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[default]\nregion = eu-central-1 ; ours\n")
    code, _, err = env("--strict", HOME=str(tmp_path), **environment)
    assert code == bool(names)
    assert err.partition(": their regions differ")[0] == (f"warning: {names}" if names else "")


def test_the_region_of_a_file_is_that_of_the_profile_that_sdks_use(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n[profile a.b]\nregion = eu-west-2\n[axb]\n")
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_REGION": "eu-west-1"}
    assert warned(**files) == []
    assert warned(**files, AWS_PROFILE="a.b") == ["AWS_PROFILE", "AWS_REGION, AWS_CONFIG_FILE"]
    # SDKs merge both files, and the credentials file has precedence.
    (tmp_path / "credentials").write_text("[default]\nregion = eu-west-3\n")
    files |= {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    assert warned(**files) == ["AWS_REGION, AWS_SHARED_CREDENTIALS_FILE"]


@pytest.mark.parametrize(
    ("arguments", "environment", "region"),
    [
        ((), {"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ((), {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-2"}, "eu-west-2"),
        ((), {"AWS_REGION": "eu-west-2", "AWS_OIDC_SIDECAR_REGION": "eu-west-3"}, "eu-west-3"),
        (("--region", "us-gov-west-1"), {"AWS_REGION": "eu-west-2"}, "us-gov-west-1"),
    ],
)
def test_the_region_has_the_same_sources_as_in_the_daemon(
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
        # The variable that Kubernetes sets for a Service of this name.
        ((), {"AWS_OIDC_SIDECAR_ENDPOINT_PORT": "tcp://10.0.0.1:80"}, URI, FILE),
        (("--auth-token-file", "/t"), {"AWS_OIDC_SIDECAR_RUNTIME_DIR": "/run"}, URI, "/t"),
        (("--runtime-dir", "/r"), {}, URI, "/r/profiles/default/auth-token"),
        ((), {"AWS_OIDC_SIDECAR_RUNTIME_DIR": "/run"}, URI, "/run/profiles/default/auth-token"),
        # This variable is the path of the Secret that the daemon copies from.
        ((), {"AWS_OIDC_SIDECAR_AUTH_TOKEN_FILE": "/secret"}, URI, FILE),
    ],
)
def test_flags_and_variables_change_the_output(
    arguments: tuple[str, ...], environment: dict[str, str], uri: str, file: str
) -> None:
    wanted = printed(*arguments, **environment)
    assert wanted["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == uri
    assert wanted["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] == file


@pytest.mark.rule("SDK 5")
@pytest.mark.mutant("a NO_PROXY with only an asterisk is not changed")
@pytest.mark.parametrize(
    ("environment", "exempt"),
    [
        ({}, LOOPBACK),
        ({"NO_PROXY": ""}, LOOPBACK),
        ({"NO_PROXY": "a.test, localhost"}, "a.test,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "a.test,b.test", "no_proxy": "b.test,,c.test"}, f"a.test,b.test,c.test,{LOOPBACK}"),
        # Alone, clients in Rust apply it to names and not to addresses.
        ({"no_proxy": "*"}, f"*,{LOOPBACK}"),
        ({"NO_PROXY": " * ", "no_proxy": "a.test"}, f"*,a.test,{LOOPBACK}"),
        ({"NO_PROXY": "127.0.0.0/8"}, f"127.0.0.0/8,{LOOPBACK}"),
        # A separator for some clients; curl since 8.9 ignores everything after it.
        ({"NO_PROXY": "a.test b.test\n"}, f"a.test,b.test,{LOOPBACK}"),
    ],
)
def test_loopback_is_added_to_the_existing_no_proxy_list(environment: dict[str, str], exempt: str) -> None:
    wanted = printed(**environment)
    assert (wanted["NO_PROXY"], wanted["no_proxy"]) == (exempt, exempt)


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (("--auth-token-file", "auth-token"), "auth-token"),
        (("--runtime-dir", "run"), "run/profiles/default/auth-token"),
    ],
)
def test_a_relative_path_is_printed_as_an_absolute_one(
    arguments: tuple[str, ...], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert printed(*arguments)["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] == str(tmp_path / file)


@pytest.mark.rule("SDK 2")
@pytest.mark.parametrize("form", sorted(FORMATS))
def test_the_relative_uri_is_never_printed(form: str) -> None:
    _, out, _ = env("--format", form, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="")
    assert "RELATIVE" not in out


# --- errors ---


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("--profile", "Reader"), "--profile"),
        (("--profile", ""), "--profile"),
        (("--profile", "../default"), "--profile"),
        (("--format", "json"), "--format"),
        (("--endpoint-port", "0"), "--endpoint-port"),
        (("--endpoint-port", "http"), "--endpoint-port"),
        (("--auth-token-file", ""), "--auth-token-file"),
        (("--region", "Frankfurt"), "--region"),
        (("--auth-token-file", "/a", "--runtime-dir", "/r"), "--auth-token-file and --runtime-dir"),
        (("--auth-token-file", "/a\nb", "--format", "dotenv"), "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        (("--auth-token-file", "/\udcff"), "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ],
)
def test_an_invalid_value_is_rejected_before_any_output(arguments: tuple[str, ...], where: str) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SettingsError) as caught:
        run(parser.parse_args(arguments), {}, out, err)
    assert caught.value.where == where
    assert str(caught.value).count("\n") == 0
    assert out.getvalue() == err.getvalue() == ""


def test_an_invalid_variable_is_rejected_with_its_name() -> None:
    with pytest.raises(SettingsError) as caught:
        env(AWS_OIDC_SIDECAR_ENDPOINT_PORT="many")
    assert caught.value.where == "AWS_OIDC_SIDECAR_ENDPOINT_PORT"


# --- warnings ---

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
    ({"HTTP_PROXY": "http://proxy.test", "NO_PROXY": ".localhost,127.*"}, "HTTP_PROXY"),
    *(
        ({"HTTP_PROXY": "http://proxy.test", "NO_PROXY": text}, "HTTP_PROXY")
        for text in (
            "*",
            "a.test,*",
            "127.0.0.0/8",
            "127.0.0.1/32",
            "127.0.0.1:9841",
            ".0.0.1",
            "a.test 127.0.0.1",
            "a.test b.test,127.0.0.1",
            "127.0.0.1\n",
        )
    ),
    ({"http_proxy": "http://proxy.test", "NO_PROXY": "127.0.0.1", "no_proxy": "*"}, "http_proxy"),
    ({"AWS_ENDPOINT_URL": "https://elsewhere.test"}, "AWS_ENDPOINT_URL"),
    ({"AWS_SHARED_CREDENTIALS_FILE": "/", "AWS_CONFIG_FILE": "/"}, "AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE"),
    ({"AWS_CREDENTIAL_FILE": "/c", "BOTO_CONFIG": "/"}, "AWS_CREDENTIAL_FILE, BOTO_CONFIG"),
    ({"AWS_CREDENTIAL_PROFILES_FILE": "/"}, "AWS_CREDENTIAL_PROFILES_FILE"),
    ({"AWS_DEFAULT_REGION": "eu-west-1"}, "AWS_REGION, AWS_DEFAULT_REGION"),
]


@pytest.mark.rule("SDK 5", "SDK 6")
@pytest.mark.parametrize(("environment", "names"), FOUND)
def test_conflicting_variables_give_a_warning_with_their_names(environment: dict[str, str], names: str) -> None:
    assert warned(**environment) == [names]
    code, out, _ = env("--strict", **(REGION | environment))
    assert (code, bool(out)) == (1, True)


@pytest.mark.rule("SDK 6")
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_S3": "https://s3.test", "AWS_SESSION_TOKEN": ""},
        dict.fromkeys([*WEB_IDENTITY, "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL", "HTTP_PROXY"], ""),
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": URI, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": FILE},
        {"HTTP_PROXY": "http://proxy.test", "NO_PROXY": "a.test, 127.0.0.1"},
        {"HTTP_PROXY": "http://proxy.test", "no_proxy": "*,10.0.0.0/8, 127.0.0.1 ,a.test b.test"},
        {"NO_PROXY": "*"},
        # Clients use http for the endpoint.
        {"HTTPS_PROXY": "http://proxy.test"},
        {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"},
        # SDKs ignore a file that does not exist, except one of AWS_CREDENTIAL_FILE, which is an error of boto3.
        {"AWS_CONFIG_FILE": "/c", "AWS_SHARED_CREDENTIALS_FILE": "/c", "BOTO_CONFIG": "/c"},
        {"AWS_CREDENTIAL_PROFILES_FILE": "/c"},
    ],
)
def test_harmless_variables_give_no_warning(environment: dict[str, str]) -> None:
    assert env("--strict", **(REGION | environment))[::2] == (0, "")


@pytest.mark.parametrize("exempt", ["a.test", "*", "127.0.0.0/8", "a.test b.test"])
@pytest.mark.parametrize("form", sorted(FORMATS))
def test_its_own_output_gives_no_warning(form: str, exempt: str) -> None:
    wanted = printed(HTTP_PROXY="http://proxy.test", NO_PROXY=exempt, **REGION)
    assert warned("--format", form, HTTP_PROXY="http://proxy.test", **wanted) == []


ONLY_SOME, NONE = "in a form that only some clients read", "use the proxy for 127.0.0.1 too"


@pytest.mark.rule("SDK 5")
@pytest.mark.mutant("an exemption that only some clients read is accepted")
@pytest.mark.parametrize(
    ("exempt", "text"),
    [
        ({"NO_PROXY": "*"}, ONLY_SOME),
        ({"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.0/8"}, ONLY_SOME),
        ({"NO_PROXY": "*", "no_proxy": "a.test"}, NONE),
        ({"NO_PROXY": ".localhost"}, NONE),
        ({}, NONE),
    ],
    ids=str,
)
def test_an_exemption_for_some_clients_has_its_own_warning(exempt: dict[str, str], text: str) -> None:
    (warning,) = env(HTTP_PROXY="http://proxy.test", **REGION, **exempt)[2].splitlines()
    assert text in warning


@pytest.mark.rule("SDK 6")
def test_a_variable_of_a_webhook_is_reported_with_the_annotations() -> None:
    for name in WEB_IDENTITY:
        text = env(**(REGION | {name: "x"}))[2]
        assert "eks.amazonaws.com/role-arn" in text
        assert "eks.amazonaws.com/skip-containers" in text


@pytest.mark.rule("SDK 3")
@pytest.mark.parametrize(
    ("content", "text"),
    [(b"secret-one", ""), (b"secret-two", "differs from"), (b"secret-one\n", "differs from"), (None, "cannot be read")],
)
def test_an_auth_token_variable_is_compared_with_the_file(content: bytes | None, text: str, tmp_path: Path) -> None:
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
def test_files_at_home_give_a_warning_unless_a_variable_replaces_them(file: str, variable: str, tmp_path: Path) -> None:
    home = str(tmp_path)
    assert warned(HOME=home) == []
    (tmp_path / ".aws").mkdir()
    (tmp_path / file[2:]).write_text("[default]\nregion = eu-central-1\n[other]\naws_access_key_id = x\n")
    assert warned(HOME=home) == []
    (tmp_path / file[2:]).write_text("[default]\nregion = eu-central-1\naws_access_key_id = x\n")
    assert warned(HOME=home) == [file]
    assert warned(HOME=home, **{variable: "/dev/null"}) == []
    assert warned() == []


@pytest.mark.parametrize("way", sorted((ROOT / "examples/credential-process").glob("*.ini")), ids=lambda way: way.name)
def test_a_config_file_that_calls_the_sidecar_gives_no_warning(way: Path, tmp_path: Path) -> None:
    assert warned(AWS_CONFIG_FILE=str(way)) == []
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(way.read_text())
    assert warned(HOME=str(tmp_path)) == []
    # With the variable, SDKs do not read the file at home.
    assert warned(HOME=str(tmp_path), AWS_CONFIG_FILE="/") == ["AWS_CONFIG_FILE"]
    with (tmp_path / ".aws/config").open("a") as file:
        file.write("aws_access_key_id = AKIAEXAMPLE\n")
    assert warned(HOME=str(tmp_path)) == ["~/.aws/config"]


def test_a_credential_process_of_another_program_gives_a_warning(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\ncredential_process = /opt/vault-credentials\n")
    assert warned(AWS_CONFIG_FILE=str(tmp_path / "config")) == ["AWS_CONFIG_FILE"]


@pytest.mark.parametrize(
    ("variable", "keys"),
    [
        ("AWS_CREDENTIAL_PROFILES_FILE", "[default]\naws_access_key_id = x\n"),
        ("BOTO_CONFIG", "[Credentials]\naws_access_key_id = x\n"),
    ],
)
def test_a_file_of_a_few_sdks_is_a_warning_if_it_has_keys(variable: str, keys: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("[Boto]\nhttps_validate_certificates = True\n")
    assert warned(**{variable: str(tmp_path / "file")}) == []
    (tmp_path / "file").write_text(keys)
    assert warned(**{variable: str(tmp_path / "file")}) == [variable]
    assert warned(**{variable: "/dev/null"}) == []


def test_no_value_of_the_environment_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("http:").mkdir()
    Path("http:/secret:secret@secret").write_text("[default]\naws_access_key_id = secret\n")
    names = {name for rule in RULES for name in rule.names if not name.startswith("~")}
    environment = dict.fromkeys(names, "http://secret:secret@secret") | {"AWS_DEFAULT_REGION": "secret"}
    _, out, err = env(HOME="/secret", **(environment | REGION))
    assert "secret" not in out + err
    assert [name for name in sorted(names) if name not in err] == []


def test_each_rule_has_a_case_above() -> None:
    printed_warnings = "".join(env(**environment)[2] for environment, _ in FOUND) + env()[2]
    printed_warnings += env(**(REGION | {"AWS_DEFAULT_REGION": "eu-west-1"}))[2]
    with_other_tests = [("AWS_CONTAINER_AUTHORIZATION_TOKEN",), ("AWS_CONTAINER_AUTHORIZATION_TOKEN",)]
    assert [rule.names for rule in RULES if rule.why not in printed_warnings] == [*with_other_tests, tuple(HOME_FILES)]


def test_the_documentation_names_all_variables_and_files() -> None:
    text = (ROOT / "docs/application.md").read_text()
    names = {name for rule in RULES for name in rule.names} | set(printed(**REGION))
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


@pytest.mark.rule("SDK 36")
def test_the_page_says_which_clients_run_a_credential_process() -> None:
    page = " ".join((ROOT / "docs/application.md").read_text().split())
    assert "v2 and Go v1 read the file only with `AWS_SDK_LOAD_CONFIG=1`, PHP reads `$HOME/.aws/config` only" in page
    assert "object_store, OpenDAL, MinIO and boto 2 start no process" in page


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "eu-west-1"}, None),
        ({"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-2"}, "eu-west-1"),
        ({"AWS_CONFIG_FILE": "config"}, "eu-west-3"),
        ({"AWS_CONFIG_FILE": "config", "AWS_REGION": "eu-west-2"}, "eu-west-3"),
        ({"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"}, "eu-west-4"),
    ],
)
def test_botocore_reads_the_region_as_the_warnings_say(
    variables: dict[str, str], region: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[default]\nregion = eu-west-3\n")
    (tmp_path / "credentials").write_text("[default]\nregion = eu-west-4\n")
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": str(tmp_path)} | variables).items():
        monkeypatch.setenv(name, value)
    assert Session().get_config_variable("region") == region
