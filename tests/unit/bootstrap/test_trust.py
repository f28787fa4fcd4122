"""What a trust policy lets in, and why not: never a promise that the strict local STS does not keep."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from examples.local.policies import Decision, Request, evaluate
from sidecar.bootstrap.trust import Mismatch, for_roles, for_tokens, refusals, trust_policy

_ARN = "arn:aws:iam::123456789012:oidc-provider/issuer.test/path"
_OTHER = "arn:aws:iam::123456789012:oidc-provider/other.test"
_SUB = "system:serviceaccount:default:reader"
_ACTION = "sts:AssumeRoleWithWebIdentity"
_FITTING = for_tokens(_ARN, audience=["sts.amazonaws.com"], subjects=[_SUB])


def _why(*statements: dict[str, Any], aud: tuple[str, ...] = ("sts.amazonaws.com",), sub: str = _SUB) -> Any:  # noqa: ANN401
    return refusals(trust_policy(*statements), provider_arn=_ARN, audience=aud, subject=sub)


def _on(operator: str, key: str, *values: str) -> dict[str, Any]:
    return {**_FITTING, "Condition": {operator: {f"issuer.test/path:{key}": list(values)}}}


def test_a_statement_for_tokens_asks_for_both_aud_and_sub() -> None:
    assert _FITTING == {
        "Effect": "Allow",
        "Principal": {"Federated": _ARN},
        "Action": _ACTION,
        "Condition": {
            "StringEquals": {"issuer.test/path:aud": "sts.amazonaws.com", "issuer.test/path:sub": _SUB},
        },
    }
    assert _why(_FITTING) == ()


def test_patterns_are_compared_as_such_and_aud_exactly_all_the_same() -> None:
    made = for_tokens(_ARN, audience=["a", "b"], subjects=["x:*"], patterns=True)
    assert made["Condition"] == {
        "StringEquals": {"issuer.test/path:aud": ["a", "b"]},
        "StringLike": {"issuer.test/path:sub": "x:*"},
    }


def test_a_statement_for_roles_allows_tags_only_where_asked() -> None:
    assert for_roles(["arn:aws:iam::1:role/a"])["Action"] == "sts:AssumeRole"
    assert for_roles(["arn:aws:iam::1:role/a"], session_tags=True)["Action"] == ["sts:AssumeRole", "sts:TagSession"]


@pytest.mark.parametrize(
    ("statement", "mismatch"),
    [
        ({**_FITTING, "Principal": {"Federated": _OTHER}}, Mismatch("principal", (_OTHER,), _ARN)),
        ({**_FITTING, "Principal": {"AWS": _ARN}}, Mismatch("principal", (_ARN,), _ARN)),
        ({**_FITTING, "Action": "sts:AssumeRole"}, Mismatch("action", ("sts:AssumeRole",), _ACTION)),
        (_on("StringEquals", "sub", "a", "b"), Mismatch("sub", ("a", "b"), _SUB)),
        (_on("StringEquals", "sub", "system:serviceaccount:default:*"),
         Mismatch("sub", ("system:serviceaccount:default:*",), _SUB)),
        (_on("StringLike", "sub", "system:serviceaccount:other:*"),
         Mismatch("sub", ("system:serviceaccount:other:*",), _SUB)),
        (_on("ForAnyValue:StringEquals", "aud", "vault"), Mismatch("aud", ("vault",), "sts.amazonaws.com")),
        (_on("StringNotEquals", "sub", _SUB), Mismatch("sub", (_SUB,), _SUB)),
        (_on("ArnLike", "sub", _SUB), Mismatch("condition", (), "ArnLike")),
        (_on("StringEquals", "sub", "${aws:username}"),
         Mismatch("condition", ("${aws:username}",), "StringEquals with a policy variable, or no text")),
        (_on("StringNotEquals", "sub"),
         Mismatch("condition", (), "StringNotEquals with a policy variable, or no text")),
        ({**_FITTING, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
         Mismatch("condition", (), "IpAddress")),
        ({**_FITTING, "Condition": {"StringEquals": {"https://issuer.test/path:sub": _SUB}}},
         Mismatch("condition", ("issuer.test/path:aud", "issuer.test/path:sub"), "https://issuer.test/path:sub")),
        ({**_FITTING, "Principal": "*"}, Mismatch("condition", (), "a principal of *")),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(statement: dict[str, Any], mismatch: Mismatch) -> None:
    assert _why(statement) == (mismatch,)


@pytest.mark.parametrize(
    "statement",
    [
        {**_FITTING, "Action": "sts:*"},
        {**_FITTING, "Action": ["sts:TagSession", "STS:assumerolewithwebidentity"]},
        {**_FITTING, "Principal": {"Federated": [_OTHER, _ARN]}},
        _on("StringLike", "sub", "system:serviceaccount:default:re?der"),
        _on("StringEqualsIfExists", "sub", _SUB),
        _on("StringEqualsIgnoreCase", "sub", _SUB.upper()),
        _on("ForAllValues:StringLike", "aud", "sts.*"),
        _on("StringNotLike", "sub", "system:serviceaccount:other:*"),
        {**_FITTING, "Condition": {"StringEquals": {"ISSUER.test/path:SUB": _SUB}}},
        {key: value for key, value in _FITTING.items() if key != "Condition"},
    ],
)
def test_every_form_that_fits_is_taken(statement: dict[str, Any]) -> None:
    assert _why(statement) == ()


def test_the_closest_statement_is_told() -> None:
    other_issuer = {**_FITTING, "Principal": {"Federated": _OTHER}}
    both_wrong = for_tokens(_ARN, audience=["vault"], subjects=["x"])
    sub_wrong = for_tokens(_ARN, audience=["sts.amazonaws.com"], subjects=["x"])
    assert _why(other_issuer, both_wrong, sub_wrong) == (Mismatch("sub", ("x",), _SUB),)
    assert [found.kind for found in _why(other_issuer, both_wrong)] == ["aud", "sub"]
    assert _why(sub_wrong, _FITTING) == ()


def test_without_any_statement_it_is_the_principal() -> None:
    assert _why() == (Mismatch("principal", (), _ARN),)


@pytest.mark.parametrize(
    ("deny", "mismatch"),
    [
        ({**_FITTING, "Effect": "Deny", "Sid": "Stop"}, Mismatch("deny", (), "Stop")),
        ({"Effect": "Deny", "Principal": "*", "Action": "*"}, Mismatch("deny", (), "statement 2")),
        ({"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:*"}, Mismatch("deny", (), "statement 2")),
        ({"Effect": "Deny", "Principal": "*", "NotAction": "s3:*"}, Mismatch("condition", (), "NotAction")),
        ({"Effect": "Deny", "NotPrincipal": {"AWS": "x"}, "Action": "*"}, Mismatch("condition", (), "NotPrincipal")),
        ({"Effect": "Deny", "Principal": "*", "Action": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
         Mismatch("condition", (), "Bool")),
    ],
)  # fmt: skip
def test_a_deny_wins_and_so_does_one_that_cannot_be_judged(deny: dict[str, Any], mismatch: Mismatch) -> None:
    assert _why(_FITTING, deny) == (mismatch,)


@pytest.mark.parametrize(
    "deny",
    [
        {**_FITTING, "Effect": "Deny", "Principal": {"Federated": _OTHER}},
        {"Effect": "Deny", "Principal": "*", "Action": "sts:TagSession"},
        {**_on("StringNotEquals", "sub", _SUB), "Effect": "Deny"},
    ],
)
def test_a_deny_of_something_else_does_not(deny: dict[str, Any]) -> None:
    assert _why(_FITTING, deny) == ()


def test_of_several_audiences_each_has_to_fit_an_allow_and_one_a_deny() -> None:
    both = ("sts.amazonaws.com", "vault")
    assert _why(_FITTING, aud=both) == (Mismatch("aud", ("sts.amazonaws.com",), "sts.amazonaws.com, vault"),)
    assert _why(for_tokens(_ARN, audience=both, subjects=[_SUB]), aud=both) == ()
    assert _why(_on("ForAnyValue:StringEquals", "aud", "vault"), aud=both) == ()
    deny = {**_on("StringEquals", "aud", "vault"), "Effect": "Deny"}
    assert _why(for_tokens(_ARN, audience=both, subjects=[_SUB]), deny, aud=both) == (
        Mismatch("deny", (), "statement 2"),
    )
    assert _why(_FITTING, aud=()) != ()


_WORDS = st.sampled_from(["sts.amazonaws.com", "vault", _SUB, _SUB.upper(), "*", "system:*", "?", "${aws:x}", "sts.*"])
_OPERATORS = st.sampled_from(
    ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase",
     "StringNotEqualsIgnoreCase", "StringEqualsIfExists", "StringNotLikeIfExists", "ArnLike", "Bool"]
)  # fmt: skip
_KEYS = st.sampled_from(["issuer.test/path:aud", "issuer.test/path:SUB", "other.test:sub", "aws:SourceIp"])
_STATEMENTS = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "Principal": st.sampled_from(
            [{"Federated": _ARN}, {"Federated": [_ARN, _OTHER]}, {"Federated": _OTHER}, {"AWS": "*"}, "*"]
        ),
        "Action": st.sampled_from([_ACTION, "sts:*", "*", ["sts:TagSession"], ["sts:tagsession", _ACTION.lower()]]),
    },
    optional={
        "Condition": st.dictionaries(
            _OPERATORS, st.dictionaries(_KEYS, _WORDS | st.lists(_WORDS, max_size=2), max_size=2), max_size=2
        ),
        "Sid": st.just("S"),
        "NotResource": st.just("x"),
    },
)


@given(st.lists(_STATEMENTS, max_size=4))
@settings(max_examples=500)
def test_it_says_what_the_strict_sts_does(statements: list[dict[str, Any]]) -> None:
    request = Request(
        _ACTION,
        {"Federated": frozenset({_ARN})},
        context={"issuer.test/path:aud": "sts.amazonaws.com", "issuer.test/path:sub": _SUB},
    )
    allowed = evaluate((trust_policy(*statements),), request) is Decision.ALLOW
    assert (_why(*statements) == ()) is allowed or _may_differ(statements)


def _may_differ(statements: list[dict[str, Any]]) -> bool:
    """AWS's own words for everybody: the local STS takes this one for nobody even in a Deny, which is more open."""
    return any(one["Effect"] == "Deny" and one["Principal"] == {"AWS": "*"} for one in statements)
