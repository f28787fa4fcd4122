"""The table of checks: what is waited for, and what the documentation has to have."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sidecar.bootstrap_cluster.binding import manifest
from sidecar.bootstrap_cluster.checks import CAUSES, CHECKS, may_come
from sidecar.doctor.checks.discovery import ANONYMOUS_OFF, BINDING_MISSING
from sidecar.doctor.table import CAUSES as OF_THE_DOCTOR
from sidecar.doctor.verdict import Cause, Finding, advice, broken, good

PAGE = (Path(__file__).parents[3] / "docs" / "bootstrap-cluster.md").read_text()
OWN = [cause for cause in CAUSES if cause not in OF_THE_DOCTOR]


def test_each_cause_has_one_name_and_ends_the_command_with_one_code() -> None:
    names = [cause.name for cause in CAUSES]
    assert len(set(names)) == len(names)
    assert {cause.exit_code for cause in CAUSES} <= {0, 1, 2, 3, 5, 6, 7}


@pytest.mark.parametrize("cause", OWN, ids=lambda cause: str(cause.name))
def test_the_page_has_each_cause_with_its_exit_code(cause: Cause) -> None:
    row = re.search(rf"^\| `{cause.name}` \| (.+?) \|", PAGE, re.MULTILINE)
    assert row, "not in docs/bootstrap-cluster.md"
    assert row[1] == ("advice" if cause.name in ADVICE else str(cause.exit_code))


ADVICE = {"binding_of_older_form", "anonymous_narrow"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.name))
def test_the_page_has_each_check(check: object) -> None:
    assert f"`{getattr(check, 'name', '')}`" in PAGE


def test_every_cause_of_its_own_is_set_up_by_some_test() -> None:
    tests = Path(__file__).parents[2]
    text = "".join(path.read_text() for path in tests.glob("functional/test_bootstrap_cluster*.py"))
    assert [cause.name for cause in OWN if f'"{cause.name}"' not in text] == []


def test_the_page_shows_the_object_that_is_applied() -> None:
    blocks = [YAML(typ="safe").load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    assert manifest() in blocks


def test_only_what_comes_by_itself_is_waited_for() -> None:
    missing, off = Finding(BINDING_MISSING), Finding(ANONYMOUS_OFF)
    assert may_come([good(""), broken("", missing)])
    assert not may_come([broken("", missing), broken("", off)])
    assert not may_come([good(""), advice("", missing)])
