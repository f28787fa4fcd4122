"""Any text in the profiles file gives valid profiles, or one error without a value of the file."""

import string
import time

import pytest
from hypothesis import example, given, settings, strategies as st

from sidecar.errors import SettingsError
from sidecar.limits import PROFILES_MAX_BYTES
from sidecar.settings.profile_keys import KEYS
from sidecar.settings.profiles import parse_profiles
from tests.fuzz.properties import BASE, read_profiles

ARN = "arn:aws:iam::123456789012:role/"
NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda name: name != "default")
VALUES = {
    "role_session_name": st.text(string.ascii_letters + string.digits + "_+=,.@-", min_size=2, max_size=64),
    "duration_seconds": st.integers(900, 3_600).map(str),
    "region": st.sampled_from(["eu-central-1", "us-gov-west-1", "cn-north-1"]),
    "endpoint_url": st.sampled_from(["https://sts.test", "https://vpce-1.sts.eu-central-1.vpce.amazonaws.com:443"]),
    "use_fips_endpoint": st.sampled_from(["true", "False"]),
    "use_dualstack_endpoint": st.sampled_from(["TRUE", "false"]),
    "on_change": st.sampled_from(["keep", "withdraw-on-role-change"]),
    "policy": st.sampled_from(['{"Version": "2012-10-17"}', '{\n  "Statement": []}']),
    "policy_arns": st.sampled_from(
        ["arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/A, arn:aws:iam::aws:policy/B"]
    ),
}
CHAINED = {
    "external_id": st.text(string.ascii_letters + ":/\\", min_size=2, max_size=20),
    "session_tags": st.sampled_from(["true", "false"]),
}
Sections = dict[str, dict[str, str]]


@st.composite
def files(draw: st.DrawFn) -> Sections:
    """Return valid sections, each chained to an earlier one or to none, in any order."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    sections: Sections = {}
    for place, name in enumerate(names):
        source = draw(st.sampled_from(["", *names[:place]]))
        keys = draw(st.fixed_dictionaries({}, optional=VALUES | (CHAINED if source else {})))
        sections[name] = {"role_arn": ARN + name, **keys} | ({"source_profile": source} if source else {})
    return {name: sections[name] for name in draw(st.permutations(names))}


def written(sections: Sections) -> str:
    lines = []
    for name, keys in sections.items():
        lines.append(f"[profile {name}]")
        lines += [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


@given(st.text(max_size=200) | st.text("[]profile =\n\t;#abr_n:", max_size=200))
@example("[profile a]\nrole_arn\n")
@example("[default]\n[DEFAULT]\n[profile default]\n")
@example("\ufeff[default]\n")
def test_any_text(text: str) -> None:
    read_profiles(text)


@given(files(), st.integers(0), st.integers(0, 12), st.text("[]=\n \x00profile:é", max_size=3))
def test_a_valid_file_with_characters_overwritten(sections: Sections, at: int, gone: int, come: str) -> None:
    text = written(sections)
    at %= len(text)
    read_profiles(text[:at] + come + text[at + gone :])


@settings(deadline=None)
@given(files())
def test_a_valid_file_gives_its_profiles(sections: Sections) -> None:
    profiles = read_profiles(written(sections))
    assert profiles is not None
    assert {profile.name for profile in profiles} == set(sections)
    for profile in profiles:
        keys = sections[profile.name]
        assert profile.source == keys.get("source_profile", "")
        for key, text in keys.items():
            assert getattr(profile, KEYS[key].field) == KEYS[key].parse(text)
        unset = {KEYS[key].field for key in KEYS} - {KEYS[key].field for key in keys} - {"source"}
        assert all(getattr(profile, name) == getattr(BASE, name) for name in unset)


@given(files(), st.data())
def test_a_loop_is_rejected_and_named(sections: Sections, data: st.DataObject) -> None:
    start = name = data.draw(st.sampled_from(sorted(sections)))
    end = [name]
    while source := sections[name].get("source_profile"):
        name = source
        end.append(name)
    sections[name]["source_profile"] = start  # the end of the chain now has its beginning as source
    sections[name].pop("duration_seconds", None)
    with pytest.raises(SettingsError, match="makes a loop") as raised:
        parse_profiles(written(sections), "profiles", BASE)
    assert all(member in str(raised.value) for member in end)


@given(files(), NAMES)
def test_a_missing_source_is_rejected(sections: Sections, name: str) -> None:
    if name not in sections:
        sections[next(iter(sections))]["source_profile"] = name
        with pytest.raises(SettingsError):
            parse_profiles(written(sections), "profiles", BASE)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("source_profile = default\nduration_seconds = 3601", "limits a chained role to one hour"),
        ("external_id = ticket-4711", "needs source_profile"),
        ("session_tags = true", "needs source_profile"),
    ],
)
def test_a_key_of_one_kind_of_call_is_rejected_for_the_other(line: str, what: str) -> None:
    text = f"[default]\nrole_arn = {ARN}x\n[profile a]\nrole_arn = {ARN}a\n{line}\n"
    with pytest.raises(SettingsError, match=what):
        parse_profiles(text, "profiles", BASE)


@pytest.mark.parametrize("section", ["profilereader", "profile", "Profile reader", "profile a b", "reader"])
def test_a_section_that_only_resembles_a_profile_is_rejected(section: str) -> None:
    with pytest.raises(SettingsError, match="not a profile"):
        parse_profiles(f"[{section}]\nrole_arn = {ARN}x\n", "profiles", BASE)


@pytest.mark.parametrize(
    "line", ["[profile{}a b]", "a{}b", "[default]\nrole_arn{}x", "[default]\na = b{}\n c", "[default]\na{}= b"]
)
def test_the_largest_file_of_a_config_map_is_read_in_a_second(line: str) -> None:
    """It is read on the event loop that answers applications, so the time must not grow with the square of blanks."""
    text = line.format(" " * (PROFILES_MAX_BYTES - 100))
    began = time.process_time()
    read_profiles(text)
    assert time.process_time() - began < 1.0


def test_every_key_is_used_by_the_tests_above() -> None:
    own = {"role_arn", "source_profile", "serve"}
    assert set(VALUES) | set(CHAINED) | own == set(KEYS)
    served = written({"a": {"role_arn": f"{ARN}a", "serve": "false"}, "b": {"role_arn": f"{ARN}b"}})
    profiles = parse_profiles(served, "profiles", BASE)
    assert [profile.served for profile in profiles] == [False, True]
