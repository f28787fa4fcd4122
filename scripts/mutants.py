"""Breaks each invariant on purpose and requires that the tests notice: a test that cannot fail proves nothing.

python scripts/mutants.py              make every mutation of mutants.toml, run its tests, print the table
python scripts/mutants.py --only I3    those of one invariant
python scripts/mutants.py --list       the table, without running anything
python scripts/mutants.py --document   write docs/design/invariants.md from it
python scripts/mutants.py --check      exit 7 where that page or a mutation no longer fits the code

A mutation is killed when every test that it names fails. Exit 1 if one survives. The checkout is never changed: each
worker has a copy of it, and a virtual environment of its own whose path begins with that copy, because the daemon and
its child run with ``-I`` and listen to no PYTHONPATH.
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
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TABLE = Path(__file__).with_suffix(".toml")
PAGE = ROOT / "docs/design/invariants.md"
EXIT_SURVIVED, EXIT_DRIFT = 1, 7
WORKERS = 2
# A mutant that hangs is killed all the same; no test of the table takes a third of this.
TEST_SECONDS = 25
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate fault.

    Attributes:
        invariant: what it breaks, such as I3.
        name: what is wrong with the code then.
        file: the one that is changed.
        find: a text that is in it exactly once.
        replace: what comes in its place.
        tests: pytest node ids; each of them has to fail.
    """

    invariant: str
    name: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]


def load() -> tuple[dict[str, str], list[Mutant]]:
    """Return what each invariant says, and every mutant."""
    table: dict[str, Any] = tomllib.loads(TABLE.read_text())
    says = {invariant: rows["says"] for invariant, rows in table.items()}
    mutants = [
        Mutant(invariant, row["name"], row["file"], row["find"], row["replace"], tuple(row["tests"]))
        for invariant, rows in table.items()
        for row in rows["mutant"]
    ]
    return says, mutants


def drifted(mutants: Iterable[Mutant]) -> list[str]:
    """Return one line for each mutant whose text is not in its file exactly once, or whose test is gone."""
    lines = []
    for mutant in mutants:
        path = ROOT / mutant.file
        count = path.read_text().count(mutant.find) if path.is_file() else 0
        if count != 1:
            lines.append(f"{mutant.invariant} {mutant.name}: its text is {count} times in {mutant.file}, not once")
        for test in mutant.tests:
            where, _, name = test.partition("::")
            path = ROOT / where
            if not path.is_file() or f"def {name.partition('[')[0]}(" not in path.read_text():
                lines.append(f"{mutant.invariant} {mutant.name}: there is no {test}")
    return lines


def document(says: dict[str, str], mutants: Sequence[Mutant]) -> str:
    """Return the page of invariants."""
    lines = [
        "# The invariants, and how each is held\n",
        "<!-- Made by `python scripts/mutants.py --document` from `scripts/mutants.toml`; edit that. -->\n",
        "Each invariant has tests, and deliberate faults that those tests must notice. `make mutants` makes every",
        "fault in a copy of the tree and fails if a test that is named here still passes.",
    ]
    for invariant, text in says.items():
        own = [mutant for mutant in mutants if mutant.invariant == invariant]
        lines += [f"\n## {invariant}\n", f"{text}\n", "| fault | in | noticed by |", "|---|---|---|"]
        lines += [f"| {each.name} | `{each.file}` | {'<br>'.join(f'`{t}`' for t in each.tests)} |" for each in own]
    return "\n".join(lines) + "\n"


