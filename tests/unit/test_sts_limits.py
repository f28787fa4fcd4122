"""What STS would refuse is refused before it is asked, and what it takes is let through."""

from pathlib import Path

import pytest

from sidecar.config import Settings, resolve
from sidecar.errors import SettingsError, TokenError, TokenProblem
from sidecar.tokens import jwt
from tests.helpers.values import ROLE_ARN, jwt_bytes

PREFIX = "arn:aws:iam::123456789012:role/"


def settings(text: str = "", **flags: str) -> Settings:
    def read(_: Path) -> str:
        return text

    given = {name.replace("_", "-"): value for name, value in flags.items()}
    return resolve(given | ({"profiles-file": "/p"} if text else {"role-arn": ROLE_ARN}), {}, read)


@pytest.mark.parametrize("seconds", [900, 1_800, 3_600, 43_200])
def test_every_duration_that_sts_takes_is_taken(seconds: int) -> None:
    assert settings(duration=str(seconds)).profiles[0].duration_seconds == seconds


def test_an_hour_is_asked_for_by_default() -> None:
    assert settings().profiles[0].duration_seconds == 3_600


@pytest.mark.parametrize(("seconds", "warned"), [(900, True), (1_799, True), (1_800, False), (3_600, False)])
def test_a_life_that_makes_clients_ask_on_every_call_is_warned_of(seconds: int, *, warned: bool) -> None:
    found = settings(duration=str(seconds), region="eu-central-1").warnings
    assert bool(found) is warned
    assert all("ask on every call" in warning for warning in found)


@pytest.mark.parametrize("name", ["aa", "x" * 64, "a+b=c,d.e@f-g_h"])
def test_every_session_name_that_sts_takes_is_taken(name: str) -> None:
    assert settings(role_session_name=name).profiles[0].session_name == name


@pytest.mark.parametrize(("characters", "good"), [(20_000, True), (20_001, False)])
def test_a_token_may_take_what_sts_takes_and_not_a_character_more(characters: int, *, good: bool) -> None:
    content = jwt_bytes("s" * (characters - len(jwt_bytes("")))) + b"\n"
    assert len(content) == characters + 1
    if good:
        assert len(jwt.parse(content).raw) == characters
        return
    with pytest.raises(TokenError) as caught:
        jwt.parse(content)
    assert caught.value.problem is TokenProblem.TOO_LARGE


def policy(characters: int) -> str:
    """Return a session policy of this length once it is written as short as it can be."""
    return '{"Sid":"' + "a" * (characters - len('{"Sid":""}')) + '"}'


@pytest.mark.parametrize(("characters", "good"), [(2_048, True), (2_049, False)])
def test_a_session_policy_may_take_2048_characters(characters: int, *, good: bool) -> None:
    text = f"[default]\nrole_arn = {ROLE_ARN}\npolicy = {policy(characters)}\n"
    if good:
        assert len(settings(text).profiles[0].policy) == characters
        return
    with pytest.raises(SettingsError, match="2048 characters"):
        settings(text)


@pytest.mark.parametrize(("count", "good"), [(10, True), (11, False)])
def test_ten_managed_policies_may_narrow_a_role(count: int, *, good: bool) -> None:
    arns = ", ".join(f"arn:aws:iam::aws:policy/P{number}" for number in range(count))
    text = f"[default]\nrole_arn = {ROLE_ARN}\npolicy_arns = {arns}\n"
    if good:
        assert len(settings(text).profiles[0].policy_arns) == count
        return
    with pytest.raises(SettingsError, match="takes 10"):
        settings(text)


@pytest.mark.parametrize("arn", [PREFIX, "arn:aws:iam::123456789012:role/" + "x" * 2_048, "arn:aws:iam:::role/x"])
def test_a_role_arn_of_another_shape_is_refused(arn: str) -> None:
    with pytest.raises(SettingsError, match="not an IAM role ARN"):
        resolve({"role-arn": arn}, {}, lambda _: "")
