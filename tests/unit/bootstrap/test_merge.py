"""Merging into a trust policy that others write too adds the wanted parts, and removes or widens no existing part."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from examples.local.policies import Decision, Request, evaluate
from sidecar.bootstrap.merge import beyond, conditional_access, explicit_denials, merged_trust
from sidecar.iam.trust import for_roles, for_tokens, trust_policy

_ARN = "arn:aws:iam::123456789012:oidc-provider/issuer.test"
_OTHER = "arn:aws:iam::123456789012:oidc-provider/other.test"
_ROLE = "arn:aws:iam::123456789012:role/A"
_ACTION = "sts:AssumeRoleWithWebIdentity"
_AUD = "sts.amazonaws.com"


def _of(*subjects: str, aud: tuple[str, ...] = (_AUD,), patterns: bool = False, arn: str = _ARN) -> dict[str, Any]:
    return for_tokens(arn, audience=aud, subjects=subjects, patterns=patterns)


def _merged(there: list[Any], *wanted: dict[str, Any]) -> list[Any]:
    policy = merged_trust(trust_policy(*there), trust_policy(*wanted))
    assert merged_trust(policy, trust_policy(*wanted)) is policy, "the second time nothing is added"
    return list(policy["Statement"])


_BY_ADDRESS = {**_of("n:a", "n:b"), "Condition": {**_of("n:a", "n:b")["Condition"],
               "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}  # fmt: skip
_EC2 = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
_DENY = {**_of("n:x"), "Effect": "Deny"}


@pytest.mark.parametrize(
    ("there", "wanted", "after"),
    [
        pytest.param([_EC2, _of("n:b"), _DENY], [_of("n:a")], [_EC2, _of("n:b", "n:a"), _DENY], id="joins"),
        pytest.param([_of("n:a", "n:b")], [_of("n:b")], [_of("n:a", "n:b")], id="exists among others"),
        pytest.param([_of("n:*", patterns=True)], [_of("n:a")], [_of("n:*", patterns=True)], id="pattern includes"),
        pytest.param([_of("n:a")], [_of("n:*", patterns=True)], [_of("n:a"), _of("n:*", patterns=True)],
                     id="a pattern is not a subject"),
        pytest.param([_of("n:*", patterns=True)], [_of("n:b*", patterns=True)], [_of("n:*", patterns=True)],
                     id="a wider pattern includes it"),
        pytest.param([_of("n:?", patterns=True)], [_of("n:*", patterns=True)],
                     [_of("n:?", "n:*", patterns=True)], id="a narrower pattern does not include it"),
        pytest.param([_of("n:b")], [_of("n:a", aud=("vault",))], [_of("n:b"), _of("n:a", aud=("vault",))],
                     id="other subjects do not get another audience"),
        pytest.param([_of("n:a")], [_of("n:a", aud=(_AUD, "vault"))], [_of("n:a", aud=(_AUD, "vault"))],
                     id="the same subject gets another audience"),
        pytest.param([_of("n:b", aud=(_AUD, "vault"))], [_of("n:a")], [_of("n:b", aud=(_AUD, "vault")), _of("n:a")],
                     id="a subject does not get an audience of others"),
        pytest.param([_BY_ADDRESS], [_of("n:c")], [_BY_ADDRESS, _of("n:c")], id="a further condition is not lost"),
        pytest.param([_BY_ADDRESS], [_of("n:a", "n:c")], [_BY_ADDRESS, _of("n:c")],
                     id="a subject under a further condition gets no statement"),
        pytest.param([{**_of("n:b"), "Sid": "Team"}], [_of("n:a")], [{**_of("n:b"), "Sid": "Team"}, _of("n:a")],
                     id="a statement with a Sid is not extended"),
        pytest.param([_of("n:b", arn=_OTHER)], [_of("n:b")], [_of("n:b", arn=_OTHER), _of("n:b")],
                     id="another provider"),
        pytest.param([{**_of("n:b"), "Action": ["sts:TagSession", _ACTION]}], [_of("n:a")],
                     [{**_of("n:b"), "Action": ["sts:TagSession", _ACTION]}, _of("n:a")], id="more actions"),
        pytest.param([for_roles([_OTHER])], [for_roles([_ROLE])], [for_roles([_OTHER, _ROLE])], id="roles join"),
        pytest.param([for_roles([_OTHER])], [for_roles([_ROLE], session_tags=True)],
                     [for_roles([_OTHER]), for_roles([_ROLE], session_tags=True)], id="session tags do not join"),
        pytest.param([{**for_roles([_ROLE]), "Condition": {"StringEquals": {"sts:ExternalId": "x"}}}],
                     [for_roles([_ROLE])],
                     [{**for_roles([_ROLE]), "Condition": {"StringEquals": {"sts:ExternalId": "x"}}}],
                     id="an external id is still required"),
        pytest.param(
            [{**_of("n:b"), "Condition": {"StringEquals": {"issuer.test:AUD": [_AUD], "issuer.test:sub": "n:b"}}}],
            [_of("n:a")], [_of("n:b", "n:a")], id="one value or a list of it"),
    ],
)  # fmt: skip
def test_wanted_statements_are_added_and_existing_ones_stay(
    there: list[Any], wanted: list[Any], after: list[Any]
) -> None:
    assert _merged(there, *wanted) == after


def test_a_single_statement_is_handled_as_a_list_and_other_members_stay() -> None:
    there = {"Version": "2008-10-17", "Id": "mine", "Statement": _EC2}
    assert merged_trust(there, trust_policy(_of("n:a"))) == {**there, "Statement": [_EC2, _of("n:a")]}


def test_each_part_beyond_the_wanted_policy_is_one_line() -> None:
    there = trust_policy(_of("n:a", "n:b"), _of("n:a", aud=("vault",)), {**_EC2, "Sid": "Own"}, _BY_ADDRESS)
    assert beyond(there, trust_policy(_of("n:a"))) == (
        "sub n:b of issuer.test",
        "sub n:a of issuer.test",
        "statement 3 (Sid Own): Allow sts:AssumeRole for ec2.amazonaws.com",
        f"statement 4: Allow {_ACTION} for {_ARN}, under StringEquals, IpAddress",
    )
    assert beyond(there, there) == ()
    both = trust_policy(_of("n:a", aud=(_AUD, "vault")))
    assert beyond(both, trust_policy(_of("n:a"))) == ("sub n:a of issuer.test with aud vault",)
    assert beyond(trust_policy(_of("n:a")), trust_policy(_of("n:*", patterns=True))) == (), "a pattern includes it"


def test_a_subject_under_further_conditions_is_reported() -> None:
    there = trust_policy(_BY_ADDRESS, {**for_roles([_ROLE]), "Condition": {"Bool": {"aws:SecureTransport": "true"}}})
    wanted = trust_policy(_of("n:a", "n:c"), for_roles([_ROLE]))
    assert conditional_access(there, wanted) == (
        "sub n:a of issuer.test is allowed under IpAddress only",
        f"{_ROLE} is allowed under a condition only",
    )
    assert conditional_access(trust_policy(_BY_ADDRESS, _of("n:a")), trust_policy(_of("n:a"))) == ()


def test_a_subject_that_a_deny_statement_denies_is_reported() -> None:
    there = trust_policy(_of("n:x"), {**_DENY, "Sid": "Leak"}, {**_BY_ADDRESS, "Effect": "Deny"})
    assert explicit_denials(there, trust_policy(_of("n:x", "n:a"))) == (
        "statement 2 (Sid Leak) denies sub n:x of issuer.test",
    )


# --- any existing policy ---

_SUBJECTS, _AUDIENCES = ("n:a", "n:b", "m:a"), (_AUD, "vault")
_VALUES = st.sampled_from([*_SUBJECTS, "n:*", "?:a"]) | st.lists(st.sampled_from([*_SUBJECTS, "n:*"]), max_size=3)
_CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "StringEquals": st.dictionaries(
            st.sampled_from(["issuer.test:sub", "issuer.test:SUB", "other.test:sub"]), _VALUES, max_size=2
        ).flatmap(
            lambda keys: st.sampled_from([_AUD, ["vault"], [_AUD, "vault"]]).map(
                lambda aud: {"issuer.test:aud": aud, **keys}
            )
        ),
        "StringLike": st.dictionaries(st.just("issuer.test:sub"), _VALUES, max_size=1),
        "StringNotEquals": st.dictionaries(st.just("issuer.test:sub"), _VALUES, max_size=1),
        "IpAddress": st.just({"aws:SourceIp": "10.0.0.0/8"}),
    },
)
_STATEMENTS = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Allow", "Allow", "Deny"]),
        "Principal": st.sampled_from([{"Federated": _ARN}, {"Federated": [_ARN, _OTHER]}, {"Federated": _OTHER}, "*"]),
        "Action": st.sampled_from([_ACTION, [_ACTION], "sts:*", ["sts:TagSession"]]),
    },
    optional={"Condition": _CONDITIONS, "Sid": st.just("S")},
)
_WANTED = st.builds(
    lambda subjects, audience: _of(*subjects, aud=tuple(audience)),
    st.lists(st.sampled_from(_SUBJECTS), min_size=1, max_size=2, unique=True),
    st.lists(st.sampled_from(_AUDIENCES), min_size=1, max_size=2, unique=True),
)
_WANTED_LIKE = st.sampled_from([_of("n:*", patterns=True), _of("?:a", aud=("vault",), patterns=True)])


def _allowed(policy: Any, *, by_address: bool) -> set[tuple[str, str]]:  # noqa: ANN401 - of JSON
    """Return the pairs of aud and sub that the strict STS allows, from the address of a condition or another."""
    statements = [
        {**one, "Condition": {key: value for key, value in one["Condition"].items() if key != "IpAddress"}}
        if by_address and "Condition" in one
        else one
        for one in policy["Statement"]
    ]
    found = set()
    for aud, sub in product(_AUDIENCES, _SUBJECTS):
        context = {"issuer.test:aud": aud, "issuer.test:sub": sub, "other.test:sub": None}
        request = Request(_ACTION, {"Federated": frozenset({_ARN})}, context=context)
        if evaluate(({**policy, "Statement": statements},), request) is Decision.ALLOW:
            found.add((aud, sub))
    return found


@pytest.mark.mutant("a statement of others is extended even if it then allows more")
@given(st.lists(_STATEMENTS, max_size=4), _WANTED | _WANTED_LIKE, _WANTED | _WANTED_LIKE)
@settings(max_examples=500)
def test_two_teams_in_turn_remove_nothing_allow_only_what_is_wanted_and_converge(
    statements: list[Any], one: dict[str, Any], other: dict[str, Any]
) -> None:
    there, first, second = trust_policy(*statements), trust_policy(one), trust_policy(other)
    both = merged_trust(merged_trust(there, first), second)
    assert merged_trust(both, first) is both
    assert merged_trust(both, second) is both
    for by_address in (True, False):
        before, after = _allowed(there, by_address=by_address), _allowed(both, by_address=by_address)
        wanted = _allowed(trust_policy(one, other), by_address=by_address)
        assert before <= after <= before | wanted
    unchanged = [each for each in both["Statement"] if each in statements]
    changed = [each for each in statements if each not in unchanged]
    assert all("Sid" not in each and "IpAddress" not in each.get("Condition", {}) for each in changed)
    conditional = conditional_access(both, first) + conditional_access(both, second)
    if not conditional and not any(each["Effect"] == "Deny" for each in statements):
        assert _allowed(trust_policy(one, other), by_address=False) <= _allowed(both, by_address=False)
