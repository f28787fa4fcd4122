"""The demo can fail: a proof that cannot is none. (``make demo`` itself is run as a person would run it.)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("broken", "failure"),
    [
        ("trust-policy", "FAILED the daemon got no credentials: access_denied"),
        ("tampered-token", "FAILED the daemon got no credentials: invalid_identity_token"),
        ("stale-set", "FAILED a rotated token renews the credentials: no: the same access key"),
    ],
)
def test_the_demo_names_what_is_broken_and_exits_1(broken: str, failure: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.local", f"--break={broken}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=58,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert failure in done.stdout
    assert done.stderr == ""
