"""Runs the suites that do not fit continuous integration, and writes a record of each to docs/records.

python scripts/long.py run [SUITE ...]   run these suites, or all, and write docs/records/SUITE.json
python scripts/long.py check             exit 1 where a record is missing, has a failure, or has other inputs
python scripts/long.py sample            print a tenth of the cases of pytest, at least one, selected by the commit id

A suite of long.toml has
    says       a description of one line
    covers     pathspecs of git: a change of these files requires a new record
    tests      arguments of pytest; each test is a case of the suite; or
    run        a bash script that reports its cases with tests/helpers/long_report.py
    recorded   false until the first record exists

The inputs of a suite are its command and the files that it covers. Of a Python file, comments and docstrings do not
count. A record is written for a failed run too.
"""

import argparse
import hashlib
import io
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
import tokenize
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TABLE = Path(__file__).with_suffix(".toml")
RECORDS = ROOT / "docs/records"
TENTH = 10
PASSED = "passed"
ORDER = (PASSED, "skipped", "failed")
"""From good to bad: a case that is reported several times has the worst result."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite of long.toml; the keys are explained above."""

    name: str
    says: str
    covers: Sequence[str]
    run: str = ""
    tests: str = ""
    recorded: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for a suite with two commands, or none."""
        if bool(self.run) == bool(self.tests):
            raise ValueError(f"{self.name}: give one of run and tests")

    @property
    def command(self) -> str:
        """The bash command that runs the suite."""
        return self.run or f"{shlex.quote(sys.executable)} -m pytest -q --long {self.tests}"

    @property
    def record(self) -> Path:
        """The file of its record."""
        return RECORDS / f"{self.name}.json"

    def inputs(self) -> dict[str, str]:
        """Return the digests of the inputs, by the path of a file or "command".

        Raises:
            ValueError: one of its pathspecs matches no file.
        """
        for spec in self.covers:
            if not spec.startswith(":!") and not _git("ls-files", "--", spec):
                raise ValueError(f"{self.name}: {spec} matches no file of the repository")
        paths = _git("ls-files", "--", *self.covers).splitlines()
        return {"command": _digest(f"{self.run}{self.tests}")} | {path: _digest(_code(ROOT / path)) for path in paths}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _code(path: Path) -> str:
    """Return the text of a file; of a Python file, without comments, docstrings and empty lines."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    lines = text.splitlines()
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        (row, start), (last, end) = token.start, token.end
        if token.type == tokenize.COMMENT:
            lines[row - 1] = lines[row - 1][:start]
        # A string at the start of a statement is a docstring.
        elif token.type == tokenize.STRING and before in {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}:
            lines[row - 1 : last] = [lines[row - 1][:start], *[""] * (last - row - 1), lines[last - 1][end:]][
                : last - row + 1
            ]
        if token.type not in {tokenize.COMMENT, tokenize.NL}:
            before = token.type
    return "\n".join(line.rstrip() for line in lines if line.strip())


def load() -> list[Suite]:
    """Return the suites."""
    return [Suite(name, **row) for name, row in tomllib.loads(TABLE.read_text()).items()]


def run(suite: Suite) -> bool:
    """Run a suite, write its record, and return whether all cases passed.

    Raises:
        ValueError: covered files are not committed, or changed during the run; no record is written.
    """
    uncommitted = _git("status", "--porcelain", "--", *suite.covers)
    if uncommitted:
        raise ValueError(f"{suite.name}: commit the covered files first:\n{uncommitted}")
    commit, inputs = _git("rev-parse", "HEAD"), suite.inputs()
    print(f"=== {suite.name}: {suite.says}", flush=True)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report")
        report.touch()
        command = ["bash", "-euo", "pipefail", "-c", suite.command]
        status = subprocess.run(command, cwd=ROOT, env={**os.environ, "LONG_REPORT": str(report)}, check=False)  # noqa: S603
        reported = [json.loads(line) for line in report.read_text().splitlines()]
    if suite.inputs() != inputs or _git("status", "--porcelain", "--", *suite.covers):
        raise ValueError(f"{suite.name}: covered files changed during the run")
    about, cases = _merged(reported)
    record = {
        "suite": suite.name,
        "says": suite.says,
        "commit": commit,
        "inputs": inputs,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "exit_status": status.returncode,
        "seconds": round(time.perf_counter() - began, 1),
        "about": {"Python": platform.python_version(), platform.system(): platform.release(), **about},
        "cases": cases,
    }
    RECORDS.mkdir(parents=True, exist_ok=True)
    suite.record.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    bad = _bad(record)
    print("\n".join(bad) or f"=== {suite.name}: {len(cases)} cases passed in {record['seconds']} s")
    return not bad


