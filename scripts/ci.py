"""Runs the sections of ci.toml in order, and prints the time of each section against its budget.

python3 scripts/ci.py                 all sections; `bash .ci/run` does this
python3 scripts/ci.py --table FILE    the sections of another file

A section has a name, a budget in seconds, and one of
    run      a bash script
    tests    arguments of pytest; tests that fail run a second time, alone, and the output of both runs is printed
    wait     true: wait for the sections in the background; the next section has the machine for itself
and may have
    environment   variables
    again         a bash script that runs if `run` failed: the section passes if it does, and is marked
    needed        true: the other sections need this one, so the run ends if it fails
    behind        the name of a lane: the sections of a lane run one after the other, in the background of the sections
                  that follow; their output is printed at the next `wait`, or at the end

Exit status: 0; 1 where a section fails, or where the run takes longer than `limit`; 128 and the number of a signal. The
sections after a failed one run, so that one run shows all failures, except after a needed one. A section over its
budget, or a run over `goal`, is marked OVER and does not fail: machines are
noisy. However the run ends, the processes that still run are ended and the table of times is printed.

It uses the standard library of Python 3.11: it runs before anything is installed.
"""

import argparse
import contextlib
import os
import re
import signal
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from ci_processes import Processes

TESTS_FAILED = 1
"""Pytest's exit status where tests failed; with another one, tests could not run."""
_LINE = "{:<60} {:>7} {:>7}  {}"


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the table; the keys are explained above."""

    name: str
    budget: int
    run: str = ""
    tests: str = ""
    wait: bool = False
    again: str = ""
    behind: str = ""
    needed: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for keys that contradict each other."""
        if [bool(self.run), bool(self.tests), self.wait].count(True) != 1 or (self.wait and self.behind):
            raise ValueError(f"{self.name}: give one of run, tests and wait; a section with `behind` cannot wait")
        if self.again and not self.run:
            raise ValueError(f"{self.name}: again needs run")


@dataclass(frozen=True, slots=True)
class Table:
    """The sections and their limits.

    Attributes:
        goal: seconds that the whole run should take at most.
        limit: seconds after which the run fails by itself, so that it still prints the table of times.
        environment: variables of all sections.
        sections: in their order.
    """

    goal: int
    limit: int
    environment: Mapping[str, str]
    sections: Sequence[Section]

    @classmethod
    def read(cls, file: Path) -> "Table":
        """Return the table of a file.

        Raises:
            TypeError: a section has an unknown key.
            ValueError: the keys of a section contradict each other.
        """
        read: dict[str, Any] = tomllib.loads(file.read_text())
        sections = [Section(**row) for row in read["section"]]
        return cls(read["goal"], read["limit"], read.get("environment", {}), sections)


@dataclass(slots=True)
class Outcome:
    """The result of a section.

    Attributes:
        section: the section.
        status: its exit status; None until it ends by itself.
        seconds: how long it took.
        retried: whether tests failed in the first run and passed in the second.
        output: the file with its output, for a section in the background.
    """

    section: Section
    status: int | None = None
    seconds: float = 0.0
    retried: bool = False
    output: Path | None = None

    def line(self) -> str:
        """Return the line for the end of the section."""
        return f"=== {self.section.name}: {self.seconds:.0f} s of {self.section.budget} s {self._words()}".rstrip()

    def row(self) -> str:
        """Return the line of the table."""
        return _LINE.format(self.section.name, f"{self.seconds:.0f}", self.section.budget, self._words()).rstrip()

    def _words(self) -> str:
        words = {
            "OVER": self.seconds > self.section.budget,
            "FAILED": bool(self.status),
            "did not end": self.status is None,
            "failed at first": self.retried,
            "behind": bool(self.section.behind),
        }
        return ", ".join(word for word, holds in words.items() if holds)


class Failed(Exception):  # noqa: N818 - it ends the run and is not reported as an error
    """A section failed, and the run ends."""


