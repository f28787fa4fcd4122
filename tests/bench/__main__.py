"""Measures all figures that have a limit (a "bar") in one run, and prints one table.

make bench                      all sections: less than eight minutes
make bench ARGS=--quick         short rounds, to test the benchmark and to find large differences
make bench ARGS=--only=endpoint one section
make long SUITE=bench           all sections, their record, and docs/performance.md made from it
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench import endpoint, memory, process_start, quota, rest, scale
from tests.bench.daemons import Context
from tests.bench.machine import Disturbance, machine, versions
from tests.bench.rows import Row
from tests.bench.table import missed, show, summary
from tests.helpers.long_report import report_about, report_case

__all__ = ("SECTIONS", "main")

Section = Callable[[Context], Iterator[Row]]

SECTIONS: Mapping[str, Section] = {
    "endpoint": endpoint.measure,
    "quota": quota.measure,
    "start": process_start.measure,
    "memory": memory.measure,
    "rest": rest.measure,
    "scale": scale.measure,
}
_ROUNDS = 5
_QUICK_ROUNDS = 2


def main(arguments: Sequence[str] | None = None, sections: Mapping[str, Section] = SECTIONS) -> int:
    """Measure; return 0, or 1 if a bar was missed."""
    parser = argparse.ArgumentParser("python -m tests.bench", description="Measures and prints one table.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", choices=sections, metavar="SECTION", help=f"one of {', '.join(sections)}")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help=f"number of rounds; {_ROUNDS}, or {_QUICK_ROUNDS} with --quick"
    )
    given = parser.parse_args(arguments)
    rounds = (_QUICK_ROUNDS if given.quick else _ROUNDS) if given.rounds is None else given.rounds
    if rounds < 1:
        parser.error("--rounds must be 1 or more")
    disturbance = Disturbance()
    began = time.perf_counter()

    def report(text: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - began:6.1f} s  {text}\n")

    rows: list[Row] = []
    try:
        for name in (given.only,) if given.only else sections:
            started, first = time.perf_counter(), len(rows)
            with tempfile.TemporaryDirectory(prefix="aws-oidc-sidecar-bench-") as folder:
                for row in sections[name](Context(rounds, given.quick, Path(folder), report)):
                    report(f"{row.what}: {row.ours}{' | ' if row.beside else ''}{row.beside}")
                    rows.append(row)
            result = "failed" if missed(rows[first:]) else "passed"
            recorded = [asdict(row) for row in rows[first:]]
            report_case(name, result, time.perf_counter() - started, rows=recorded)
    finally:
        show(rows)  # also when the run ends early, because it took minutes
    sys.stdout.write(f"\n{machine()}; {versions()}\n{disturbance}; rounds: {rounds}\n{summary(rows)}")
    report_about(machine=machine(), versions=versions(), disturbance=str(disturbance), rounds=str(rounds))
    return 1 if missed(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
