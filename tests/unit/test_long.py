"""The records of the long suites, with one small suite in its own repository."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LONG = ROOT / "scripts/long.py"
TABLE = """
[small]
says = "Small"
covers = ["covered/*.py", ":!covered/not.py"]
run = '''
echo '{{"engine": "1.2"}}' >>"$LONG_REPORT"
for part in first again; do
  echo '{{"case": "one", "result": "passed", "seconds": 1.5, "rows": ["a"]}}' >>"$LONG_REPORT"
done
{more}
'''
{recorded}
"""
Ran = tuple[int, str]


class Repository:
    """A git repository with the suite `small`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.record = root / "docs/records/small.json"
        for name in ("scripts", "covered", "other"):
            (root / name).mkdir(parents=True)
        shutil.copy(LONG, root / "scripts")
        for name in ("covered/a.py", "covered/not.py", "other/b.py"):
            (root / name).write_text("1\n")
        self.git("init", "-q")
        self.table()

    def git(self, *arguments: str) -> str:
        person = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        command = ["git", "-C", str(self.root), *person, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a")
        return self.git("rev-parse", "HEAD")

    def table(self, more: str = "", recorded: str = "") -> str:
        (self.root / "scripts/long.toml").write_text(TABLE.format(more=more, recorded=recorded))
        return self.commit()

    def change(self, name: str) -> str:
        (self.root / name).write_text("2\n")
        return self.commit()

    def long(self, *arguments: str) -> Ran:
        command = [sys.executable, "-B", str(self.root / "scripts/long.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_a_run_writes_a_record_with_commit_versions_and_cases(repository: Repository) -> None:
    commit = repository.commit()
    assert repository.long("run", "small")[0] == 0
    record: dict[str, Any] = json.loads(repository.record.read_text())
    assert (record["suite"], record["commit"], record["exit_status"]) == ("small", commit, 0)
    assert record["about"]["engine"] == "1.2"
    assert record["about"]["Python"] == sys.version.split()[0]
    assert record["cases"] == {"one": {"result": "passed", "seconds": 3.0, "rows": ["a"]}}
    assert repository.long("check")[0] == 0


def test_a_change_of_a_covered_file_requires_a_new_record_and_another_change_does_not(repository: Repository) -> None:
    repository.long("run")
    recorded_at = repository.git("rev-parse", "HEAD")[:12]
    repository.change("other/b.py")
    repository.change("covered/not.py")
    assert repository.long("check")[0] == 0
    (repository.root / "covered/a.py").touch()
    assert repository.long("check")[0] == 0
    repository.change("covered/a.py")
    assert repository.long("check") == (
        1,
        "small: 1 cases, recorded on " + json.loads(repository.record.read_text())["date"] + f" at {recorded_at}\n"
        "small: inputs changed since its record: covered/a.py\n"
        "  fix: make long SUITE=small, and commit docs/records/small.json\n",
    )
    repository.long("run")
    assert repository.long("check")[0] == 0


def test_added_and_removed_files_and_another_command_require_a_new_record(repository: Repository) -> None:
    repository.long("run")
    repository.change("covered/new.py")
    assert "covered/new.py" in repository.long("check")[1]
    repository.long("run")
    repository.git("rm", "-q", "covered/new.py")
    repository.commit()
    assert "covered/new.py" in repository.long("check")[1]
    repository.long("run")
    repository.table(more="true")
    status, printed = repository.long("check")
    assert (status, "inputs changed since its record: command\n" in printed) == (1, True)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("# a comment\n1\n", False),
        ('"""One."""\n\n\n1  # a comment\n', False),
        ('"""Two\nlines.\n"""\n1\n', False),
        ("2\n", True),
        ("1 - 0\n", True),
        ('1\nf = """\nlines\n"""\n', True),
    ],
)
def test_a_comment_or_docstring_requires_no_new_record(repository: Repository, text: str, changes: bool) -> None:  # noqa: FBT001
    repository.long("run")
    (repository.root / "covered/a.py").write_text(text)
    assert repository.long("check")[0] == int(changes)


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("exit 3", "small: the run ended with 3"),
        ("""echo '{{"case": "one", "result": "failed", "seconds": 1}}' >>"$LONG_REPORT" """, "small: one: failed"),
        ("""echo '{{"case": "two", "result": "skipped", "seconds": 1}}' >>"$LONG_REPORT" """, "small: two: skipped"),
        (': >"$LONG_REPORT"', "small: no case ran"),
    ],
)
def test_a_failed_run_is_recorded_and_fails_the_check(repository: Repository, more: str, wrong: str) -> None:
    repository.table(more=more.replace("{{", "{").replace("}}", "}"))
    status, printed = repository.long("run")
    assert (status, wrong in printed) == (1, True)
    repository.commit()
    status, printed = repository.long("check")
    assert (status, wrong in printed) == (1, True)


