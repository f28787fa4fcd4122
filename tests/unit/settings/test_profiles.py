import pytest

from sidecar.errors import SettingsError
from sidecar.model import Profile
from sidecar.settings.profiles import parse_profiles
from tests.helpers.values import ROLE_ARN, profile

BASE = profile()
OTHER = "arn:aws:iam::123456789012:role/Other"


def parsed(text: str) -> dict[str, Profile]:
    return {found.name: found for found in parse_profiles(text, "file", BASE)}


def error_of(text: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        parse_profiles(text, "file", BASE)
    return caught.value


def test_a_profile_gets_missing_keys_from_the_settings() -> None:
    found = parsed(f"[profile reader]\nrole_arn = {OTHER}\n")["reader"]
    assert (found.role_arn, found.region, found.duration_seconds) == (OTHER, "eu-central-1", 3_600)
    assert found.served


def test_default_is_a_section_without_the_word_profile() -> None:
    assert set(parsed(f"[default]\nrole_arn = {ROLE_ARN}\n")) == {"default"}


def test_every_key_sets_its_field() -> None:
    text = f"""
    [profile base]
    role_arn = {ROLE_ARN}
    duration_seconds = 7200
    policy = {{ "Version": "2012-10-17",  "Statement": [] }}
    policy_arns = arn:aws:iam::aws:policy/ReadOnlyAccess, arn:aws:iam::123456789012:policy/Own
    use_fips_endpoint = true
    use_dualstack_endpoint = true
    serve = false

    # what the application uses
    [profile reader]
    role_arn = {OTHER}
    source_profile = base
    role_session_name = me
    external_id = id-1
    session_tags = true
    region = us-east-1
    endpoint_url = https://sts.test
    """
    found = parsed("\n".join(line.strip() for line in text.splitlines()))
    base, reader = found["base"], found["reader"]
    assert (base.duration_seconds, base.fips, base.dual_stack, base.served) == (7_200, True, True, False)
    assert base.policy == '{"Version":"2012-10-17","Statement":[]}'
    assert base.policy_arns == ("arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::123456789012:policy/Own")
    assert (reader.source, reader.external_id, reader.session_tags) == ("base", "id-1", True)
    assert (reader.session_name, reader.region, reader.endpoint_url) == ("me", "us-east-1", "https://sts.test")


def test_a_policy_can_have_several_indented_lines() -> None:
    text = f'[default]\nrole_arn = {ROLE_ARN}\npolicy = {{\n  "Version": "2012-10-17"\n  }}\n'
    assert parsed(text)["default"].policy == '{"Version":"2012-10-17"}'


def test_a_source_comes_before_the_profiles_chained_to_it() -> None:
    text = "".join(
        f"[profile {name}]\nrole_arn = {ROLE_ARN}\n" + (f"source_profile = {source}\n" if source else "")
        for name, source in (("c", "b"), ("b", "a"), ("a", ""))
    )
    assert list(parsed(text)) == ["a", "b", "c"]


def test_a_chained_profile_requests_at_most_an_hour() -> None:
    long = parse_profiles(
        f"[profile a]\nrole_arn = {ROLE_ARN}\n[profile b]\nrole_arn = {OTHER}\nsource_profile = a\n",
        "file",
        Profile("default", "", "", 43_200, "", ""),
    )
    assert [found.duration_seconds for found in long] == [43_200, 3_600]


ROLE = f"role_arn = {ROLE_ARN}\n"


@pytest.mark.parametrize(
    ("text", "where", "fix"),
    [
        ("", "file", "write [profile"),
        ("role_arn = x\n", "file:1", "write [profile"),
        (f"[profile a]\n{ROLE}[profile a]\n{ROLE}", "file:3", "remove one"),
        (f"[profile a]\n{ROLE}{ROLE}", "file:3", "remove one"),
        (f"[other x]\n{ROLE}[other x]\n", "file: section", "write [profile <name>]"),
        (f"[profile a]\n{ROLE}garbage\n", "file:3", "write [profile"),
        (f"[default]\n{ROLE}[profile default]\n{ROLE}", "file:3", "remove one"),
        (f"[reader]\n{ROLE}", "file: section", "write [profile reader]"),
        (f"[other x]\n{ROLE}", "file: section", "write [profile <name>]"),
        (f"[profile Reader]\n{ROLE}", "file: section", "use 1 to 46"),
        (f"[profile ../etc]\n{ROLE}", "file: section", "use 1 to 46"),
        (f"[profile {'a' * 47}]\n{ROLE}", "file: section", "use 1 to 46"),
        ("[profile a]\n", "file:1: [profile a]", "set it"),
        ("[profile a]\nrole_arn =\n", "file:1: [profile a]", "set it"),
        (f"[profile a]\n{ROLE}outputs = json\n", "file:3: [profile a] outputs", "remove it"),
        (f"[profile a]\n{ROLE}sso_start_url = x\n", "file:3: [profile a] sso_start_url", "remove the profile"),
        (
            f"[profile a]\n{ROLE}web_identity_token_file = /t\n",
            "file:3: [profile a] web_identity_token_file",
            "token-file",
        ),
        (
            f"[profile a]\n{ROLE}sts_regional_endpoints = legacy\n",
            "file:3: [profile a] sts_regional_endpoints",
            "region",
        ),
        (
            f"[profile a]\n{ROLE}endpoint_urls = https://x\n",
            "file:3: [profile a] endpoint_urls",
            "did you mean endpoint_url?",
        ),
        (f"[profile a]\n{ROLE}role_session_name = {'x' * 65}\n", "file:3: [profile a] role_session_name", "2 to 64"),
        ("[default]\nregion = eu-central-1\n", "file", "write [profile"),
        (f"[default]\nduration_seconds = 900\n[profile a]\n{ROLE}", "file:1: [default]", "set it"),
        (
            f"[profile a]\n{ROLE}duration_second = 900\n",
            "file:3: [profile a] duration_second",
            "did you mean duration_seconds?",
        ),
        (f"[profile a]\n{ROLE}duration_seconds = 1\n", "file:3: [profile a] duration_seconds", ""),
        (f"[profile a]\n{ROLE}external_id = x-1\n", "file:3: [profile a] external_id", "set source_profile"),
        (f"[profile a]\n{ROLE}session_tags = true\n", "file:3: [profile a] session_tags", "set source_profile"),
        (f"[profile a]\n{ROLE}policy = nonsense\n", "file:3: [profile a] policy", "one line"),
        (f"[profile a]\n{ROLE}policy = []\n", "file:3: [profile a] policy", "one line"),
        (f"[profile a]\n{ROLE}policy = {'x' * 2_049}\n", "file:3: [profile a] policy", "2048"),
        (f"[profile a]\n{ROLE}policy_arns = x\n", "file:3: [profile a] policy_arns", "separate"),
        (f"[profile a]\n{ROLE}source_profile = b\n", "file: [a]", "add that profile"),
        (f"[profile a]\n{ROLE}source_profile = a\n", "file: [a]", "remove one source_profile"),
        (f"[profile a]\n{ROLE}serve = false\n", "file", "remove serve = false"),
        (
            f"[profile a]\n{ROLE}[profile b]\n{ROLE}source_profile = a\nduration_seconds = 3601\n",
            "file:6: [profile b] duration_seconds",
            "lower it",
        ),
        ("".join(f"[profile p{n}]\n{ROLE}" for n in range(257)), "file", "remove some"),
    ],
)
def test_an_error_has_its_place_and_the_fix(text: str, where: str, fix: str) -> None:
    error = error_of(text)
    assert error.where == where
    assert fix in error.fix
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"# two\n\n[profile a]\n{ROLE}\n# [profile a]\n\n\n[profile a]\n{ROLE}", "profile `a` (lines 3 and 9)"),
        (f"[profile b]\n{ROLE}[profile a]\n{ROLE}\nregion = x\n{ROLE}", "key `role_arn` (lines 4 and 7)"),
        (f"[profile a]\n{ROLE}policy =\n  [profile a]\n  region = x\n[profile a]\n", "profile `a` (lines 1 and 6)"),
        (f"[default]\n{ROLE}[profile b]\n{ROLE}[profile default]\n{ROLE}", "profile `default` (lines 1 and 5)"),
        (f"[profile  a]\n{ROLE}[profile a]\n{ROLE}", "profile `a` (lines 1 and 3)"),
    ],
)
def test_a_duplicate_is_reported_with_both_lines(text: str, what: str) -> None:
    error = error_of(text)
    assert error.what == f"duplicate {what}"
    assert error.where == f"file:{what.rpartition(' ')[2].strip(')')}"


