"""docs/design/rules.md is generated from the rules and the tests' markers; inconsistencies are errors."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = [f"SDK {number}" for number in range(1, 38)] + [f"Kubernetes D{number}" for number in range(1, 13)]
RULES = """\
| rule | what it asks for | source | note |
|---|---|---|---|
| SDK 1 | One thing. | a page |  |
| SDK 2 | Another. | a page | later: it waits |
"""
TEST = 'import pytest\n\n\n@pytest.mark.rule("SDK 1")\ndef test_it() -> None: ...\n'


def ran(root: Path, *arguments: str) -> tuple[int, str]:
    """Run scripts/rules.py of a checkout; return its exit code and its output."""
    command = [sys.executable, str(root / "scripts/rules.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with two rules, and a test of the first."""
    (tmp_path / "scripts").mkdir()
    for name in ("rules.py", "marks.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    (tmp_path / "docs/design").mkdir(parents=True)
    (tmp_path / "docs/design/requirements.md").write_text(RULES)
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "tests/unit/test_it.py").write_text(TEST)
    assert ran(tmp_path) == (0, "")
    return tmp_path


def test_each_rule_occurs_once_and_the_page_is_up_to_date() -> None:
    requirements = (ROOT / "docs/design/requirements.md").read_text()
    assert re.findall(r"^\| ((?:SDK|Kubernetes) .*?) \|", requirements, re.MULTILINE) == NAMES
    assert ran(ROOT, "--check") == (0, "")


def test_a_marker_in_a_file_that_pytest_does_not_collect_is_an_error(checkout: Path) -> None:
    (checkout / "tests/unit/test_it.py").rename(checkout / "tests/unit/it.py")
    status, output = ran(checkout, "--check")
    assert status == 7
    assert "tests/unit/it.py:4: rule: the marker is not on a test function\n" in output


def test_a_moved_test_does_not_change_the_page_and_a_renamed_test_does(checkout: Path) -> None:
    assert "| SDK 1 | One thing. | `test_it` |  |" in (checkout / "docs/design/rules.md").read_text()
    (checkout / "tests/a").mkdir()
    moved = (checkout / "tests/unit/test_it.py").rename(checkout / "tests/a/test_moved.py")
    assert ran(checkout, "--check") == (0, "")
    moved.write_text(TEST.replace("test_it", "test_this"))
    assert ran(checkout, "--check") == (7, "docs/design/rules.md differs: run `make generate`\n")


def test_a_test_in_a_class_can_hold_a_rule(checkout: Path) -> None:
    method = '    @pytest.mark.rule("SDK 1")\n    def test_it(self): ...\n'
    (checkout / "tests/unit/test_it.py").write_text(f"class TestRule:\n{method}")
    assert ran(checkout) == (0, "")
    assert "| `TestRule::test_it` |" in (checkout / "docs/design/rules.md").read_text()


NO_TEST = "tests/unit/test_it.py:1: rule: the marker is not on a test function\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('@pytest.mark.rule("SDK 1", "SDK 3")\ndef test_it(): ...', "test_it.py::test_it: there is no rule SDK 3\n"),
        (
            '@pytest.mark.rule("SDK 1", "SDK 2")\ndef test_it(): ...',
            "SDK 2: has a test; remove later: from its note",
        ),
        ("def test_it(): ...", "SDK 1: has no test; write one, or begin its note with one of later: , "),
        ('@pytest.mark.rule("SDK 1")\ndef helper(): ...', NO_TEST),
        ('pytestmark = pytest.mark.rule("SDK 1")\ndef test_it(): ...', NO_TEST),
        ('class It: test_it = pytest.mark.rule("SDK 1")(run)', NO_TEST),
        ('@pytest.mark.rule("SDK 1")\nclass TestIt: ...', NO_TEST),
        ("@pytest.mark.rule\ndef test_it(): ...", NO_TEST),
        ("@pytest.mark.rule()\ndef test_it(): ...", "it.py:1: rule: the arguments must be one or more texts, and "),
        ("@pytest.mark.rule(NAME)\ndef test_it(): ...", "it.py:1: rule: an argument is not a literal\n"),
    ],
)
def test_a_marker_that_does_not_fit_is_an_error(checkout: Path, text: str, error: str) -> None:
    (checkout / "tests/unit/test_it.py").write_text(text)
    for arguments in ((), ("--check",)):
        status, output = ran(checkout, *arguments)
        assert status == 7
        assert error in output
    assert "`test_it`" in (checkout / "docs/design/rules.md").read_text()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| SDK 2 |", "| SDK 1 |"),
        ("| SDK 2 |", "| SDKs 2 |"),
        ("| later: it waits |", "| soon |"),
        ("| later: it waits |", "|"),
        ("Another.", ""),
        ("a page | later", "| later"),
    ],
)
def test_a_malformed_row_is_an_error(checkout: Path, old: str, new: str) -> None:
    (checkout / "docs/design/requirements.md").write_text(RULES.replace(old, new))
    status, output = ran(checkout, "--check")
    assert status == 7
    assert output.startswith(
        "requirements.md: malformed or duplicate rule; write name, requirement, source and note: | SDK"
    )
