"""Values that STS rejects are rejected before a request, and values that STS accepts are accepted."""

from pathlib import Path

import pytest

from sidecar.errors import SettingsError, TokenError, TokenProblem
from sidecar.settings.resolve import Settings, resolve
from sidecar.tokens import jwt
from tests.helpers.values import ROLE_ARN, jwt_bytes

PREFIX = "arn:aws:iam::123456789012:role/"


def settings(text: str = "", **flags: str) -> Settings:
    def read(_: Path) -> str:
        return text

    given = {name.replace("_", "-"): value for name, value in flags.items()}
    return resolve(given | ({"profiles-file": "/p"} if text else {"role-arn": ROLE_ARN}), {}, read)


@pytest.mark.rule("SDK 20", "Kubernetes D9")
@pytest.mark.parametrize("seconds", [900, 1_800, 3_600, 43_200])
def test_durations_that_sts_accepts_are_accepted(seconds: int) -> None:
    assert settings(duration=str(seconds)).profiles[0].duration_seconds == seconds


@pytest.mark.rule("SDK 20")
def test_the_default_duration_is_an_hour() -> None:
    assert settings().profiles[0].duration_seconds == 3_600


@pytest.mark.rule("SDK 20")
@pytest.mark.parametrize(("seconds", "warned"), [(900, True), (1_799, True), (1_800, False), (3_600, False)])
def test_a_short_duration_gives_a_warning(seconds: int, *, warned: bool) -> None:
    found = settings(duration=str(seconds), region="eu-central-1").warnings
    assert bool(found) is warned
    assert all("request credentials on every call" in warning for warning in found)


@pytest.mark.rule("SDK 27")
@pytest.mark.parametrize("name", ["aa", "x" * 64, "a+b=c,d.e@f-g_h"])
def test_session_names_that_sts_accepts_are_accepted(name: str) -> None:
    assert settings(role_session_name=name).profiles[0].session_name == name


@pytest.mark.rule("SDK 27")
@pytest.mark.parametrize(("characters", "good"), [(20_000, True), (20_001, False)])
def test_a_token_can_have_exactly_the_maximum_size_of_sts(characters: int, *, good: bool) -> None:
    content = jwt_bytes("s" * (characters - len(jwt_bytes("")))) + b"\n"
    assert len(content) == characters + 1
    if good:
        assert len(jwt.parse_token(content).raw) == characters
        return
    with pytest.raises(TokenError) as caught:
        jwt.parse_token(content)
    assert caught.value.problem is TokenProblem.TOO_LARGE


def policy(characters: int) -> str:
    """Return a session policy that has this length without white space."""
    return '{"Sid":"' + "a" * (characters - len('{"Sid":""}')) + '"}'


@pytest.mark.rule("SDK 27")
@pytest.mark.parametrize(("characters", "good"), [(2_048, True), (2_049, False)])
def test_a_session_policy_can_have_2048_characters(characters: int, *, good: bool) -> None:
    text = f"[default]\nrole_arn = {ROLE_ARN}\npolicy = {policy(characters)}\n"
    if good:
        assert len(settings(text).profiles[0].policy) == characters
        return
    with pytest.raises(SettingsError, match="2048 characters"):
        settings(text)


@pytest.mark.rule("SDK 27")
@pytest.mark.parametrize(("count", "good"), [(10, True), (11, False)])
def test_a_profile_can_have_ten_managed_policies(count: int, *, good: bool) -> None:
    arns = ", ".join(f"arn:aws:iam::aws:policy/P{number}" for number in range(count))
    text = f"[default]\nrole_arn = {ROLE_ARN}\npolicy_arns = {arns}\n"
    if good:
        assert len(settings(text).profiles[0].policy_arns) == count
        return
    with pytest.raises(SettingsError, match="at most 10"):
        settings(text)


@pytest.mark.rule("SDK 27")
@pytest.mark.parametrize("arn", [PREFIX, "arn:aws:iam::123456789012:role/" + "x" * 2_048, "arn:aws:iam:::role/x"])
def test_an_invalid_role_arn_is_rejected(arn: str) -> None:
    with pytest.raises(SettingsError, match="not an IAM role ARN"):
        resolve({"role-arn": arn}, {}, lambda _: "")
