"""How a suite reports its cases to `scripts/long.py`, which writes them to a record."""

import json
import os
from pathlib import Path

__all__ = ("VARIABLE", "report_about", "report_case")

VARIABLE = "LONG_REPORT"
"""Environment variable with the path of the report; without it the functions do nothing."""


def report_case(name: str, result: str, seconds: float, **more: object) -> None:
    """Report a case.

    Args:
        name: of the case.
        result: passed, skipped or failed; of several reports of a case, the record keeps the worst.
        seconds: its duration; the record has the sum of several reports.
        more: further values for the record, as JSON.
    """
    _write({"case": name, "result": result, "seconds": seconds, **more})


def report_about(**texts: str) -> None:
    """Report facts about the whole run, such as a version."""
    _write(texts)


def _write(line: object) -> None:
    if VARIABLE in os.environ:
        with Path(os.environ[VARIABLE]).open("a") as report:
            report.write(f"{json.dumps(line)}\n")