class Copy:
    """A copy of the checkout with a virtual environment that imports from it."""

    def __init__(self, home: Path) -> None:
        self.tree = home / "tree"
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],  # noqa: S607 - git is wherever PATH has it
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for name in filter(None, listed.stdout.split("\0")):
            # A file that is deleted but not committed is listed all the same.
            if (ROOT / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.tree / name)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)  # noqa: S603
        self.python = home / "venv/bin/python"
        site = self._ask("import sysconfig; print(sysconfig.get_path('purelib'))")
        # The packages come last and as a plain path: their own .pth files, the checkout's among them, are not read.
        Path(site, "copy.pth").write_text(f"{self.tree}\n{sysconfig.get_path('purelib')}\n")
        found = self._ask("import sidecar.exchange.worker as found; print(found.__file__)")
        if not Path(found).is_relative_to(self.tree):
            raise SystemExit(f"mutants: the copy is not what is imported, but {found}")

    def _ask(self, code: str) -> str:
        asked = subprocess.run([self.python, "-I", "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
        return asked.stdout.strip()

    def write(self, file: str, text: str) -> None:
        """Put this text into a file of the copy."""
        path = self.tree / file
        path.write_text(text)
        # Compiled code is taken for current by the second and the size, and both can be as they were.
        for stale in path.parent.glob(f"__pycache__/{path.stem}.*"):
            stale.unlink()

    def test(self, tests: Sequence[str], *options: str) -> tuple[int, list[str], str]:
        """Run tests; return pytest's exit status, the node ids that failed, and what it printed."""
        command = [
            str(self.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-rfE",
            f"--timeout={TEST_SECONDS}", *options, *tests,
        ]  # fmt: skip
        # The width keeps pytest from cutting a node id in its summary.
        environment = os.environ | {"COLUMNS": "1000", "PYTHONDONTWRITEBYTECODE": "1"}
        ran = subprocess.run(command, cwd=self.tree, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        return ran.returncode, _FAILED.findall(ran.stdout), ran.stdout + ran.stderr


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant: killed by its first failing test, or why not."""

    mutant: Mutant
    killed_by: str
    problem: str
    seconds: float

    def row(self) -> str:
        """Return the line of the table."""
        mutant, last = self.mutant, self.killed_by or f"SURVIVED: {self.problem}"
        return f"{mutant.invariant:<3} | {mutant.name:<60} | {mutant.file:<33} | {last} | {self.seconds:.1f}"


def attempt(copy: Copy, mutant: Mutant) -> Result:
    """Make one mutation in a copy, run its tests, and take it back."""
    began = time.perf_counter()
    original = (copy.tree / mutant.file).read_text()
    copy.write(mutant.file, original.replace(mutant.find, mutant.replace))
    try:
        status, failed, said = copy.test(mutant.tests)
    finally:
        copy.write(mutant.file, original)
    passing = [test for test in mutant.tests if not any(_is(failure, test) for failure in failed)]
    problem = ""
    if status not in {0, 1}:
        problem = f"pytest could not run its tests (exit {status}):\n{said}"
    elif passing:
        problem = f"{', '.join(passing)} did not fail"
    killed_by = "" if problem else failed[0]
    return Result(mutant, killed_by, problem, time.perf_counter() - began)


def _is(failure: str, test: str) -> bool:
    return failure == test or failure.startswith(f"{test}[")


def run(mutants: Sequence[Mutant]) -> int:
    """Run every mutant and print the table; return the exit status."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutants-") as home:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(WORKERS):
            copies.put(Copy(Path(home, str(number))))
        first = copies.get()
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        status, failed, said = first.test(
            tests, "-n", str(WORKERS), "--dist", "worksteal", f"--timeout={3 * TEST_SECONDS}"
        )
        copies.put(first)
        if status:
            print(f"mutants: without a mutation these tests do not pass: {', '.join(failed)}\n{said}")
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
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description="Break each invariant on purpose; the tests must notice.")
    parser.add_argument("--only", metavar="I3", help="the mutations of one invariant")
    parser.add_argument("--name", default="", help="the mutations whose name has this text")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="print the table and run nothing")
    what.add_argument("--document", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    what.add_argument("--check", action="store_true", help="only say whether page and mutations fit the code")
    given = parser.parse_args(arguments)
    says, mutants = load()
    if given.document:
        PAGE.write_text(document(says, mutants))
        return 0
    drift = drifted(mutants)
    if given.check and PAGE.read_text() != document(says, mutants):
        drift.append(f"{PAGE.relative_to(ROOT)} differs: run python scripts/mutants.py --document")
    if drift:
        print("\n".join(drift))
        return EXIT_DRIFT if given.check else EXIT_SURVIVED
    if given.check:
        return 0
    chosen = [each for each in mutants if given.only in {None, each.invariant} and given.name in each.name]
    if given.list:
        for mutant in chosen:
            print(f"{mutant.invariant:<3} | {mutant.name:<60} | {mutant.file:<33} | {', '.join(mutant.tests)}")
        return 0
    if not chosen:
        parser.error("there is no such mutation")
    return run(chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
