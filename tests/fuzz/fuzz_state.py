"""The saved state: a result whose lifetime did not become longer, or none; never an error."""

import atexit
import math
import shutil
import tempfile
from pathlib import Path

from sidecar.credentials.timing import hold
from sidecar.volumes.saved_state import StateFiles
from tests.fuzz.engine import fuzz
from tests.helpers.clock import FakeClock

__all__ = ("check",)

CLOCK = FakeClock()
ROUNDING_SECONDS = 1e-6
DIRECTORY = Path(tempfile.mkdtemp(prefix="fuzz-state-"))
atexit.register(shutil.rmtree, DIRECTORY, ignore_errors=True)
FILE = DIRECTORY / "default.json"
FILE.touch(mode=0o600)
FILES = StateFiles(DIRECTORY)


def check(data: bytes) -> None:
    """Use ``data`` as the file that an earlier daemon wrote."""
    FILE.write_bytes(data)
    now = CLOCK.now()
    result = FILES.load("default", now)
    if result is None:
        return
    given, held = result.credentials, hold(result)
    texts = (given.access_key_id, given.secret_access_key, given.session_token)
    assert type(result.settings) is str
    assert result.settings != ""
    assert all(type(text) is str and text != "" for text in texts)
    assert math.isfinite(result.lifetime_seconds)
    assert held.remaining(now) <= result.lifetime_seconds + ROUNDING_SECONDS, "a restart made a lifetime longer"
    assert held.remaining(now) <= given.expires_at - now.wall
    assert not any(text in repr(result) for text in texts if len(text) >= 16), "a secret in repr"


if __name__ == "__main__":
    fuzz("state")
