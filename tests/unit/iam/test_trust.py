"""Which tokens a trust policy allows, and why not: it allows nothing that the strict local STS denies."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from examples.local.policies import Decision, Request, evaluate
from sidecar.iam.statements import Comparison, Mismatch
from sidecar.iam.trust import find_mismatches, for_roles, for_tokens, trust_policy

_ARN = "arn:aws:iam::123456789012:oidc-provider/issuer.test/path"
_OTHER = "arn:aws:iam::123456789012:oidc-provider/other.test"
_SUB = "system:serviceaccount:default:reader"
_ACTION = "sts:AssumeRoleWithWebIdentity"
_TOKEN_KEYS = ("issuer.test/path:aud", "issuer.test/path:sub")
_FITTING = for_tokens(_ARN, audience=["sts.amazonaws.com"], subjects=[_SUB])


def _why(*statements: dict[str, Any], aud: tuple[str, ...] = ("sts.amazonaws.com",), sub: str = _SUB) -> Any:  # noqa: ANN401
    return find_mismatches(trust_policy(*statements), provider_arn=_ARN, audience=aud, subject=sub)


def _on(operator: str, key: str, *values: str) -> dict[str, Any]:
    return {**_FITTING, "Condition": {operator: {f"issuer.test/path:{key}": list(values)}}}


@pytest.mark.rule("Kubernetes D10")
@pytest.mark.mutant("a trust policy without its aud condition is good enough")
def test_a_statement_for_tokens_compares_both_aud_and_sub() -> None:
    assert _FITTING == {
        "Effect": "Allow",
        "Principal": {"Federated": _ARN},
        "Action": _ACTION,
        "Condition": {
            "StringEquals": {"issuer.test/path:aud": "sts.amazonaws.com", "issuer.test/path:sub": _SUB},
        },
    }
    assert _why(_FITTING) == ()


def test_patterns_use_string_like_for_sub_and_string_equals_for_aud() -> None:
    made = for_tokens(_ARN, audience=["a", "b"], subjects=["x:*"], patterns=True)
    assert made["Condition"] == {
        "StringEquals": {"issuer.test/path:aud": ["a", "b"]},
        "StringLike": {"issuer.test/path:sub": "x:*"},
    }


def test_a_statement_for_roles_allows_session_tags_only_on_request() -> None:
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
         Mismatch("wildcard", ("system:serviceaccount:default:*",), "issuer.test/path:sub")),
        (_on("StringEquals", "sub", "system:serviceaccount:other:*"),
         Mismatch("sub", ("system:serviceaccount:other:*",), _SUB)),
        (_on("StringEqualsIgnoreCase", "aud", "STS.*"), Mismatch("wildcard", ("STS.*",), "issuer.test/path:aud")),
        (_on("StringLike", "sub", "system:serviceaccount:other:*"),
         Mismatch("sub", ("system:serviceaccount:other:*",), _SUB)),
        (_on("ForAnyValue:StringEquals", "aud", "vault"), Mismatch("aud", ("vault",), "sts.amazonaws.com")),
        (_on("StringNotEquals", "sub", _SUB), Mismatch("sub", (), _SUB)),
        (_on("Null", "sub", "true"), Mismatch("sub", ("true",), _SUB)),
        (_on("ArnLike", "sub", _SUB), Mismatch("condition", (), "ArnLike")),
        (_on("StringEquals", "sub", "${aws:username}"),
         Mismatch("condition", ("${aws:username}",), "StringEquals with a policy variable or without a string")),
        (_on("StringNotEquals", "sub"),
         Mismatch("condition", (), "StringNotEquals with a policy variable or without a string")),
        ({**_FITTING, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
         Mismatch("condition", (), "IpAddress")),
        ({**_FITTING, "Condition": {"StringEquals": {"https://issuer.test/path:sub": _SUB}}},
         Mismatch("key", _TOKEN_KEYS, "https://issuer.test/path:sub")),
        ({**_FITTING, "Condition": {"StringLike": {"issuer.test/path/:aud": "*"}}},
         Mismatch("key", _TOKEN_KEYS, "issuer.test/path/:aud")),
        ({**_FITTING, "Condition": {"ForAnyValue:StringNotEquals": {"issuer.test/path/:sub": "x"}}},
         Mismatch("key", _TOKEN_KEYS, "issuer.test/path/:sub")),
        ({**_FITTING, "Condition": {"Null": {"issuer.test/path/:sub": False}}},
         Mismatch("key", _TOKEN_KEYS, "issuer.test/path/:sub")),
        # AWS does not document whether ForAnyValue or IfExists decides.
        ({**_FITTING, "Condition": {"ForAnyValue:StringEqualsIfExists": {"issuer.test/path/:sub": "x"}}},
         Mismatch("condition", ("x",), "ForAnyValue:StringEqualsIfExists with a policy variable or without a string")),
        ({**_FITTING, "Condition": {"StringEquals": {"issuer.test/path:iss": "https://issuer.test/path"}}},
         Mismatch("condition", _TOKEN_KEYS, "issuer.test/path:iss")),
        ({**_FITTING, "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}},
         Mismatch("condition", _TOKEN_KEYS, "aws:SourceVpc")),
        ({**_FITTING, "Principal": "*"}, Mismatch("condition", (), "a principal of *")),
    ],
)  # fmt: skip
def test_each_mismatch_is_reported(statement: dict[str, Any], mismatch: Mismatch) -> None:
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
        # These match a request without the key.
        {**_FITTING, "Condition": {"StringNotEquals": {"issuer.test/path/:sub": "x"}}},
        {**_FITTING, "Condition": {"StringEqualsIfExists": {"issuer.test/path/:sub": "x"}}},
        {**_FITTING, "Condition": {"ForAllValues:StringEquals": {"issuer.test/path/:sub": "x"}}},
        {**_FITTING, "Condition": {"ForAllValues:StringEquals": {"issuer.test/path:iss": "https://issuer.test/path"}}},
        _on("Null", "sub", "false"),
        {key: value for key, value in _FITTING.items() if key != "Action"} | {"NotAction": "sts:AssumeRole"},
    ],
)
def test_each_matching_form_is_accepted(statement: dict[str, Any]) -> None:
    assert _why(statement) == ()


def test_the_mismatches_of_the_closest_statement_are_reported() -> None:
    other_issuer = {**_FITTING, "Principal": {"Federated": _OTHER}}
    both_wrong = for_tokens(_ARN, audience=["vault"], subjects=["x"])
    sub_wrong = for_tokens(_ARN, audience=["sts.amazonaws.com"], subjects=["x"])
    assert _why(other_issuer, both_wrong, sub_wrong) == (Mismatch("sub", ("x",), _SUB),)
    assert [found.kind for found in _why(other_issuer, both_wrong)] == ["aud", "sub"]
    assert _why(sub_wrong, _FITTING) == ()


def test_without_a_statement_the_principal_is_reported() -> None:
    assert _why() == (Mismatch("principal", (), _ARN),)


@pytest.mark.parametrize(
    ("statement", "compared"),
    [
        (_on("StringLike", "sub", "a*", "b"),
         Comparison("statement 1", "StringLike", "issuer.test/path:sub", ("a*", "b"), (_SUB,))),
        (_on("StringNotEquals", "sub", _SUB),
         Comparison("statement 1", "StringNotEquals", "issuer.test/path:sub", (_SUB,), (_SUB,))),
        (_on("StringEquals", "sub", "x", "system:*"),
         Comparison("statement 1", "StringEquals", "issuer.test/path:sub", ("x", "system:*"), (_SUB,))),
        ({**_on("StringEquals", "aud", "vault"), "Sid": "Pods"},
         Comparison("statement 1 (Pods)", "StringEquals", "issuer.test/path:aud", ("vault",), ("sts.amazonaws.com",))),
        ({**_FITTING, "Condition": {"StringEquals": {"https://issuer.test/path:sub": _SUB}}},
         Comparison("statement 1", "StringEquals", "https://issuer.test/path:sub", (_SUB,), ())),
        ({**_FITTING, "Principal": {"Federated": [_OTHER]}},
         Comparison("statement 1", "", "Principal", (_OTHER,), (_ARN,))),
        ({**_FITTING, "Action": "sts:AssumeRole"},
         Comparison("statement 1", "", "Action", ("sts:AssumeRole",), (_ACTION,))),
        ({**_on("IpAddress", "sub", "10.0.0.0/8")},
         Comparison("statement 1", "IpAddress", "issuer.test/path:sub", ("10.0.0.0/8",), (_SUB,))),
    ],
)  # fmt: skip
def test_a_mismatch_has_operator_key_and_both_values(statement: dict[str, Any], compared: Comparison) -> None:
    (mismatch,) = _why(statement)
    assert mismatch.compared == (compared,)


def test_a_policy_for_others_is_compared_statement_by_statement() -> None:
    (mismatch,) = _why({**_FITTING, "Principal": {"Federated": _OTHER}}, {**_FITTING, "Principal": {"AWS": "x"}})
    assert mismatch.wanted == (_OTHER, "x")
    assert [compared.where for compared in mismatch.compared] == ["statement 1", "statement 2"]


def test_a_deny_has_all_of_its_conditions() -> None:
    (mismatch,) = _why(_FITTING, {**_FITTING, "Effect": "Deny", "Sid": "Stop"})
    assert [(compared.where, compared.key) for compared in mismatch.compared] == [
        ("statement 2 (Stop)", "issuer.test/path:aud"), ("statement 2 (Stop)", "issuer.test/path:sub")
    ]  # fmt: skip
    (mismatch,) = _why(_FITTING, {"Effect": "Deny", "Principal": "*", "Action": "*"})
    assert mismatch.compared == (Comparison("statement 2", "", "Effect", ("Deny",), ()),)


@pytest.mark.parametrize(
    ("deny", "mismatch"),
    [
        ({**_FITTING, "Effect": "Deny", "Sid": "Stop"}, Mismatch("deny", (), "Stop")),
        ({"Effect": "Deny", "Principal": "*", "Action": "*"}, Mismatch("deny", (), "statement 2")),
        ({"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:*"}, Mismatch("deny", (), "statement 2")),
        ({"Effect": "Deny", "Principal": "*", "NotAction": "s3:*"}, Mismatch("deny", (), "statement 2")),
        ({"Effect": "Deny", "NotPrincipal": {"AWS": "x"}, "Action": "*"}, Mismatch("condition", (), "NotPrincipal")),
        ({"Effect": "Deny", "Principal": "*", "Action": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
         Mismatch("condition", (), "Bool")),
    ],
)  # fmt: skip
def test_a_deny_wins_even_if_it_cannot_be_evaluated(deny: dict[str, Any], mismatch: Mismatch) -> None:
    assert _why(_FITTING, deny) == (mismatch,)


@pytest.mark.parametrize(
    "deny",
    [
        {**_FITTING, "Effect": "Deny", "Principal": {"Federated": _OTHER}},
        {"Effect": "Deny", "Principal": "*", "Action": "sts:TagSession"},
        {**_on("StringNotEquals", "sub", _SUB), "Effect": "Deny"},
        {**_on("Null", "sub", "true"), "Effect": "Deny"},
        {"Effect": "Deny", "Principal": "*", "NotAction": "sts:AssumeRole*"},
    ],
)
def test_a_deny_for_other_requests_does_not_count(deny: dict[str, Any]) -> None:
    assert _why(_FITTING, deny) == ()


def test_a_comparison_with_different_results_for_several_audiences_is_not_evaluated() -> None:
    both = ("sts.amazonaws.com", "vault")
    (mismatch,) = _why(_FITTING, aud=both)
    assert (mismatch.kind, mismatch.wanted) == ("condition", ("sts.amazonaws.com",))
    assert _why(for_tokens(_ARN, audience=["other"], subjects=[_SUB]), aud=both) == (
        Mismatch("aud", ("other",), "sts.amazonaws.com, vault"),
    )
    assert _why(for_tokens(_ARN, audience=both, subjects=[_SUB]), aud=both) == ()
    assert _why(_on("ForAnyValue:StringEquals", "aud", "vault"), aud=both) == ()
    deny = {**_on("StringEquals", "aud", "vault"), "Effect": "Deny"}
    (mismatch,) = _why(for_tokens(_ARN, audience=both, subjects=[_SUB]), deny, aud=both)
    assert (mismatch.kind, mismatch.wanted) == ("condition", ("vault",))
    assert _why(_FITTING, aud=()) != ()


def test_a_statement_that_may_fit_is_named_before_one_that_does_not() -> None:
    sub_wrong = for_tokens(_ARN, audience=["sts.amazonaws.com"], subjects=["x"])
    may_fit = {
        **_FITTING,
        "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "Bool": {"aws:ViaAWSService": "false"}},
    }
    assert {mismatch.kind for mismatch in _why(sub_wrong, may_fit)} == {"condition"}


def test_a_session_name_is_compared_where_it_is_known() -> None:
    statement = {**_FITTING, "Condition": {"StringLike": {"sts:RoleSessionName": "prod-*"}}}
    ask: dict[str, Any] = {"provider_arn": _ARN, "audience": ["sts.amazonaws.com"], "subject": _SUB}
    policy = trust_policy(statement)
    assert find_mismatches(policy, **ask, session_name="prod-1") == ()
    assert find_mismatches(policy, **ask, session_name="test-1") == (Mismatch("session", ("prod-*",), "test-1"),)
    assert find_mismatches(policy, **ask) == (Mismatch("condition", _TOKEN_KEYS, "sts:RoleSessionName"),)


def test_a_policy_variable_is_plain_text_in_an_earlier_version() -> None:
    statement = _on("StringNotEquals", "sub", "${aws:username}")
    ask: dict[str, Any] = {"provider_arn": _ARN, "audience": ["sts.amazonaws.com"], "subject": _SUB}
    assert find_mismatches({"Version": "2008-10-17", "Statement": statement}, **ask) == ()
    assert [each.kind for each in find_mismatches(trust_policy(statement), **ask)] == ["condition"]


_WORDS = st.sampled_from(
    ["sts.amazonaws.com", "vault", _SUB, _SUB.upper(), "*", "system:*", "?", "${aws:x}", "sts.*", "true", "false"]
)
_OPERATORS = st.sampled_from(
    ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase",
     "StringNotEqualsIgnoreCase", "StringEqualsIfExists", "StringNotLikeIfExists", "ForAllValues:StringLike",
     "ForAnyValue:StringNotEquals", "ForAnyValue:StringLikeIfExists", "Null", "ArnLike", "Bool"]
)  # fmt: skip
_KEYS = st.sampled_from(["issuer.test/path:aud", "issuer.test/path:SUB", "other.test:sub", "aws:SourceIp"])
_NOT_EVALUATED = {"ArnLike", "Bool"}
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
def test_the_result_is_the_same_as_that_of_the_strict_sts(statements: list[dict[str, Any]]) -> None:
    request = Request(
        _ACTION,
        {"Federated": frozenset({_ARN})},
        context={"issuer.test/path:aud": "sts.amazonaws.com", "issuer.test/path:sub": _SUB},
        unknown=("aws:",),
    )
    allowed = evaluate((trust_policy(*statements),), request) is Decision.ALLOW
    assert (_why(*statements) == ()) is allowed or (allowed and _not_evaluated(statements))


def _not_evaluated(statements: list[dict[str, Any]]) -> bool:
    """Return whether the local STS has an operator that `find_mismatches` counts as unknown."""
    return any(_NOT_EVALUATED & set(one.get("Condition", {})) for one in statements)
