"""The table of checks: what is waited for, and what the documentation must contain."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sidecar.cluster.binding import manifest
from sidecar.cluster.checks import CLUSTER_CAUSES, CLUSTER_CHECKS, may_appear_later
from sidecar.doctor.checks.discovery import cause_of
from sidecar.doctor.result import Cause, Finding, advice, broken, good
from sidecar.doctor.table import CAUSES as DOCTOR_CAUSES
from sidecar.issuer import faults

PAGE = (Path(__file__).parents[3] / "docs" / "bootstrap-cluster.md").read_text()
OWN = [cause for cause in CLUSTER_CAUSES if cause not in DOCTOR_CAUSES]


def test_each_cause_has_one_name_and_ends_the_command_with_one_code() -> None:
    names = [cause.name for cause in CLUSTER_CAUSES]
    assert len(set(names)) == len(names)
    assert {cause.exit_code for cause in CLUSTER_CAUSES} <= {0, 1, 2, 3, 5, 6, 7}


@pytest.mark.parametrize("cause", OWN, ids=lambda cause: str(cause.name))
def test_the_page_has_each_cause_with_its_exit_code(cause: Cause) -> None:
    row = re.search(rf"^\| `{cause.name}` \| (.+?) \|", PAGE, re.MULTILINE)
    assert row, "not in docs/bootstrap-cluster.md"
    assert row[1] == ("advice" if cause.name in ADVICE else str(cause.exit_code))


ADVICE = {"binding_of_older_form", "anonymous_narrow"}


@pytest.mark.parametrize("check", CLUSTER_CHECKS, ids=lambda check: str(check.name))
def test_the_page_has_each_check(check: object) -> None:
    assert f"`{getattr(check, 'name', '')}`" in PAGE


def test_every_cause_of_its_own_is_set_up_by_some_test() -> None:
    tests = Path(__file__).parents[2]
    text = "".join(path.read_text() for path in tests.glob("functional/test_bootstrap_cluster*.py"))
    assert [cause.name for cause in OWN if f'"{cause.name}"' not in text] == []


def test_the_page_shows_the_object_that_is_applied() -> None:
    blocks = [YAML(typ="safe").load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    assert manifest() in blocks


def test_only_temporary_faults_are_waited_for() -> None:
    missing, off = Finding(cause_of(faults.BINDING_MISSING)), Finding(cause_of(faults.ANONYMOUS_OFF))
    assert may_appear_later([good(""), broken("", missing)])
    assert may_appear_later([broken("", Finding(cause_of(faults.BUSY)))])
    assert not may_appear_later([broken("", missing), broken("", off)])
    assert not may_appear_later([good(""), advice("", missing)])
