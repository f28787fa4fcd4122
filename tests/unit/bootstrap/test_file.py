"""From TOML to a set-up, and one line for everything that is wrong with it."""

from typing import Any

import pytest

from sidecar.bootstrap.file import build, parse
from sidecar.bootstrap.spec import Issuer, Spec
from sidecar.errors import SettingsError

_ISSUER = 'issuer = "https://issuer.test"\n'
_ROLE = '[[role]]\nname = "A"\nservice_accounts = ["a/b"]\n'
_FILES = {"p.json": '{"Version": "2012-10-17"}', "bad.json": "[]"}


def _built(text: str, **options: Any) -> Spec:  # noqa: ANN401 - passed on
    return build(parse(text, "f"), lambda place, key: f"f: {place}: {key}", _FILES.__getitem__, **options)


def _refusal(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        _built(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_a_role_does_not_say_has_a_default() -> None:
    found = _built(_ISSUER + _ROLE)
    assert found.issuers == (Issuer("https://issuer.test"),)
    role = found.roles[0]
    assert role.subjects == ("system:serviceaccount:a:b",)
    assert (role.audience, role.max_session_seconds, role.path) == (("sts.amazonaws.com",), 3_600, "/")


def test_every_key_arrives() -> None:
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


def test_roles_stand_behind_those_that_assume_them() -> None:
    chained = '[[role]]\nname = "{}"\nassumed_by = ["{}"]\n'
    found = _built(_ISSUER + chained.format("C", "B") + chained.format("B", "A") + _ROLE)
    assert [role.name for role in found.roles] == ["A", "B", "C"]


def test_an_arn_that_names_a_role_of_the_file_counts_too() -> None:
    chained = '[[role]]\nname = "{}"\nassumed_by = ["arn:aws:iam::123456789012:role{}"]\n'
    found = _built(_ISSUER + chained.format("B", "/p/A") + _ROLE + 'path = "/p/"\n')
    assert [role.name for role in found.roles] == ["A", "B"]
    found = _built(_ISSUER + chained.format("B", "/A") + _ROLE + 'path = "/p/"\n')
    assert [role.name for role in found.roles] == ["B", "A"], "a role of another path is another"
    found = _built(_ISSUER + chained.format("A", "/B") + chained.format("B", "/A") + chained.format("C", "/C"))
    assert sorted(role.name for role in found.roles) == ["A", "B", "C"], "these may be of another account"


def test_a_part_that_is_to_be_removed_may_name_roles_that_it_lacks() -> None:
    found = _built(_ISSUER + '[[role]]\nname = "B"\nassumed_by = ["A"]\n', whole=False)
    assert [(role.name, role.assumed_by) for role in found.roles] == [("B", ("A",))]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (_ROLE, "f: : issuer: missing"),
        (_ISSUER, "f: : role: missing"),
        (_ISSUER + "role = 1", "f: : role: not a list of tables"),
        (_ISSUER + "[role]", "f: : role: not a list of tables"),
        ("isuer = 1", "f: : isuer: not known; use issuer, "),
        ('"a\\nb" = 1', "f: : a key: not known"),
        ("issuer = 1", "f: : issuer: not a text"),
        ('issuer = "http://a.test"', "f: : issuer: not an https URL"),
        (_ISSUER + 'issuers = ["https://a.test/"]', "f: : issuers: ends in a slash"),
        (_ISSUER + "audience = [1]", "f: : audience: not a text or a list"),
        (_ISSUER + "[tags]\na = 1", "f: : tags: not a table of texts"),
        (_ISSUER + "[tags]\na = ''\nA = ''", "f: : tags: has keys that differ in case only"),
        (_ISSUER + "[tags]\n" + "".join(f"a{n} = ''\n" for n in range(48)), "f: : tags: too many tags"),
        (_ISSUER + '[tags]\nx = ""\n' + _ROLE + "[role.tags]\nX = ''", "f: role 1 (A): tags: has keys that differ"),
        (_ISSUER + "[[role]]", "f: role 1: name: missing"),
        (_ISSUER + '[[role]]\nname = "A"', "f: role 1 (A): service_accounts: missing"),
        (_ISSUER + _ROLE + "nme = 1", "f: role 1 (A): nme: not known; use name, "),
        (_ISSUER + _ROLE + "path = '/x'", "f: role 1 (A): path: not a path"),
        (_ISSUER + _ROLE + "max_session_seconds = '3600'", "f: role 1 (A): max_session_seconds: not a number"),
        (_ISSUER + _ROLE + "max_session_seconds = true", "f: role 1 (A): max_session_seconds: not a number"),
        (_ISSUER + _ROLE + "session_tags = 1", "f: role 1 (A): session_tags: not true or false"),
        (_ISSUER + _ROLE + "session_tags = true", "f: role 1 (A): session_tags: of no use"),
        (_ISSUER + _ROLE + "audience = []", "f: role 1 (A): audience: empty"),
        (_ISSUER + _ROLE + "assumed_by = ['B']", "f: role 1 (A): assumed_by: contradicts"),
        (_ISSUER + _ROLE + "inline_policies = { p = 'x' }", "f: role 1 (A): inline_policies p: not a JSON object"),
        (_ISSUER + _ROLE + "inline_policy_files = { p = 'bad.json' }",
         "f: role 1 (A): inline_policy_files p: not a JSON object"),
        (_ISSUER + _ROLE + "inline_policies = { p = '{}' }\ninline_policy_files = { p = 'p.json' }",
         "f: role 1 (A): inline_policy_files: p is there twice"),
        (_ISSUER + _ROLE + _ROLE.replace("A", "a"), "f: role a: name: is there twice"),
        (_ISSUER + '[[role]]\nname = "A"\nassumed_by = ["B"]', "f: role A: assumed_by: B is no role of this set-up"),
        (_ISSUER + '[[role]]\nname = "A"\nassumed_by = ["A"]', "f: role A: assumed_by: is a circle"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    assert _refusal(text).startswith(told)


@pytest.mark.parametrize("text", ["a", "a = ", "[[role]", "a = 1\na = 2", "a = " + "[" * 100_000])
def test_what_is_no_toml_is_told_as_such(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^f: not TOML \(") as caught:
        parse(text, "f")
    assert "\n" not in str(caught.value)


def test_a_removal_needs_no_role() -> None:
    assert _built(_ISSUER, whole=False).roles == ()


def test_a_provider_has_room_for_a_hundred_audiences() -> None:
    roles = "".join(
        f'[[role]]\nname = "R{number}"\nsubjects = ["s"]\naudience = {[f"a{number}-{n}" for n in range(51)]}\n'
        for number in range(2)
    )
    assert "too many in all" in _refusal(_ISSUER + roles)
