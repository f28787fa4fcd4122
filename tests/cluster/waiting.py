"""Waiting for a condition that has to come true."""

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
        condition: asked again and again; what it raises is not caught.
        what: is waited for, for the error's text.
        seconds: how long at most.
        log: whose tail says why it does not come.
        every: seconds between two questions.

    Raises:
        TimeoutError: it did not come.
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
    """Return the end of a log, for an error's text; empty where there is none."""
    if log is None or not log.exists():
        return ""
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join([f"\n{log} ends with:", *lines])
