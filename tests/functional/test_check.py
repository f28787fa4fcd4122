"""``aws-oidc-sidecar check`` against the real daemon."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from examples.local.faults import FaultKind
from examples.local.process import Sidecar
from examples.local.world import World

Run = Callable[..., Sidecar]


def check(*arguments: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "sidecar", "check", *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_it_succeeds_when_the_daemon_has_credentials(run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    assert check("--admin-port", str(sidecar.admin_port)) == (0, "ready\n", "")
    assert check(AWS_OIDC_SIDECAR_ADMIN_PORT=str(sidecar.admin_port))[0] == 0


def test_it_prints_why_there_are_no_credentials(fresh_world: World, run_sidecar: Run) -> None:
    fresh_world.aws.faults.set(FaultKind.DOWN)
    sidecar = run_sidecar()
    sidecar.wait_for("exchange_failed")
    code, text, _ = check(f"--admin-port={sidecar.admin_port}")
    assert code == 1
    assert text.startswith("default: no unexpired credentials: last exchange: unreachable; STS cannot be reached")
    assert text.count("\n") == 1


def test_a_missing_daemon_is_exit_code_3() -> None:
    code, text, _ = check("--admin-port", "1")
    assert (code, text) == (3, "no daemon answers at 127.0.0.1 port 1; check that the sidecar runs in this pod\n")


@pytest.mark.parametrize("arguments", [("--port", "1"), ("now",), ("--admin-port", "many"), ("--admin-port",)])
def test_wrong_usage_is_code_2(arguments: tuple[str, ...]) -> None:
    assert check(*arguments) == (
        2, "", "aws-oidc-sidecar check: wrong usage; see aws-oidc-sidecar check --help\n",
    )  # fmt: skip


def test_help_describes_the_exit_codes() -> None:
    code, text, _ = check("--help")
    assert code == 0
    assert "Exit codes: 0: " in text
