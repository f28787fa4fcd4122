"""The names that IAM and STS accept are accepted, by the charts and by the daemon."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sidecar.bootstrap import spec
from sidecar.iam.names import POLICY_ARN, ROLE_ARN, SESSION_NAME
from sidecar.settings import options
from sidecar.settings.profile_keys import KEYS

_CHARTS = Path(__file__).parents[3] / "charts"
_ROLE, _POLICY = "arn:aws:iam::123456789012:role/", "arn:aws:iam::123456789012:policy/"
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


@pytest.mark.parametrize(
    "arn",
    [
        f"{_ROLE}{_PRINTABLE}/Reader",
        f"{_ROLE}{'p' * 510}/{'n' * 64}",
        f"{_ROLE}a//b/_+=,.@-",
        "arn:aws-iso-b:iam::123456789012:role/aws-service-role/x.amazonaws.com/R",
    ],
)
def test_valid_role_arns_are_accepted_by_the_settings_and_by_bootstrap(arn: str) -> None:
    assert options.role_arn(arn) == arn
    assert spec.role_or_arn(arn) == arn


@pytest.mark.parametrize(
    "arn",
    [
        _ROLE,
        f"{_ROLE}teams/",
        f"{_ROLE}{'n' * 65}",
        f"{_ROLE}{'p' * 511}/R",
        *(f"{_ROLE}a{character}b/R" for character in " \t\n\x7f\xe9"),
        *(f"{_ROLE}a{character}" for character in "!:*\n\xe9"),
        "arn:aws:iam::aws:role/R",
        "arn:amazon:iam::123456789012:role/R",
    ],
)
def test_invalid_role_arns_are_rejected(arn: str) -> None:
    assert not ROLE_ARN.fullmatch(arn)


@pytest.mark.parametrize(
    "arn",
    [
        f"{_POLICY}{'p' * 510}/{'n' * 128}",
        f"{_POLICY}a,b/c,_+=.@-",
        "arn:aws-us-gov:iam::aws:policy/job-function/ViewOnlyAccess",
    ],
)
def test_valid_policy_arns_are_accepted_by_a_profile_and_by_bootstrap(arn: str) -> None:
    assert KEYS["policy_arns"].parse(arn) == (arn,)
    assert KEYS["policy_arns"].parse(f"{arn},{arn}, {arn}\n{arn},") == (arn,) * 4
    assert spec.policy_arn(arn) == arn


@pytest.mark.parametrize("end", ["", "a/", "n" * 129, f"{'p' * 511}/P", "a!/P", "a:b", "\xe9"])
def test_invalid_policy_arns_are_rejected(end: str) -> None:
    assert not POLICY_ARN.fullmatch(_POLICY + end)


@pytest.mark.parametrize(("name", "good"), [("a" * 64, True), ("a", False), ("a" * 65, False), ("\xe9t\xe9", False)])
def test_a_session_name_has_2_to_64_ascii_characters(name: str, *, good: bool) -> None:
    assert bool(SESSION_NAME.fullmatch(name)) is good


def _schema(chart: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads((_CHARTS / chart / "values.schema.json").read_text())


def test_the_charts_accept_the_same_names_as_the_daemon() -> None:
    chart, library = _schema("aws-oidc-sidecar"), _schema("aws-oidc-sidecar-lib")
    profile = chart["$defs"]["profile"]["properties"]

    def anchored(pattern: re.Pattern[str]) -> str:
        return f"^{pattern.pattern}$"

    assert chart["$defs"]["roleArn"]["pattern"] == f"^$|{anchored(ROLE_ARN)}"
    assert profile["policyArns"]["items"]["pattern"] == anchored(POLICY_ARN)
    assert profile["sessionName"]["pattern"] == anchored(SESSION_NAME)
    assert {one["properties"]["cluster"]["pattern"] for one in (chart, library)} == {anchored(options._CLUSTER)}