def test_an_unknown_key_is_quoted() -> None:
    assert error_of(f"[profile a]\n{ROLE}outputs = json\n").what == "unknown key `outputs`"


IRSA = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"


@pytest.mark.parametrize(
    "text",
    [
        f"[default]\nregion = eu-central-1\noutput = json\n\n[profile reader]\n{ROLE}",
        f"[profile e]\n{ROLE}web_identity_token_file={IRSA}\n[default]\nrole_arn={OTHER}\nsource_profile=e",
        f"[profile a]\nrole_arn{' ' * 20}= {ROLE_ARN}\nregion{' ' * 22}={' ' * 20}eu-central-1\n",
        f"[sso-session work]\nsso_region = eu-west-1\n[profile a]\n{ROLE}retry_mode = standard\nmax_attempts = 3",
        f"[profile a]\n{ROLE}sts_regional_endpoints = regional\noutput = json",
    ],
)
def test_a_file_as_aws_users_have_it_is_accepted(text: str) -> None:
    found = parse_profiles(text, "file", BASE, IRSA)
    assert found
    assert {profile.role_arn for profile in found} <= {ROLE_ARN, OTHER}


def test_a_loop_is_shown_whole() -> None:
    text = "".join(
        f"[profile {name}]\n{ROLE}source_profile = {source}\n" for name, source in (("a", "b"), ("b", "c"), ("c", "a"))
    )
    assert "a -> b -> c -> a" in str(error_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "secret-word",
        "[profile secret-word!]",
        "[profile a]\nsecret-word = 1",
        "[secret-word",
        "[profile a]\nsecret-word = 1\nsecret-word = 2",
        "[secret-word!]\n[secret-word!]\n",
    ],
)
def test_an_error_does_not_quote_a_text_that_may_be_a_secret(text: str) -> None:
    assert "secret-word" not in error_of(text).what + error_of(text).fix
