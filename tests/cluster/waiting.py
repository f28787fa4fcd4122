"""Waiting for a condition."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ("tail", "wait_until")

_TAIL_LINES = 25
_T = TypeVar("_T")


def wait_until(
    condition: Callable[[], _T], *, what: str, seconds: float, log: Path | None = None, every: float = 0.2
) -> _T:
    """Return the first true value of `condition`.

    Args:
        condition: called repeatedly; its exceptions are not caught.
        what: a description of the condition, for the error's text.
        seconds: the timeout.
        log: a log file whose last lines are added to the error's text.
        every: seconds between two calls.

    Raises:
        TimeoutError: the condition was not true within `seconds`.
    """
    until = time.perf_counter() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.perf_counter() > until:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}{tail(log)}")
        time.sleep(every)


def tail(log: Path | None) -> str:
    """Return the last lines of a log, for an error's text; empty if there is no log."""
    if log is None or not log.exists():
        return ""
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join([f"\n{log} ends with:", *lines])
