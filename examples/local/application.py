"""An application that runs during the whole demo, so that each of its errors is seen."""

import subprocess
import sys
import threading
from pathlib import Path

__all__ = ("EXAMPLES", "LongRunning")

EXAMPLES = Path(__file__).parent.parent


class LongRunning:
    """``examples/boto3/long_running.py`` in its own process.

    Args:
        parameter: the name of the parameter that it reads repeatedly.
        environment: all of its variables.

    Attributes:
        signed_by: the access key id of each call so far.
    """

    def __init__(self, parameter: str, environment: dict[str, str]) -> None:
        command = [sys.executable, "-I", str(EXAMPLES / "boto3" / "long_running.py"), parameter]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.signed_by: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.signed_by.append(line.split()[1])

    def errors(self) -> str:
        """Return its standard error after it has ended, or "" while it runs."""
        if self.process.poll() is None:
            return ""
        return (self.process.stderr.read() if self.process.stderr else "") or "the application ended"

    def stop(self) -> tuple[int, str]:
        """Stop it; return its exit status and its standard error."""
        _, errors = self.process.communicate(timeout=10)
        self._reader.join()
        return self.process.returncode, errors
