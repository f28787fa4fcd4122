"""Responses of the IAM API, as boto3 returns them, become a provider and a role."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from sidecar.errors import InvalidValueError
from sidecar.iam.account import Provider, Role, parse_provider, parse_role

_MADE = datetime(2026, 11, 24, tzinfo=UTC)
_TAGS = [{"Key": "team", "Value": "payments"}]
_TRUST = {"Statement": [{"Effect": "Allow", "Condition": {"StringLike": {"issuer.test:sub": "100%25"}}}]}
_PROVIDER_ARN = "arn:aws:iam::123456789012:oidc-provider/issuer.test/a"
_ROLE_ARN = "arn:aws:iam::123456789012:role/teams/Reader"


def _role(**changed: object) -> dict[str, Any]:
    answer = {
        "Path": "/teams/",
        "RoleName": "Reader",
        "RoleId": "AROA123456789EXAMPLE",
        "Arn": _ROLE_ARN,
        "CreateDate": _MADE,
        "AssumeRolePolicyDocument": _TRUST,
        "Description": "reads",
        "MaxSessionDuration": 7_200,
        "Tags": _TAGS,
    }
    return answer | changed


@pytest.mark.parametrize("url", ["issuer.test/a", "https://issuer.test/a"])
def test_a_provider_is_named_by_its_url_and_its_thumbprints_are_compared_in_lower_case(url: str) -> None:
    answer = {
        "Url": url,
        "ClientIDList": ["sts.amazonaws.com", "vault"],
        "ThumbprintList": ["AB" * 20],
        "CreateDate": _MADE,
        "Tags": _TAGS,
    }
    assert parse_provider(_PROVIDER_ARN, answer) == Provider(
        _PROVIDER_ARN,
        "issuer.test/a",
        ("sts.amazonaws.com", "vault"),
        ("ab" * 20,),
        {"team": "payments"},
        _MADE.timestamp(),
    )


@pytest.mark.parametrize(
    "document", [_TRUST, json.dumps(_TRUST), quote(json.dumps(_TRUST))], ids=["decoded", "json", "url-encoded"]
)
def test_a_trust_policy_is_parsed_in_each_form(document: object) -> None:
    assert parse_role(_role(AssumeRolePolicyDocument=document)) == Role(
        _ROLE_ARN,
        _TRUST,
        "/teams/",
        7_200,
        tags={"team": "payments"},
        description="reads",
        created_at=_MADE.timestamp(),
    )


def test_a_trust_policy_that_cannot_be_read_is_not_an_empty_one() -> None:
    with pytest.raises(InvalidValueError, match=r"^trust policy: not a JSON object; "):
        parse_role(_role(AssumeRolePolicyDocument="{"))


@pytest.mark.parametrize("name", ["Arn", "CreateDate", "AssumeRolePolicyDocument"])
def test_a_role_response_without_a_required_member_is_rejected(name: str) -> None:
    answer = _role()
    del answer[name]
    with pytest.raises(InvalidValueError, match=rf"^the response of IAM has no {name}; "):
        parse_role(answer)


@pytest.mark.parametrize("name", ["Url", "CreateDate"])
def test_a_provider_response_without_a_required_member_is_rejected(name: str) -> None:
    answer: dict[str, Any] = {"Url": "issuer.test/a", "CreateDate": _MADE}
    del answer[name]
    with pytest.raises(InvalidValueError, match=rf"^the response of IAM has no {name}; "):
        parse_provider(_PROVIDER_ARN, answer)