class Run:
    """One run of the table.

    Args:
        table: the sections to run.
        scratch: an empty directory.
        processes: starts them.
    """

    def __init__(self, table: Table, scratch: Path, processes: Processes) -> None:
        self._table, self._scratch, self._processes = table, scratch, processes
        given = {name: text.replace("$SCRATCH", str(scratch)) for name, text in table.environment.items()}
        self._environment = {**os.environ, **given}
        self._lanes: dict[str, tuple[threading.Thread, list[Outcome]]] = {}
        self._began = time.perf_counter()
        self.outcomes: list[Outcome] = []

    def run_sections(self) -> None:
        """Run all sections.

        Raises:
            Failed: one failed.
        """
        failed = False
        sections = self._table.sections
        for index, section in enumerate(sections):
            if section.behind:
                if section.behind not in self._lanes:
                    # The lane begins here; its later sections wait in it.
                    self._start([each for each in sections[index:] if each.behind == section.behind])
            elif section.wait:
                failed |= not self._passes(section, self._wait)
            else:
                passes = self._passes(section, lambda outcome: self._once_more(outcome, self._first(outcome.section)))
                if section.needed and not passes:
                    raise Failed
                failed |= not passes
        if self._lanes:
            last = Section("the sections in the background have ended", budget=0, wait=True)
            failed |= not self._passes(last, self._wait)
        if failed:
            raise Failed

    def table(self) -> str:
        """Return the table of times, with the total against the goal."""
        total = time.perf_counter() - self._began
        over = "OVER" if total > self._table.goal else ""
        rows = [outcome.row() for outcome in self.outcomes]
        last = _LINE.format("total", f"{total:.0f}", self._table.goal, over).rstrip()
        return "\n".join([_LINE.format("section", "seconds", "budget", "").rstrip(), *rows, last])

    def show_unseen(self) -> None:
        """Print the output of failed sections in the background that no `wait` has printed."""
        for _, outcomes in self._lanes.values():
            for outcome in outcomes:
                if outcome.status:
                    self._show(outcome)

    def _passes(self, section: Section, run: Callable[[Outcome], None]) -> bool:
        say(f"\n=== {section.name}")
        outcome = Outcome(section)
        self.outcomes.append(outcome)
        began = time.perf_counter()
        try:
            run(outcome)
        finally:
            outcome.seconds = time.perf_counter() - began
            say(outcome.line())
        return outcome.status == 0

    def _first(self, section: Section, output: Path | None = None) -> int | None:
        return self._bash(section, section.run or self._pytest(section, "-rs --durations=3"), output)

    def _once_more(self, outcome: Outcome, status: int | None) -> None:
        """Set the exit status: of the first run, or of a second run of what failed."""
        section, again = outcome.section, ""
        if section.tests and status == TESTS_FAILED:
            again = self._pytest(section, "--last-failed --last-failed-no-failures none -n 0")
        elif status:
            again = section.again
        if again:
            say(f"--- {section.name}: what failed, a second time and alone")
            status = self._bash(section, again)
            outcome.retried = status == 0
        outcome.status = status

    def _pytest(self, section: Section, options: str) -> str:
        # --last-failed reads the failed tests of a section from its own cache.
        cache = self._scratch / f"{_slug(section.name)}.cache"
        # By a variable: bash ignores a failed command inside the arguments, and pytest would run all tests of the tree.
        arguments = f"arguments=({section.tests})\n"
        return f'{arguments}"$VENV/bin/python" -m pytest -q -o "cache_dir={cache}" "${{arguments[@]}}" {options}'

    def _bash(self, section: Section, script: str, output: Path | None = None) -> int | None:
        return self._processes.run(script, {**self._environment, **section.environment}, output)

    def _start(self, lane: Sequence[Section]) -> None:
        outcomes = [Outcome(each, output=self._scratch / f"{_slug(each.name)}.out") for each in lane]

        def work() -> None:
            for outcome in outcomes:
                began = time.perf_counter()
                outcome.status = self._first(outcome.section, outcome.output)
                outcome.seconds = time.perf_counter() - began

        thread = threading.Thread(target=work, daemon=True)
        self._lanes[lane[0].behind] = thread, outcomes
        self.outcomes += outcomes
        say(f"\n=== in the background: {', '.join(each.name for each in lane)}")
        thread.start()

    def _wait(self, waiting: Outcome) -> None:
        """Wait for all lanes; the wait fails where a section of a lane failed."""
        waiting.status = 0
        while self._lanes:
            name = next(iter(self._lanes))
            thread, outcomes = self._lanes[name]
            thread.join()
            del self._lanes[name]
            for outcome in outcomes:
                self._show(outcome)
                self._once_more(outcome, outcome.status)
                say(outcome.line())
                waiting.status = waiting.status or outcome.status

    def _show(self, outcome: Outcome) -> None:
        say(f"\n=== in the background: {outcome.section.name}")
        if outcome.output and outcome.output.exists():
            say(outcome.output.read_text(errors="replace").rstrip())


def say(text: str) -> None:
    """Print a line before the output of the next script."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _slug(name: str) -> str:
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


@contextlib.contextmanager
def _signals(limit: int) -> Iterator[None]:
    """Let a signal, or the limit in seconds, end the block by an exception."""

    def end(number: int, _: FrameType | None) -> None:
        if number == signal.SIGALRM:
            say(f"\n=== given up after {limit} s")
            raise Failed
        raise SystemExit(128 + number)

    # A parent may have chosen to ignore some, as nohup does.
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    numbers = [number for number in ends if signal.getsignal(number) != signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, end)
    signal.alarm(limit)
    try:
        yield
    finally:
        # A second signal must not interrupt the end of the processes.
        signal.alarm(0)
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


def main(arguments: Sequence[str]) -> int:
    """Run the sections; return the exit status."""
    parser = argparse.ArgumentParser(description="Run the sections of ci.toml, and print their times.")
    parser.add_argument("--table", type=Path, default=Path(__file__).with_suffix(".toml"), help="another file")
    table = Table.read(parser.parse_args(arguments).table)
    processes = Processes()
    with tempfile.TemporaryDirectory(prefix="ci-") as scratch:
        run = Run(table, Path(scratch), processes)
        try:
            with _signals(table.limit):
                run.run_sections()
        except Failed:
            return 1
        finally:
            processes.close()
            run.show_unseen()
            say(f"\n=== time\n{run.table()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
