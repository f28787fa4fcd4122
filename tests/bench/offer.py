"""Starts the client of a load in another process, on the core of the clients."""

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
"""Added to the maximum duration of a job; after this time the client counts as hung."""


class Load:
    """A job that runs in a client process, on the core of the clients.

    Args:
        job: the job.
        python: the interpreter of the client process.
    """

    def __init__(self, job: Job, python: str = sys.executable) -> None:
        self._seconds = job.seconds + 2 * job.timeout_seconds + _MARGIN_SECONDS
        # By pipe: the auth token is in the request, and all users can read a process's arguments.
        with on_core(cores()[1]):
            self._process = subprocess.Popen(
                (python, "-m", "tests.bench.load"), cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        stdin = cast("IO[str]", self._process.stdin)  # piped just above
        stdin.write(json.dumps(dataclasses.asdict(job)) + "\n")
        stdin.flush()

    def result(self) -> Result:
        """End a paced job, or wait for the end of another job; return its result.

        Raises:
            RuntimeError: the client failed; its error is on standard error.
            subprocess.TimeoutExpired: it did not end.
        """
        try:
            output, _ = self._process.communicate(timeout=self._seconds)
        finally:
            self._process.kill()
        if self._process.returncode:
            raise RuntimeError(f"the client ended with status {self._process.returncode}; see standard error")
        return Result(**json.loads(output))


def offer(job: Job, python: str = sys.executable) -> Result:
    """Run a job, and return its result.

    Raises:
        RuntimeError: the client failed; its error is on standard error.
        subprocess.TimeoutExpired: it did not end.
    """
    return Load(job, python).result()
