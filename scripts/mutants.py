"""Makes each deliberate fault of mutants.toml, and requires that its tests fail: a test that cannot fail is useless.

python scripts/mutants.py              make each mutation of mutants.toml, run its tests, print the table
python scripts/mutants.py --only I3    only the mutations of one invariant
python scripts/mutants.py --list       print the table without running tests
python scripts/mutants.py --document   write docs/design/invariants.md
python scripts/mutants.py --check      exit 7 if that page is out of date, or a mutation does not fit the code

The tests of a mutation have its name in their marker ``@pytest.mark.mutant``, and its text is in the sources once: both
are found in any file. A mutation is killed when each of its tests fails. Exit 1 if one survives. The checkout is not
changed: each worker has a copy of it, and a virtual environment whose path begins with that copy, because the daemon
and its worker process run with ``-I``, which ignores PYTHONPATH.
"""

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marks import read

ROOT = Path(__file__).parent.parent
TABLE = Path(__file__).with_suffix(".toml")
PAGE = ROOT / "docs/design/invariants.md"
SOURCES = ("sidecar", "examples")
EXIT_SURVIVED, EXIT_DRIFT = 1, 7
WORKERS = 2
# The timeout also kills mutants that hang; each test of the table takes less than a third of this.
TEST_SECONDS = 25
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate fault.

    Attributes:
        invariant: the invariant that it violates, such as I3.
        name: a description of the fault.
        find: a text that occurs exactly once in the sources.
        replace: the replacement of that text.
        file: the file with that text; empty if the text does not occur exactly once.
        tests: pytest node ids; each of these tests must fail.
        shown: the names of these tests.
    """

    invariant: str
    name: str
    find: str
    replace: str
    file: str
    tests: tuple[str, ...]
    shown: tuple[str, ...]


def load() -> tuple[dict[str, str], list[Mutant], list[str]]:
    """Return the text of each invariant, the mutants, and one line for each mutant that does not fit code or tests."""
    table: dict[str, Any] = tomllib.loads(TABLE.read_text())
    marks, wrong = read(ROOT, "mutant")
    paths = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    mutants = []
    for invariant, row in ((invariant, row) for invariant, rows in table.items() for row in rows["mutant"]):
        name, find = row["name"], row["find"]
        found = [file for file, text in sources.items() for _ in range(text.count(find))]
        own = [mark for mark in marks if mark.text == name]
        if row.keys() != {"name", "find", "replace"}:
            wrong.append(f"{invariant} {name}: the keys must be name, find and replace, not {', '.join(row)}")
        if len(found) != 1:
            wrong.append(f"{invariant} {name}: its text is {len(found)} times in the sources, not once: {found}")
        if not own:
            wrong.append(f"{invariant} {name}: no test has its name in the marker `mutant`")
        file = found[0] if len(found) == 1 else ""
        tests, shown = tuple(mark.node for mark in own), tuple(mark.test for mark in own)
        mutants.append(Mutant(invariant, name, find, row["replace"], file, tests, shown))
    names = [mutant.name for mutant in mutants]
    wrong += [f"duplicate mutation {name}; rename one" for name in sorted(set(names)) if names.count(name) > 1]
    wrong += [f"{mark.node}: there is no mutation {mark.text}" for mark in marks if mark.text not in names]
    return {invariant: rows["says"] for invariant, rows in table.items()}, mutants, wrong


def document(says: dict[str, str], mutants: Sequence[Mutant]) -> str:
    """Return the page of invariants."""
    lines = [
        "# The invariants, and the tests that hold them\n",
        "<!-- Made by `make generate` from `scripts/mutants.toml` and the tests' markers; edit those. -->\n",
        "Each invariant has deliberate faults, and tests that must detect them: those with the fault's name in their",
        "marker `@pytest.mark.mutant`. `make mutants` makes each fault in a copy of the tree, and fails if a test in",
        "this table still passes.",
    ]
    for invariant, text in says.items():
        own = [mutant for mutant in mutants if mutant.invariant == invariant]
        lines += [f"\n## {invariant}\n", f"{text}\n", "| fault | detected by |", "|---|---|"]
        lines += [f"| {each.name} | {'<br>'.join(f'`{test}`' for test in each.shown)} |" for each in own]
    return "\n".join(lines) + "\n"


class Copy:
    """A copy of the checkout with a virtual environment that imports from it."""

    def __init__(self, home: Path) -> None:
        self.tree = home / "tree"
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],  # noqa: S607 - git of PATH
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for name in filter(None, listed.stdout.split("\0")):
            # git also lists a file whose deletion is not committed.
            if (ROOT / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.tree / name)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)  # noqa: S603
        self.python = home / "venv/bin/python"
        packages = self._run("import sysconfig; print(sysconfig.get_path('purelib'))")
        # The checkout's packages come last and as a plain path, so their .pth files, which name the checkout, are not
        # read.
        Path(packages, "copy.pth").write_text(f"{self.tree}\n{sysconfig.get_path('purelib')}\n")
        found = self._run("import sidecar; print(sidecar.__file__)")
        if not Path(found).is_relative_to(self.tree):
            raise SystemExit(f"mutants: Python imports {found} and not the copy in {self.tree}")

    def _run(self, code: str) -> str:
        done = subprocess.run([self.python, "-I", "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
        return done.stdout.strip()

    def write(self, file: str, text: str) -> None:
        """Write this text into a file of the copy."""
        path = self.tree / file
        path.write_text(text)
        # Python compares compiled code by the time in seconds and the size, and both can be unchanged.
        for stale in path.parent.glob(f"__pycache__/{path.stem}.*"):
            stale.unlink()

    def test(self, tests: Sequence[str], *options: str) -> tuple[int, list[str], str]:
        """Run tests; return pytest's exit status, the node ids of failed tests, and the output."""
        command = [
            str(self.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-rfE",
            f"--timeout={TEST_SECONDS}", *options, *tests,
        ]  # fmt: skip
        # With this width pytest does not cut node ids in its summary.
        environment = os.environ | {"COLUMNS": "1000", "PYTHONDONTWRITEBYTECODE": "1"}
        ran = subprocess.run(command, cwd=self.tree, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        return ran.returncode, _FAILED.findall(ran.stdout), ran.stdout + ran.stderr


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one mutant: the first failing test, or the reason why it survived."""

    mutant: Mutant
    killed_by: str
    problem: str
    seconds: float

    def row(self) -> str:
        """Return the line of the table."""
        mutant, last = self.mutant, self.killed_by or f"SURVIVED: {self.problem}"
        return f"{mutant.invariant:<3} | {mutant.name:<60} | {mutant.file:<33} | {last} | {self.seconds:.1f}"


def attempt(copy: Copy, mutant: Mutant) -> Result:
    """Make one mutation in a copy, run its tests, and restore the file."""
    began = time.perf_counter()
    original = (copy.tree / mutant.file).read_text()
    copy.write(mutant.file, original.replace(mutant.find, mutant.replace))
    try:
        status, failed, output = copy.test(mutant.tests)
    finally:
        copy.write(mutant.file, original)
    passing = [test for test in mutant.tests if not any(_is(failure, test) for failure in failed)]
    problem = ""
    if status not in {0, 1}:
        problem = f"pytest could not run its tests (exit {status}):\n{output}"
    elif passing:
        problem = f"{', '.join(passing)} did not fail"
    killed_by = "" if problem else failed[0]
    return Result(mutant, killed_by, problem, time.perf_counter() - began)


def _is(failure: str, test: str) -> bool:
    return failure == test or failure.startswith(f"{test}[")


def run(mutants: Sequence[Mutant]) -> int:
    """Run the mutants and print the table; return the exit status."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutants-") as home:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(WORKERS):
            copies.put(Copy(Path(home, str(number))))
        first = copies.get()
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        status, failed, output = first.test(
            tests, "-n", str(WORKERS), "--dist", "worksteal", f"--timeout={3 * TEST_SECONDS}"
        )
        copies.put(first)
        if status:
            print(f"mutants: these tests fail without a mutation: {', '.join(failed)}\n{output}")
            return EXIT_SURVIVED
        print(f"{len(tests)} tests pass without a mutation; {time.perf_counter() - began:.0f} s\n", flush=True)

        def work(mutant: Mutant) -> Result:
            copy = copies.get()
            try:
                return attempt(copy, mutant)
            finally:
                copies.put(copy)

        print("invariant | mutation | file | killed by (first failing test) | seconds")
        results = []
        with ThreadPoolExecutor(WORKERS) as pool:
            for result in pool.map(work, mutants):
                results.append(result)
                print(result.row(), flush=True)
    survivors = sum(not result.killed_by for result in results)
    print(f"\n{len(results) - survivors} of {len(results)} killed; {time.perf_counter() - began:.0f} s")
    return EXIT_SURVIVED if survivors else 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Make each deliberate fault; its tests must fail.")
    parser.add_argument("--only", metavar="I3", help="only the mutations of this invariant")
    parser.add_argument("--name", default="", help="only the mutations whose name contains this text")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="print the table without running tests")
    what.add_argument("--document", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    what.add_argument(
        "--check", action="store_true", help="check that the page is up to date and the mutations fit the code"
    )
    given = parser.parse_args(arguments)
    says, mutants, wrong = load()
    page = document(says, mutants)
    if given.check and not wrong and PAGE.read_text() != page:
        wrong.append(f"{PAGE.relative_to(ROOT)} differs: run `make generate`")
    if wrong:
        print("\n".join(wrong))
        return EXIT_DRIFT if given.check or given.document else EXIT_SURVIVED
    if given.document:
        PAGE.write_text(page)
    if given.check or given.document:
        return 0
    chosen = [each for each in mutants if given.only in {None, each.invariant} and given.name in each.name]
    if given.list:
        for mutant in chosen:
            print(f"{mutant.invariant:<3} | {mutant.name:<60} | {mutant.file:<33} | {', '.join(mutant.tests)}")
        return 0
    if not chosen:
        parser.error("no mutation matches --only and --name; see --list")
    return run(chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
