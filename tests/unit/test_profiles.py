import pytest

from sidecar.errors import SettingsError
from sidecar.model import Profile
from sidecar.profiles import parse_profiles
from tests.helpers.values import ROLE_ARN, profile

BASE = profile()
OTHER = "arn:aws:iam::123456789012:role/Other"


def parsed(text: str) -> dict[str, Profile]:
    return {found.name: found for found in parse_profiles(text, "file", BASE)}


def refusal(text: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        parse_profiles(text, "file", BASE)
    return caught.value


def test_a_profile_takes_what_it_does_not_say_from_the_settings() -> None:
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


def test_a_policy_may_be_written_over_several_indented_lines() -> None:
    text = f'[default]\nrole_arn = {ROLE_ARN}\npolicy = {{\n  "Version": "2012-10-17"\n  }}\n'
    assert parsed(text)["default"].policy == '{"Version":"2012-10-17"}'


def test_sources_come_before_what_is_chained_to_them() -> None:
    text = "".join(
        f"[profile {name}]\nrole_arn = {ROLE_ARN}\n" + (f"source_profile = {source}\n" if source else "")
        for name, source in (("c", "b"), ("b", "a"), ("a", ""))
    )
    assert list(parsed(text)) == ["a", "b", "c"]


def test_a_chained_profile_asks_for_an_hour_at_most() -> None:
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
        (f"[profile a]\n{ROLE}[profile a]\n{ROLE}", "file:3", "write [profile"),
        (f"[profile a]\n{ROLE}{ROLE}", "file:3", "write [profile"),
        (f"[profile a]\n{ROLE}garbage\n", "file:3", "write [profile"),
        (f"[default]\n{ROLE}[profile default]\n{ROLE}", "file: [profile default]", "keep one"),
        (f"[reader]\n{ROLE}", "file: section", "write [profile reader]"),
        (f"[sso-session x]\n{ROLE}", "file: section", "write [profile <name>]"),
        (f"[profile Reader]\n{ROLE}", "file: section", "use 1 to 46"),
        (f"[profile ../etc]\n{ROLE}", "file: section", "use 1 to 46"),
        (f"[profile {'a' * 47}]\n{ROLE}", "file: section", "use 1 to 46"),
        ("[profile a]\n", "file: [profile a]", "set it"),
        ("[profile a]\nrole_arn =\n", "file: [profile a]", "set it"),
        (f"[profile a]\n{ROLE}output = json\n", "file: [profile a]", "remove it"),
        (f"[profile a]\n{ROLE}duration_second = 900\n", "file: [profile a]", "did you mean duration_seconds?"),
        (f"[profile a]\n{ROLE}duration_seconds = 1\n", "file: [profile a] duration_seconds", ""),
        (f"[profile a]\n{ROLE}external_id = x-1\n", "file: [profile a] external_id", "chain the role"),
        (f"[profile a]\n{ROLE}session_tags = true\n", "file: [profile a] session_tags", "chain the role"),
        (f"[profile a]\n{ROLE}policy = nonsense\n", "file: [profile a] policy", "one line"),
        (f"[profile a]\n{ROLE}policy = []\n", "file: [profile a] policy", "one line"),
        (f"[profile a]\n{ROLE}policy = {'x' * 2_049}\n", "file: [profile a] policy", "2048"),
        (f"[profile a]\n{ROLE}policy_arns = x\n", "file: [profile a] policy_arns", "separate"),
        (f"[profile a]\n{ROLE}source_profile = b\n", "file: [a]", "add it"),
        (f"[profile a]\n{ROLE}source_profile = a\n", "file: [a]", "break it"),
        (f"[profile a]\n{ROLE}serve = false\n", "file", "remove serve = false"),
        (
            f"[profile a]\n{ROLE}[profile b]\n{ROLE}source_profile = a\nduration_seconds = 3601\n",
            "file: [profile b] duration_seconds",
            "lower it",
        ),
        ("".join(f"[profile p{n}]\n{ROLE}" for n in range(257)), "file", "no use for so many"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_place_with_the_fix(text: str, where: str, fix: str) -> None:
    error = refusal(text)
    assert error.where == where
    assert fix in error.fix
    assert "\n" not in str(error)


def test_a_loop_is_shown_whole() -> None:
    text = "".join(
        f"[profile {name}]\n{ROLE}source_profile = {source}\n" for name, source in (("a", "b"), ("b", "c"), ("c", "a"))
    )
    assert "a -> b -> c -> a" in str(refusal(text))


@pytest.mark.parametrize(
    "text", ["secret-word", "[profile secret-word!]", "[profile a]\nsecret-word = 1", "[secret-word"]
)
def test_no_text_of_the_file_is_repeated_in_a_refusal(text: str) -> None:
    assert "secret-word" not in refusal(text).what + refusal(text).fix