def _merged(reported: Sequence[Json]) -> tuple[Json, Json]:
    """Return the facts about the run, and its cases: of one with several reports, all seconds and the worst result."""
    about: Json = {}
    cases: Json = {}
    for line in reported:
        if "case" not in line:
            about |= line
            continue
        name = line.pop("case")
        before = cases.get(name, {"result": PASSED, "seconds": 0.0})
        line["result"] = max(before["result"], line["result"], key=ORDER.index)
        line["seconds"] = round(before["seconds"] + line["seconds"], 1)
        cases[name] = before | line
    return about, cases


def _bad(record: Json) -> list[str]:
    """Return the failures that a record has."""
    name = record["suite"]
    lines = [f"{name}: {case}: {row['result']}" for case, row in record["cases"].items() if row["result"] != PASSED]
    if record["exit_status"]:
        lines.append(f"{name}: the run ended with {record['exit_status']}")
    return lines if record["cases"] else [*lines, f"{name}: no case ran"]


def check(suites: Sequence[Suite]) -> int:
    """Print the state of each record; return 1 where one is missing, has a failure, or has other inputs."""
    names = {suite.name for suite in suites}
    others = [path.relative_to(ROOT) for path in sorted(RECORDS.glob("*.json")) if path.stem not in names]
    wrong = [f"{path} belongs to no suite of scripts/long.toml" for path in others]
    for suite in suites:
        wrong += _wrong(suite)
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


def _wrong(suite: Suite) -> Iterator[str]:
    fix = f"  fix: make long SUITE={suite.name}, and commit {suite.record.relative_to(ROOT)}"
    if not suite.record.exists():
        if suite.recorded:
            yield f"{suite.name}: no record\n{fix}"
        else:
            suite.inputs()
            print(f"{suite.name}: no record yet")
        return
    if not suite.recorded:
        yield f"{suite.name}: it has a record: delete `recorded = false` from {TABLE.relative_to(ROOT)}"
    record = json.loads(suite.record.read_text())
    now, then = suite.inputs(), record["inputs"]
    changed = [name for name in sorted(now | then) if now.get(name) != then.get(name)]
    if changed:
        yield f"{suite.name}: inputs changed since its record: {', '.join(changed)}\n{fix}"
    yield from (f"{line}\n{fix}" for line in _bad(record))
    print(f"{suite.name}: {len(record['cases'])} cases, recorded on {record['date']} at {record['commit'][:12]}")


def sample(suites: Sequence[Suite]) -> list[str]:
    """Return a tenth of the cases of pytest; the same tenth for the same commit."""
    cases: list[str] = []
    for suite in suites:
        if suite.tests:
            command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--long", *shlex.split(suite.tests)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode:
                raise ValueError(f"{suite.name}: {done.stdout}{done.stderr}")
            cases += [line for line in done.stdout.splitlines() if "::" in line]
    commit = _git("rev-parse", "HEAD")
    cases.sort(key=lambda case: hashlib.sha256(f"{commit} {case}".encode()).digest())
    return cases[: math.ceil(len(cases) / TENTH)]


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description="Run the suites that do not fit continuous integration, or check their records."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    suites = load()
    runs = verbs.add_parser("run", help="run suites and write their records")
    runs.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(suite.name for suite in suites)}")
    verbs.add_parser("check", help="compare the records with the code")
    verbs.add_parser("sample", help="print a tenth of the cases of pytest")
    given = parser.parse_args(arguments)
    try:
        if given.verb == "check":
            return check(suites)
        if given.verb == "sample":
            print("\n".join(sample(suites)))
            return 0
        unknown = set(given.suites) - {suite.name for suite in suites}
        if unknown:
            parser.error(f"no suite is called {', '.join(sorted(unknown))}")
        passed = [run(suite) for suite in suites if suite.name in given.suites or not given.suites]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