def test_no_record_is_written_if_files_are_not_committed_or_change_during_the_run(repository: Repository) -> None:
    (repository.root / "covered/a.py").write_text("3\n")
    status, printed = repository.long("run")
    assert (status, "commit the covered files first" in printed) == (1, True)
    repository.table(more="echo 4 >covered/a.py")
    status, printed = repository.long("run")
    assert (status, "covered files changed during the run" in printed) == (1, True)
    assert not repository.record.exists()


def test_a_missing_record_is_an_error_unless_the_suite_has_recorded_false(repository: Repository) -> None:
    assert repository.long("check") == (
        1, "small: no record\n  fix: make long SUITE=small, and commit docs/records/small.json\n",
    )  # fmt: skip
    repository.table(recorded="recorded = false")
    assert repository.long("check") == (0, "small: no record yet\n")
    repository.long("run")
    status, printed = repository.long("check")
    assert (status, "delete `recorded = false` from scripts/long.toml" in printed) == (1, True)


def test_a_pathspec_without_a_file_and_a_record_without_a_suite_are_errors(repository: Repository) -> None:
    repository.long("run")
    shutil.copy(repository.record, repository.record.with_name("gone.json"))
    status, printed = repository.long("check")
    assert (status, "docs/records/gone.json belongs to no suite" in printed) == (1, True)
    repository.git("mv", "covered", "moved")
    repository.commit()
    status, printed = repository.long("check")
    assert (status, "covered/*.py matches no file of the repository" in printed) == (1, True)


def test_the_commit_id_selects_the_sample_of_a_tenth(repository: Repository) -> None:
    (repository.root / "conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--long', action='store_true')\n"
    )
    cases = repository.root / "test_cases.py"
    cases.write_text("import pytest\n@pytest.mark.parametrize('n', range(11))\ndef test_case(n): pass\n")
    with (repository.root / "scripts/long.toml").open("a") as table:
        table.write('[cases]\nsays = "Cases"\ncovers = ["test_cases.py"]\ntests = "test_cases.py"\n')
    repository.commit()
    status, first = repository.long("sample")
    assert status == 0
    assert len(first.split()) == 2  # of eleven
    assert repository.long("sample") == (0, first)
    # Each commit has another sample: the probability of three equal samples is 1 in 3000.
    others = set()
    for _ in range(2):
        repository.commit()
        others.add(repository.long("sample")[1])
    assert others != {first}
    assert {case.partition("[")[0] for case in first.split()} == {"test_cases.py::test_case"}


def test_marked_tests_run_with_the_option_and_each_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = "pytest_addoption, pytest_collection_modifyitems, pytest_runtest_logreport"
    (tmp_path / "conftest.py").write_text(f"from tests.helpers.long_cases import {hooks}\n")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\nmarkers = long\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_short(): pass\n@pytest.mark.long\ndef test_long(): pass\n"
    )
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def pytest_run(*options: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=50).stdout

    assert "1 passed, 1 deselected" in pytest_run()
    monkeypatch.setenv("LONG_REPORT", str(tmp_path / "report"))
    assert "2 passed" in pytest_run("--long", "-n1")
    lines = [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()]
    # pytest reports each of the three phases of a test.
    assert sorted(line["case"] for line in lines) == 3 * ["test_it.py::test_long"] + 3 * ["test_it.py::test_short"]
    assert {line["result"] for line in lines} == {"passed"}
