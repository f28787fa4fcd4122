"""The kept set of a restart: a grant that lives no longer than it did, or nothing; never an error."""

import atexit
import math
import shutil
import tempfile
from pathlib import Path

from sidecar.credentials.timing import hold
from sidecar.endpoint.state import StateFiles
from tests.fuzz.engine import fuzz
from tests.helpers.clock import FakeClock

__all__ = ("FINGERPRINT", "check")

FINGERPRINT = "fingerprint"
CLOCK = FakeClock()
ROUNDING_SECONDS = 1e-6
DIRECTORY = Path(tempfile.mkdtemp(prefix="fuzz-state-"))
atexit.register(shutil.rmtree, DIRECTORY, ignore_errors=True)
FILE = DIRECTORY / "default.json"
FILE.touch(mode=0o600)
FILES = StateFiles(DIRECTORY)


def check(data: bytes) -> None:
    """Take ``data`` as the file that a daemon before us left."""
    FILE.write_bytes(data)
    now = CLOCK.now()
    assert FILES.load("default", "of other settings", now) is None or b"of other settings" in data
    grant = FILES.load("default", FINGERPRINT, now)
    if grant is None:
        return
    given, held = grant.credentials, hold(grant)
    texts = (given.access_key_id, given.secret_access_key, given.session_token)
    assert all(type(text) is str and text != "" for text in texts)
    assert math.isfinite(grant.life_seconds)
    assert held.remaining(now) <= grant.life_seconds + ROUNDING_SECONDS, "a restart made a life longer"
    assert held.remaining(now) <= given.expires_at - now.wall
    assert not any(text in repr(grant) for text in texts if len(text) >= 16), "a secret in repr"


if __name__ == "__main__":
    fuzz("state")
