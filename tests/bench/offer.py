"""The load's side that runs in the measurement's own process: starts the client where it does not disturb."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import IO, cast

from tests.bench.daemons import cores, on_core
from tests.bench.job import Job, Result

__all__ = ("Load", "offer")

_ROOT = Path(__file__).parent.parent.parent
_MARGIN_SECONDS = 30.0
"""Beyond what a job may take: what has hung by then is not told from a result."""


class Load:
    """A job that a process of its own has begun, on the core of what measures.

    Args:
        job: what it does.
        python: its interpreter.
    """

    def __init__(self, job: Job, python: str = sys.executable) -> None:
        self._seconds = job.seconds + 2 * job.patience_seconds + _MARGIN_SECONDS
        # By pipe: the auth token is in the request, and arguments are for everybody to read.
        with on_core(cores()[1]):
            self._process = subprocess.Popen(
                (python, "-m", "tests.bench.load"), cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        stdin = cast("IO[str]", self._process.stdin)  # piped just above
        stdin.write(json.dumps(dataclasses.asdict(job)) + "\n")
        stdin.flush()

    def result(self) -> Result:
        """End a paced job, or wait for the end of another one.

        Raises:
            RuntimeError: the client has failed; its reason is on standard error.
            subprocess.TimeoutExpired: it did not end.
        """
        try:
            output, _ = self._process.communicate(timeout=self._seconds)
        finally:
            self._process.kill()
        if self._process.returncode:
            raise RuntimeError(f"the client of the load ended with {self._process.returncode}")
        return Result(**json.loads(output))


def offer(job: Job, python: str = sys.executable) -> Result:
    """Do a job.

    Raises:
        RuntimeError: the client has failed; its reason is on standard error.
        subprocess.TimeoutExpired: it did not end.
    """
    return Load(job, python).result()
