"""Fuzzes every target: ``python tests/fuzz/run.py --seconds 60``.

Exit status: 0 if no target found a fault; 1 if one did, with the path of the input that reproduces it.
"""

import argparse
import concurrent.futures
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.engine import CORPUS, TARGETS
from tests.helpers.long_report import report_about, report_case

__all__ = ("main",)

AT_A_TIME = 2
# Additional time for the start, the last input and the report.
GRACE_SECONDS = 60
MAX_LENGTH = 2_048
TAIL_LINES = 25
_COUNTERS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/")
_RATE = re.compile(r"average_exec_per_sec:\s+(\d+)")
_RUNS = re.compile(r"number_of_executed_units:\s+(\d+)")


class Outcome(NamedTuple):
    """The result of one target."""

    name: str
    status: int
    text: str
    found: list[Path]

    def line(self) -> str:
        """Return one line for a person."""
        counters = _COUNTERS.findall(self.text)
        covered, features, corpus = counters[-1] if counters else ("?", "?", "?")
        rate, runs = (pattern.search(self.text) for pattern in (_RATE, _RUNS))
        return (
            f"{self.name:10} {runs[1] if runs else '?':>10} runs {rate[1] if rate else '?':>8}/s  "
            f"coverage {covered}, features {features}, corpus {corpus}"
        )


def _fuzz(name: str, seconds: int, work: Path) -> Outcome:
    grown = work / name
    grown.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parent
    command = [
        sys.executable, str(here / f"fuzz_{name}.py"), f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}",
        "-print_final_stats=1", f"-artifact_prefix={grown}/found-",
        # New inputs go into the first directory; the seeds in the repository do not change.
        str(grown), str(CORPUS / name),
    ]  # fmt: skip
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=seconds + GRACE_SECONDS,
        check=False,
    )
    return Outcome(name, done.returncode, done.stdout, sorted(grown.glob("found-*")))


def main() -> int:
    """Fuzz the targets; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("targets", nargs="*", default=TARGETS, metavar="target", help=f"of {', '.join(TARGETS)}")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="fuzz-"))
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        outcomes = list(pool.map(lambda name: _fuzz(name, arguments.seconds, work), arguments.targets))
    failed = [outcome for outcome in outcomes if outcome.status or outcome.found]
    report_about(atheris=version("atheris"))
    for outcome in outcomes:
        result = "failed" if outcome in failed else "passed"
        report_case(outcome.name, result, arguments.seconds, told=" ".join(outcome.line().split()))
    report = [outcome.line() for outcome in outcomes]
    for outcome in failed:
        report += ["", f"{outcome.name} failed with status {outcome.status}; its last lines:"]
        report += outcome.text.splitlines()[-TAIL_LINES:]
        report += [f"to see it again: python tests/fuzz/fuzz_{outcome.name}.py {path}" for path in outcome.found]
    sys.stdout.write("\n".join(report) + "\n")
    if not failed:
        shutil.rmtree(work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
