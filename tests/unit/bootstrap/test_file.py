"""A TOML file becomes a ``Spec``, or an error of one line."""

from typing import Any

import pytest

from sidecar.bootstrap.file import build, parse_file
from sidecar.bootstrap.spec import Issuer, Spec
from sidecar.errors import SettingsError

_ISSUER = 'issuer = "https://issuer.test"\n'
_ROLE = '[[role]]\nname = "A"\nservice_accounts = ["a/b"]\n'
_FILES = {"p.json": '{"Version": "2012-10-17"}', "bad.json": "[]"}


def _built(text: str, **options: Any) -> Spec:  # noqa: ANN401 - passed on
    return build(parse_file(text, "f"), lambda place, key: f"f: {place}: {key}", _FILES.__getitem__, **options)


def _error(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        _built(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_omitted_keys_of_a_role_have_defaults() -> None:
    found = _built(_ISSUER + _ROLE)
    assert found.issuers == (Issuer("https://issuer.test"),)
    role = found.roles[0]
    assert role.subjects == ("system:serviceaccount:a:b",)
    assert (role.audience, role.max_session_seconds, role.path) == (("sts.amazonaws.com",), 3_600, "")


def test_all_keys_are_parsed() -> None:
    found = _built(
        """
        issuer = "https://issuer.test"
        issuers = ["https://b.test", "https://issuer.test"]
        audience = ["x", "y"]
        tags = { team = "a", cost = "1" }
        [[role]]
        name = "A"
        service_accounts = "a/b"
        subjects = ["s", "s"]
        subjects_like = ["t*"]
        policy_arns = ["arn:aws:iam::aws:policy/R"]
        inline_policies = { one = "{}" }
        inline_policy_files = { two = "p.json" }
        tags = { team = "b" }
        max_session_seconds = 7200
        path = "/p/"
        """,
        thumbprints=("ab" * 20,),
    )
    role = found.roles[0]
    assert found.issuers == (Issuer("https://issuer.test", ("ab" * 20,)), Issuer("https://b.test"))
    assert found.tags == {"team": "a", "cost": "1"}
    assert (role.subjects, role.subjects_like) == (("system:serviceaccount:a:b", "s"), ("t*",))
    assert (role.audience, role.tags) == (("x", "y"), {"team": "b", "cost": "1"})
    assert role.inline == {"one": {}, "two": {"Version": "2012-10-17"}}
    assert (role.policy_arns, role.max_session_seconds, role.path) == (("arn:aws:iam::aws:policy/R",), 7_200, "/p/")


def test_roles_come_after_the_roles_that_assume_them() -> None:
    chained = '[[role]]\nname = "{}"\nassumed_by = ["{}"]\n'
    found = _built(_ISSUER + chained.format("C", "B") + chained.format("B", "A") + _ROLE)
    assert [role.name for role in found.roles] == ["A", "B", "C"]


def test_an_arn_of_a_role_in_the_file_orders_the_roles_too() -> None:
    chained = '[[role]]\nname = "{}"\nassumed_by = ["arn:aws:iam::123456789012:role{}"]\n'
    found = _built(_ISSUER + chained.format("B", "/p/A") + _ROLE + 'path = "/p/"\n')
    assert [role.name for role in found.roles] == ["A", "B"]
    found = _built(_ISSUER + chained.format("B", "/A") + _ROLE + 'path = "/p/"\n')
    assert [role.name for role in found.roles] == ["B", "A"], "a role with another path is another role"
    found = _built(_ISSUER + chained.format("A", "/B") + chained.format("B", "/A") + chained.format("C", "/C"))
    assert sorted(role.name for role in found.roles) == ["A", "B", "C"], "the ARNs may be of another account"


def test_a_removal_may_name_source_roles_that_are_missing_in_the_file() -> None:
    found = _built(_ISSUER + '[[role]]\nname = "B"\nassumed_by = ["A"]\n', whole=False)
    assert [(role.name, role.assumed_by) for role in found.roles] == [("B", ("A",))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_ROLE, "f: : issuer: missing"),
        (_ISSUER, "f: : role: missing"),
        (_ISSUER + "role = 1", "f: : role: not a list of tables"),
        (_ISSUER + "[role]", "f: : role: not a list of tables"),
        ("isuer = 1", "f: : isuer: unknown key; use issuer, "),
        ('"a\\nb" = 1', "f: : a key: unknown key"),
        ("issuer = 1", "f: : issuer: not a string"),
        ('issuer = "http://a.test"', "f: : issuer: not an https URL"),
        (_ISSUER + 'issuers = ["https://a.test/?x"]', "f: : issuers: has more than a host and a path"),
        (_ISSUER + "audience = [1]", "f: : audience: not a string or a list"),
        (_ISSUER + "[tags]\na = 1", "f: : tags: not a table of strings"),
        (_ISSUER + "[tags]\na = ''\nA = ''", "f: : tags: has keys that differ only in case"),
        (_ISSUER + "[tags]\n" + "".join(f"a{n} = ''\n" for n in range(48)), "f: : tags: too many tags"),
        (_ISSUER + '[tags]\nx = ""\n' + _ROLE + "[role.tags]\nX = ''", "f: role 1 (A): tags: has keys that differ"),
        (_ISSUER + "[[role]]", "f: role 1: name: missing"),
        (_ISSUER + '[[role]]\nname = "A"', "f: role 1 (A): service_accounts: missing"),
        (_ISSUER + _ROLE + "nme = 1", "f: role 1 (A): nme: unknown key; use name, "),
        (_ISSUER + _ROLE + "path = '/x'", "f: role 1 (A): path: not a path"),
        (_ISSUER + _ROLE + "max_session_seconds = '3600'", "f: role 1 (A): max_session_seconds: not a number"),
        (_ISSUER + _ROLE + "max_session_seconds = true", "f: role 1 (A): max_session_seconds: not a number"),
        (_ISSUER + _ROLE + "session_tags = 1", "f: role 1 (A): session_tags: not true or false"),
        (_ISSUER + _ROLE + "session_tags = true", "f: role 1 (A): session_tags: has no effect"),
        (_ISSUER + _ROLE + "audience = []", "f: role 1 (A): audience: empty"),
        (_ISSUER + _ROLE + "assumed_by = ['B']", "f: role 1 (A): assumed_by: contradicts"),
        (_ISSUER + _ROLE + "inline_policies = { p = 'x' }", "f: role 1 (A): inline_policies p: not a JSON object"),
        (_ISSUER + _ROLE + "inline_policy_files = { p = 'bad.json' }",
         "f: role 1 (A): inline_policy_files p: not a JSON object"),
        (_ISSUER + _ROLE + "inline_policies = { p = '{}' }\ninline_policy_files = { p = 'p.json' }",
         "f: role 1 (A): inline_policy_files: duplicate policy p"),
        (_ISSUER + _ROLE + _ROLE.replace("A", "a"), "f: role a: name: duplicate role"),
        (_ISSUER + '[[role]]\nname = "A"\nassumed_by = ["B"]', "f: role A: assumed_by: unknown role B"),
        (_ISSUER + '[[role]]\nname = "A"\nassumed_by = ["A"]', "f: role A: assumed_by: is a cycle of roles"),
    ],
)  # fmt: skip
def test_an_error_has_its_location(text: str, message: str) -> None:
    assert _error(text).startswith(message)


@pytest.mark.parametrize("text", ["a", "a = ", "[[role]", "a = 1\na = 2", "a = " + "[" * 100_000])
def test_invalid_toml_is_rejected_in_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^f: not TOML \(") as caught:
        parse_file(text, "f")
    assert "\n" not in str(caught.value)


def test_a_removal_needs_no_role() -> None:
    assert _built(_ISSUER, whole=False).roles == ()


def test_more_than_a_hundred_audiences_are_rejected() -> None:
    roles = "".join(
        f'[[role]]\nname = "R{number}"\nsubjects = ["s"]\naudience = {[f"a{number}-{n}" for n in range(51)]}\n'
        for number in range(2)
    )
    assert "too many for all roles together" in _error(_ISSUER + roles)
