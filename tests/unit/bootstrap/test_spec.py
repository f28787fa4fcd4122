"""Values over the limits of IAM are rejected before any call of IAM."""

from collections.abc import Callable

import pytest

from sidecar.bootstrap import spec
from sidecar.bootstrap.spec import Issuer, RoleSpec, Spec

_BAD: list[tuple[Callable[[str], object], list[str]]] = [
    (spec.issuer_url, ["http://a.test", "a.test", "https://a.test/?x", "https://a.test:443", "https://a.test?x", "https://a.test\n",
                       "https://a.test/\nrm", "https://a.test/ b", "https://\u00e4.test",
                       "https://a.test/" + "x" * 255]),
    (spec.role_name, ["", "a" * 65, "a b", "a/b", "a\n", "ä"]),
    (spec.role_or_arn, ["", "a/b", "arn:aws:iam::123456789012:user/a", "arn:aws:iam::1:role/a"]),
    (spec.path, ["", "a", "/a", "a/", "//\n/", "/" + "a" * 511 + "/"]),
    (spec.policy_arn, ["", "ReadOnlyAccess", "arn:aws:iam::aws:role/a", "arn:aws:iam::aws:policy/"]),
    (spec.policy_name, ["", "a" * 129, "a b", "a/b", spec.CHAIN_PREFIX + "x"]),
    (spec.client_id, ["", "a" * 256, "a\nb"]),
    (spec.service_account, ["", "a", "a/b/c", "/a", "a/", "A/b", "a/B", "a_b/c", "-a/b", "a/b-", "a." * 2 + "/b",
                            "a" * 64 + "/b", "a/" + ".".join(["b" * 60] * 5), "system:serviceaccount:a:b", "*/a"]),
    (spec.subject, ["", "a" * 256, "a*", "a?b", "a\n", "${aws:username}"]),
    (spec.subject_like, ["", "a", "*", "**", "?", "*?", "${x}*", "a*\n"]),
    (spec.tag_key, ["", "a" * 129, "a&b", "aws:x", "AWS:x", "managed-by", "Managed-By", "aws-oidc-sidecar/issuer"]),
    (spec.tag_value, ["a" * 257, "a&b", "a;"]),
    (spec.thumbprint, ["", "a" * 39, "a" * 41, "g" * 40]),
    (spec.account_id, ["", "1" * 11, "1" * 13, "a" * 12]),
    (spec.partition, ["", "AWS", "aws-gov", "aws-iso-x"]),
]  # fmt: skip
_GOOD: list[tuple[Callable[[str], object], list[str]]] = [
    (
        spec.issuer_url,
        ["https://a.test", "https://a.test/projects/p/shoots/s/issuer", "https://a.test/", "https://a.test/p/"],
    ),
    (spec.role_name, ["a", "a" * 64, "_+=,.@-"]),
    (spec.role_or_arn, ["a", "arn:aws-cn:iam::123456789012:role/team/a"]),
    (spec.path, ["/", "/a/", "/a/b-c/"]),
    (spec.policy_arn, ["arn:aws:iam::aws:policy/service-role/A", "arn:aws-us-gov:iam::123456789012:policy/a/b"]),
    (spec.policy_name, ["a", "a" * 128]),
    (spec.client_id, ["sts.amazonaws.com", "https://kubernetes.default.svc", "a" * 255]),
    (spec.subject, ["deployer", "repo:o/r:ref:refs/heads/main"]),
    (spec.subject_like, ["system:serviceaccount:a:*", "a?"]),
    (spec.tag_key, ["team", "kubernetes.io/cluster", "a" * 128]),
    (spec.tag_value, ["", "a b:c/d=e+f-g@h_i.1"]),
    (spec.account_id, ["123456789012"]),
    (
        spec.partition,
        ["aws", "aws-cn", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-us-gov"],
    ),
]


@pytest.mark.parametrize(("check", "text"), [(check, text) for check, texts in _BAD for text in texts])
def test_values_that_iam_does_not_accept_are_rejected_with_a_fix(check: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r".+; .+") as caught:
        check(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("check", "text"), [(check, text) for check, texts in _GOOD for text in texts])
def test_values_that_iam_accepts_are_not_changed(check: Callable[[str], object], text: str) -> None:
    assert check(text) == text


@pytest.mark.parametrize(
    ("check", "text", "most"),
    [
        (spec.role_name, "a" * 65, "64 characters: the limit of IAM for a role's name"),
        (spec.role_or_arn, "arn:aws:iam::123456789012:role/p/" + "a" * 65, "64 characters: the limit of IAM for a"),
        (spec.policy_name, "a" * 129, "128 characters: the limit of IAM for a policy's name"),
        (spec.policy_arn, "arn:aws:iam::aws:policy/p/" + "a" * 129, "128 characters: the limit of IAM for a policy's"),
        (spec.path, "/" + "a" * 511 + "/", "512 characters: the limit of IAM for a path"),
        (spec.issuer_url, "https://a.test/" + "x" * 241, "255 characters: the limit of IAM for an issuer"),
    ],
)
def test_a_name_that_is_too_long_is_rejected_with_its_length_and_the_limit(
    check: Callable[[str], object], text: str, most: str
) -> None:
    length = len(text.rpartition("/")[2]) if text.startswith("arn:") else len(text)
    with pytest.raises(ValueError, match=f"^too long, {length} characters; use at most {most}"):
        check(text)


@pytest.mark.parametrize("seconds", [0, 3_599, 43_201])
def test_a_session_is_one_to_twelve_hours(seconds: int) -> None:
    assert spec.max_session(3_600) == 3_600
    assert spec.max_session(43_200) == 43_200
    with pytest.raises(ValueError, match="out of range"):
        spec.max_session(seconds)


def test_a_service_account_becomes_the_sub_of_its_tokens() -> None:
    assert spec.service_account("a-1/b.c-2") == "system:serviceaccount:a-1:b.c-2"


def test_a_thumbprint_is_accepted_as_openssl_prints_it() -> None:
    assert spec.thumbprint(":".join(["AB"] * 20)) == "ab" * 20


def test_the_client_ids_are_those_of_roles_that_tokens_assume() -> None:
    tokens = [RoleSpec("A", ("x",), audience=("a", "b")), RoleSpec("B", ("x",), audience=("b", "c"))]
    chained = RoleSpec("C", assumed_by=("A",), audience=("d",))
    assert Spec((Issuer("https://a.test"),), (*tokens, chained)).client_ids == ("a", "b", "c")
    assert Spec((Issuer("https://a.test"),), (chained,)).client_ids == ("sts.amazonaws.com",), "IAM needs at least one"
