"""scripts/mutants.toml fits code and tests: each fault can be made, and has tests; the page is up to date."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAULT = '[[I1.mutant]]\nname = "it says two"\nfind = "return 1"\nreplace = "return 2"\n'
TEST = 'import pytest\n\n\n@pytest.mark.mutant("it says two", case="a b")\ndef test_it() -> None: ...\n'


def ran(root: Path, *arguments: str) -> tuple[int, str]:
    """Run scripts/mutants.py of a checkout; return its exit code and its output."""
    command = [sys.executable, str(root / "scripts/mutants.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one fault, and its test."""
    (tmp_path / "scripts").mkdir()
    for name in ("mutants.py", "marks.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    (tmp_path / "scripts/mutants.toml").write_text(f'[I1]\nsays = "It says one."\n\n{FAULT}')
    for folder in ("docs/design", "sidecar/first", "tests/unit"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "sidecar/first/one.py").write_text("def one() -> int:\n    return 1\n")
    (tmp_path / "tests/unit/test_one.py").write_text(TEST)
    assert ran(tmp_path, "--document") == (0, "")
    return tmp_path


def test_the_text_of_each_fault_occurs_once_and_the_page_of_invariants_is_up_to_date() -> None:
    assert ran(ROOT, "--check") == (0, "")


def test_each_invariant_has_at_least_three_faults() -> None:
    code, listed = ran(ROOT, "--list")
    assert code == 0
    counts = {f"I{number}": 0 for number in range(1, 11)}
    for line in listed.splitlines():
        counts[line.split()[0]] += 1
    assert min(counts.values()) >= 3, counts


def test_a_fault_and_its_test_are_found_after_their_files_were_moved(checkout: Path) -> None:
    assert "| it says two | `test_it[a b]` |" in (checkout / "docs/design/invariants.md").read_text()
    (checkout / "sidecar/other").mkdir()
    (checkout / "sidecar/first/one.py").rename(checkout / "sidecar/other/first.py")
    (checkout / "tests/unit/test_one.py").rename(checkout / "tests/test_first.py")
    assert ran(checkout, "--check") == (0, "")
    assert [cell.strip() for cell in ran(checkout, "--list")[1].split("|")] == [
        "I1",
        "it says two",
        "sidecar/other/first.py",
        "tests/test_first.py::test_it[a b]",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "error"),
    [
        (
            "sidecar/first/one.py",
            "return 1",
            "return 3",
            "it says two: its text is 0 times in the sources, not once: []",
        ),
        (
            "sidecar/first/one.py",
            "1",
            "1\n    return 1",
            "its text is 2 times in the sources, not once: ['sidecar/first/one",
        ),
        (
            "tests/unit/test_one.py",
            "two",
            "three",
            "I1 it says two: no test has its name in the marker `mutant`\ntests/unit/test_one.py",
        ),
        ("tests/unit/test_one.py", "two", "three", "test_one.py::test_it[a b]: there is no mutation it says three"),
        (
            "tests/unit/test_one.py",
            "def test_it",
            "def it",
            "unit/test_one.py:4: mutant: the marker is not on a test function",
        ),
        (
            "scripts/mutants.toml",
            "replace",
            "file = ''\nreplace",
            "the keys must be name, find and replace, not name, find, file",
        ),
        ("scripts/mutants.toml", FAULT, FAULT + FAULT, "duplicate mutation it says two; rename one"),
    ],
)
def test_a_fault_that_does_not_fit_is_an_error(checkout: Path, file: str, old: str, new: str, error: str) -> None:
    path = checkout / file
    path.write_text(path.read_text().replace(old, new))
    status, output = ran(checkout, "--check")
    assert status == 7
    assert error in output
