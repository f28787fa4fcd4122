"""The demo fails when a part is broken. (``make demo`` without a broken part is a section of scripts/ci.toml.)."""

import signal
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
        ("stale-credentials", "FAILED a rotated token refreshes the credentials: false: unchanged access key id"),
    ],
)
def test_the_demo_reports_the_failure_and_exits_1(broken: str, failure: str) -> None:
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_and_all_that_it_started(tmp_path: Path, number: signal.Signals) -> None:
    # A background job of a script starts with SIGINT ignored.
    command = ["env", "--ignore-signal=INT", sys.executable, "-m", "examples.local"]
    with subprocess.Popen(
        command, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("/readyz 200" in line for line in process.stdout)
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert list(tmp_path.glob("aws-oidc-sidecar-demo-*")) == []


def test_the_lines_of_keep_work_as_they_are_printed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "examples.local", "--keep"],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if "Press Ctrl-C" in line:
                break
        application, _, administrator = printed.partition("# as the application\n")[2].partition("# as the admin")
        results = [
            subprocess.run(
                ["bash", "-euo", "pipefail", "-c", lines],
                cwd=ROOT,
                env={"PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
                timeout=50,
            )
            for lines in (application, administrator.partition("\n")[2].partition("\nPress")[0])
        ]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert [(done.returncode, done.stdout + done.stderr) for done in results if done.returncode] == []
