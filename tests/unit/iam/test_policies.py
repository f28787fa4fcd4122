"""Two policy documents are the same if they have the same effect in IAM."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from sidecar.iam.policies import covers, document, matches_all, merged, same

_VALUES = st.lists(st.sampled_from(["a", "b", "c%20d", "*"]), min_size=1, max_size=3, unique=True)
_KEYS = st.sampled_from(["issuer.test:aud", "issuer.test:sub", "aws:SourceIp"])
_STATEMENTS = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Principal": st.dictionaries(st.sampled_from(["Federated", "AWS"]), _VALUES, min_size=1),
        "Action": st.lists(st.sampled_from(["sts:AssumeRole", "sts:TagSession"]), min_size=1, unique=True),
        "Condition": st.dictionaries(
            st.sampled_from(["StringEquals", "StringLike"]), st.dictionaries(_KEYS, _VALUES, min_size=1), max_size=2
        ),
    },
    optional={"Sid": st.sampled_from(["One", "Two"])},
)
_DOCUMENTS = st.lists(_STATEMENTS, min_size=1, max_size=3).map(lambda found: {"Version": "1", "Statement": found})


def _reworded(value: Any, draw: st.DrawFn) -> Any:  # noqa: ANN401 - of JSON
    """Return the same value in another order, with single values instead of lists of one."""
    if isinstance(value, dict):
        return {key: _reworded(value[key], draw) for key in draw(st.permutations(list(value)))}
    if isinstance(value, list):
        items = [_reworded(item, draw) for item in draw(st.permutations(value))]
        return items[0] if len(items) == 1 and draw(st.booleans()) else items
    return value


@given(st.data(), _DOCUMENTS)
def test_order_and_lists_of_one_make_no_difference(data: st.DataObject, policy: dict[str, Any]) -> None:
    other = data.draw(st.composite(lambda draw: _reworded(policy, draw))())
    assert same(policy, other)
    assert same(other, policy)
    assert same(policy, document(quote(json.dumps(other), safe="")))


@given(_DOCUMENTS, st.data())
def test_another_value_makes_a_difference(policy: dict[str, Any], data: st.DataObject) -> None:
    changed = json.loads(json.dumps(policy))
    statement = data.draw(st.sampled_from(changed["Statement"]))
    part = data.draw(st.sampled_from(["Effect", "Principal", "Action", "Condition"]))
    statement[part] = {
        "Effect": "Neither",
        "Principal": {"AWS": "z"},
        "Action": ["z"],
        "Condition": {"Bool": {"z": 1}},
    }[part]
    assert not same(policy, changed)


def _with(**elements: object) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "a:B", "Resource": "*", **elements}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_with(Action="sts:AssumeRole"), _with(Action="STS:assumerole")),
        (_with(Condition={"Bool": {"a:B": True}}), _with(Condition={"Bool": {"A:b": "true"}})),
        (_with(Condition={"NumericEquals": {"a:B": 1}}), _with(Condition={"NumericEquals": {"a:B": ["1"]}})),
        (_with(Principal={"AWS": "123456789012"}), _with(Principal={"AWS": "arn:aws:iam::123456789012:root"})),
        (_with(), {"Statement": [*[_with()["Statement"]] * 2], "Version": "2012-10-17"}),
    ],
)
def test_equivalent_documents_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_with(Resource="arn:aws:s3:::A"), _with(Resource="arn:aws:s3:::a")),
        (_with(Condition={"StringEquals": {"a:B": "x"}}), _with(Condition={"StringEquals": {"a:B": "X"}})),
        (_with(Condition={"StringEquals": {"a:B": "x"}}), _with(Condition={"StringLike": {"a:B": "x"}})),
        (_with(Condition={"StringEquals": {"a:B": "x"}}), _with()),
        (_with(Principal={"AWS": "x"}), _with(Principal={"Federated": "x"})),
        (_with(), {**_with(), "Version": "2008-10-17"}),
        (_with(), {"Statement": [_with()["Statement"], {"Effect": "Deny"}], "Version": "2012-10-17"}),
        (_with(Sid="A"), _with(Sid="B")),
    ],
)
def test_documents_with_another_meaning_are_not_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not same(one, other)


def _statement(**elements: object) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", **elements}


@pytest.mark.parametrize(
    ("wider", "narrower"),
    [
        (_statement(Action="*", Resource="*"), _statement(Sid="S", Action=["s3:Get*", "S3:PUT?"])),
        (_statement(Action="s3:Get*"), _statement()),
        (_statement(Resource="arn:aws:s3:::b/?*"), _statement(Resource="arn:aws:s3:::b/x*")),
        (_statement(Effect="Deny", Action="s3:*"), _statement(Effect="Deny")),
        (_statement(Principal={"AWS": ["x", "y"], "Service": "z"}), _statement(Principal={"AWS": "y"})),
    ],
)
def test_a_wider_statement_covers_a_narrower_one_and_not_the_reverse(
    wider: dict[str, Any], narrower: dict[str, Any]
) -> None:
    assert covers(wider, narrower)
    assert not covers(narrower, wider)


def test_an_empty_condition_is_no_condition() -> None:
    assert covers(_statement(Condition={}), _statement())
    assert covers(_statement(), _statement(Condition={}))


@pytest.mark.parametrize(
    "other",
    [
        _statement(Effect="Deny"),
        _statement(Condition={"Bool": {"aws:SecureTransport": "true"}}),
        _statement(Resource="arn:aws:s3:::B/*"),
        _statement(Resource="arn:aws:s3:::${aws:username}/*"),
        {"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "*"},
        "Allow",
    ],
)
def test_a_statement_with_another_meaning_is_not_covered(other: object) -> None:
    assert not covers(_statement(), other)
    assert not covers(other, _statement())


def test_a_pattern_covers_only_patterns_that_it_matches() -> None:
    assert matches_all("a*", "ab?*")
    assert not matches_all("a?", "a*")
    assert not matches_all("${*}", "${a}")


def test_missing_statements_are_added_without_a_sid_that_is_already_used() -> None:
    there = {"Version": "2012-10-17", "Id": "x", "Statement": _statement(Sid="S")}
    more = _statement(Sid="S", Action="s3:PutObject")
    new = merged(there, {"Version": "2012-10-17", "Statement": [more, _statement(Sid="T")]})
    assert new == {**there, "Statement": [_statement(Sid="S"), _statement(Action="s3:PutObject")]}
    assert merged(new, {"Version": "2012-10-17", "Statement": [more]}) is new


def test_policies_of_two_language_versions_are_not_merged() -> None:
    there = {"Version": "2008-10-17", "Statement": _statement()}
    assert merged(there, {"Version": "2012-10-17", "Statement": _statement()}) is there
    with pytest.raises(ValueError, match="another version of the policy language; give --replace"):
        merged(there, {"Version": "2012-10-17", "Statement": _statement(Action="s3:PutObject")})


@pytest.mark.parametrize("content", ["", "x", "[]", "1", '"{}"', None, 1, "%7B", "{" * 100_000])
def test_an_invalid_document_is_rejected(content: object) -> None:
    with pytest.raises(ValueError, match="not a JSON object; "):
        document(content)


def test_a_percent_sign_in_plain_json_stays() -> None:
    assert document('{"a": "%7B"}') == {"a": "%7B"}
