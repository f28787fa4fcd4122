"""Condition operators, one by one: for a key with one value, with several, and for a key that is absent."""

import pytest

from sidecar.iam.conditions import condition_result, is_negated, is_supported, literal_wildcard, matches_pattern, texts


@pytest.mark.parametrize(
    ("operator", "one", "mixed", "absent"),
    [
        # The policy has a*; the request has "ab", then "ab" and "b", then no such key.
        ("StringLike", True, None, False),
        ("StringNotLike", False, None, True),
        ("StringEquals", False, False, False),
        ("StringNotEquals", True, True, True),
        ("StringLikeIfExists", True, None, True),
        ("StringNotLikeIfExists", False, None, True),
        ("ForAllValues:StringLike", True, False, True),
        ("ForAllValues:StringNotLike", False, False, True),
        ("ForAllValues:StringLikeIfExists", True, False, True),
        ("ForAnyValue:StringLike", True, True, False),
        ("ForAnyValue:StringNotLike", False, True, False),
        ("ForAnyValue:StringLikeIfExists", True, True, None),
    ],
)
def test_an_operator_compares_one_value_several_and_none(
    operator: str, *, one: bool, mixed: bool | None, absent: bool | None
) -> None:
    results = [condition_result(operator, ["a*"], actual, variables=True) for actual in (["ab"], ["ab", "b"], [])]
    assert results == [one, mixed, absent]


@pytest.mark.parametrize(
    ("wanted", "present", "absent"),
    [(["true"], False, True), (["false"], True, False), (["yes"], None, None), (["true", "false"], None, None)],
)
def test_null_compares_whether_the_key_is_there(
    wanted: list[str], *, present: bool | None, absent: bool | None
) -> None:
    assert condition_result("Null", wanted, ["x"], variables=True) is present
    assert condition_result("Null", wanted, [], variables=True) is absent


@pytest.mark.parametrize(
    "operator", ["Bool", "NullIfExists", "ForAllValues:Null", "ForSome:StringEquals", "stringequals", "IpAddress", ""]
)
def test_another_operator_is_not_supported(operator: str) -> None:
    assert not is_supported(operator)


def test_a_negated_operator_is_one_that_holds_for_other_values() -> None:
    assert is_negated("ForAllValues:StringNotLikeIfExists")
    assert not is_negated("StringLike")
    assert not is_negated("Null")


def test_a_policy_variable_cannot_be_compared_unless_the_version_has_none() -> None:
    assert condition_result("StringEquals", ["x", "${aws:x}"], ["x"], variables=True) is None
    assert condition_result("StringEquals", ["${aws:x}"], ["${aws:x}"], variables=False) is True
    assert condition_result("StringEquals", [], ["x"], variables=False) is None


@pytest.mark.parametrize(
    ("operator", "wanted", "found"),
    [
        ("StringEquals", ["b*", "a*"], "a*"),
        ("ForAnyValue:StringEqualsIfExists", ["a?"], "a?"),
        ("StringEqualsIgnoreCase", ["A*"], "A*"),
        ("StringEquals", ["A*"], ""),
        ("StringEquals", ["b"], ""),
        ("StringNotEquals", ["a*"], ""),
        ("StringLike", ["a*"], ""),
        ("Null", ["a*"], ""),
    ],
)
def test_a_wildcard_is_named_where_it_is_compared_as_a_character(operator: str, wanted: list[str], found: str) -> None:
    assert literal_wildcard(operator, wanted, ["ab"]) == found


def test_no_wildcard_is_named_for_a_key_that_is_absent_or_where_one_value_differs() -> None:
    assert literal_wildcard("StringEquals", ["a*"], []) == ""
    assert literal_wildcard("StringEquals", ["a*"], ["ab", "b"]) == ""


def test_a_pattern_matches_across_lines_and_takes_other_characters_as_they_are() -> None:
    assert matches_pattern("a*b", "a\nb")
    assert not matches_pattern("a.b", "axb")
    assert not matches_pattern("a?", "a")


def test_numbers_and_booleans_are_texts_and_other_values_are_none() -> None:
    assert texts(["x", 1, True, 0.5]) == ("x", "1", "true", "0.5")
    assert texts(["x", None]) == texts([["x"]]) == ()
