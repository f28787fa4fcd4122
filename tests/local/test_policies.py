"""Policy evaluation, as a table: statements that allow, that do not allow, and that are not implemented."""

from typing import Any

import pytest

from examples.local.conditions import wildcard_match
from examples.local.policies import Decision, Request, evaluate

_PROVIDER = "arn:aws:iam::123456789012:oidc-provider/issuer.test"
_ACTION = "sts:AssumeRoleWithWebIdentity"
_SUB = "system:serviceaccount:default:reader"
_REQUEST = Request(
    _ACTION,
    {"Federated": frozenset({_PROVIDER})},
    context={"issuer.test:aud": "sts.amazonaws.com", "issuer.test:sub": _SUB, "sts:externalid": None},
)
_ALLOW: dict[str, Any] = {"Effect": "Allow", "Principal": {"Federated": _PROVIDER}, "Action": _ACTION}
_CALLER = "arn:aws:iam::123456789012:role/First"


def _when(operator: str, key: str, *values: str) -> dict[str, Any]:
    return _ALLOW | {"Condition": {operator: {key: list(values)}}}


@pytest.mark.parametrize(
    "statement",
    [
        _ALLOW,
        _ALLOW | {"Action": "sts:*"},
        _ALLOW | {"Action": "*"},
        _ALLOW | {"Action": ["sts:TagSession", "STS:assumerolewithwebidentity"]},
        _ALLOW | {"Principal": {"Federated": ["arn:aws:iam::1:oidc-provider/x", _PROVIDER]}},
        _when("StringEquals", "issuer.test:sub", _SUB),
        _when("StringEquals", "ISSUER.test:SUB", _SUB),
        _when("StringEquals", "issuer.test:sub", "other", _SUB),
        _when("StringLike", "issuer.test:sub", "system:serviceaccount:default:*"),
        _when("StringLike", "issuer.test:sub", "system:serviceaccount:default:reade?"),
        _when("StringEqualsIgnoreCase", "issuer.test:sub", _SUB.upper()),
        _when("StringNotEquals", "issuer.test:sub", "other"),
        _when("StringNotLike", "issuer.test:sub", "other:*"),
        _when("StringNotEqualsIgnoreCase", "issuer.test:sub", "other"),
        _when("StringEqualsIfExists", "sts:ExternalId", "x"),
        _when("StringNotEquals", "sts:ExternalId", "x"),
        _when("ForAnyValue:StringEquals", "issuer.test:sub", _SUB),
        _when("ForAllValues:StringEquals", "sts:ExternalId", "x"),
        _when("Null", "sts:ExternalId", "true"),
        {key: value for key, value in _ALLOW.items() if key != "Action"} | {"NotAction": "sts:AssumeRole"},
    ],
)
def test_a_statement_that_matches_allows(statement: dict[str, Any]) -> None:
    assert evaluate(({"Statement": [statement]},), _REQUEST) is Decision.ALLOW


@pytest.mark.parametrize(
    "statement",
    [
        _ALLOW | {"Action": "sts:AssumeRole"},
        _ALLOW | {"Action": []},
        _ALLOW | {"Action": 7},
        _ALLOW | {"Principal": "*"},
        _ALLOW | {"Principal": {"Federated": "*"}},
        _ALLOW | {"Principal": {"AWS": _PROVIDER}},
        _ALLOW | {"Principal": {"Federated": [7]}},
        _ALLOW | {"Principal": {"Federated": _PROVIDER + "/"}},
        {"Effect": "Allow", "Action": _ACTION},
        {"Effect": "Allow", "NotPrincipal": {"Federated": "x"}, "Action": _ACTION},
        _ALLOW | {"NotAction": "sts:AssumeRole"},
        {key: value for key, value in _ALLOW.items() if key != "Action"} | {"NotAction": "sts:*"},
        _ALLOW | {"Resource": "*"},
        _ALLOW | {"Condition": []},
        _ALLOW | {"Condition": {"StringEquals": []}},
        _when("StringEquals", "issuer.test:sub", "system:serviceaccount:default:*"),
        _when("StringEquals", "issuer.test:sub", _SUB.upper()),
        _when("StringLike", "issuer.test:sub", _SUB.upper()),
        _when("StringLike", "issuer.test:sub", "[a-z]*"),
        _when("StringLike", "issuer.test:sub", "system:serviceaccount:default:reader?"),
        _when("StringNotEquals", "issuer.test:sub", "other", _SUB),
        _when("StringEquals", "issuer.test:sub"),
        _when("StringEquals", "issuer.test:email", "x"),
        _when("StringEquals", "other.test:sub", _SUB),
        _when("StringEqualsIfExists", "issuer.test:email", "x"),
        _when("StringEquals", "sts:ExternalId", "x"),
        _when("NumericEquals", "issuer.test:sub", _SUB),
        _when("IpAddress", "issuer.test:sub", "10.0.0.0/8"),
        _when("ArnLike", "issuer.test:sub", "arn:aws:iam::*:role/x"),
        _when("ForAnyValue:StringNotEquals", "sts:ExternalId", "x"),
        _when("ForAnyValue:StringEqualsIfExists", "sts:ExternalId", "x"),
        _when("Null", "sts:ExternalId", "false"),
        _when("Null", "sts:ExternalId", "true", "false"),
        _when("stringequals", "issuer.test:sub", _SUB),
        _when("StringNotEquals", "issuer.test:sub", "${aws:username}"),
        _ALLOW | {"Condition": {"StringEquals": {"issuer.test:sub": _SUB, "issuer.test:aud": "x"}}},
        _ALLOW | {"Condition": {"StringEquals": {"issuer.test:sub": _SUB}, "StringLike": {"issuer.test:aud": "x"}}},
    ],
)
def test_a_statement_that_does_not_match_or_is_not_implemented_does_not_allow(
    statement: dict[str, Any],
) -> None:
    assert evaluate(({"Version": "2012-10-17", "Statement": [statement]},), _REQUEST) is Decision.IMPLICIT_DENY


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"AWS": ["123456789012", "*"]}},
        {"Principal": {"Federated": "*"}},
        {"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Condition": {"StringEquals": {"issuer.test:email": "x"}}},
        {"Condition": {"StringNotEquals": {"issuer.test:sub": "system:serviceaccount:default:writer"}}},
        {"NotAction": "sts:AssumeRole"},
    ],
)
def test_a_deny_that_matches_or_is_not_implemented_overrides_an_allow(change: dict[str, Any]) -> None:
    deny = {**_ALLOW, **change, "Effect": "Deny"}
    for statements in ([_ALLOW, deny], [deny, _ALLOW]):
        assert evaluate(({"Statement": statements},), _REQUEST) is Decision.EXPLICIT_DENY


def test_a_deny_for_another_subject_does_not_deny() -> None:
    deny = _when("StringEquals", "issuer.test:sub", "other") | {"Effect": "Deny"}
    assert evaluate(({"Statement": [_ALLOW, deny]},), _REQUEST) is Decision.ALLOW


@pytest.mark.parametrize("document", [{}, {"Statement": []}, {"Statement": None}])
def test_a_document_without_statements_denies(document: dict[str, Any]) -> None:
    assert evaluate((document,), _REQUEST) is Decision.IMPLICIT_DENY


@pytest.mark.parametrize("statement", ["Allow", {"Effect": "allow"}, {"Effect": "Permit"} | {"Action": "*"}])
def test_a_malformed_statement_denies_the_request(statement: object) -> None:
    assert evaluate(({"Statement": [_ALLOW, statement]},), _REQUEST) is Decision.EXPLICIT_DENY


def test_a_single_statement_need_not_be_a_list() -> None:
    assert evaluate(({"Statement": _ALLOW},), _REQUEST) is Decision.ALLOW


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ({"Action": "ssm:Get*", "Resource": "*"}, True),
        ({"Action": "ssm:GetParameter", "Resource": "arn:aws:ssm:*:*:parameter/demo/*"}, True),
        ({"Action": "ssm:GetParameter", "Resource": "arn:aws:ssm:*:*:parameter/other/*"}, False),
        ({"Action": "ssm:Put*", "Resource": "*"}, False),
        ({"Action": "ssm:Get*"}, False),
        ({"Action": "ssm:Get*", "NotResource": "x"}, False),
        ({"Action": "ssm:Get*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}}, False),
        ({"Action": "ssm:Get*", "Resource": "*", "Principal": "*"}, False),
    ],
)
def test_a_permission_policy_matches_by_action_and_resource(statement: dict[str, Any], *, allowed: bool) -> None:
    request = Request("ssm:GetParameter", resource="arn:aws:ssm:eu-central-1:123456789012:parameter/demo/x")
    decision = evaluate(({"Statement": {"Effect": "Allow", **statement}},), request)
    assert (decision is Decision.ALLOW) is allowed


def test_an_aws_principal_does_not_match_a_federated_one() -> None:
    request = Request("sts:AssumeRole", {"AWS": frozenset({_CALLER})})
    named = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Federated": _CALLER}}
    assert evaluate(({"Statement": named},), request) is Decision.IMPLICIT_DENY
    assert evaluate(({"Statement": named | {"Principal": {"AWS": _CALLER}}},), request) is Decision.ALLOW


def test_a_wildcard_matches_line_ends_and_other_characters_are_literal() -> None:
    assert wildcard_match("a*b", "a\nb")
    assert not wildcard_match("a.b", "axb")
    assert not wildcard_match("a", "a\n")
