"""The functional fixtures, and a fixture for figures that are printed at the end."""

import pytest

from tests.functional.conftest import kubelet, role_arn, run_sidecar

__all__ = ("figures", "kubelet", "role_arn", "run_sidecar")

_LINES: list[str] = []


@pytest.fixture
def figures() -> list[str]:
    """Lines to print at the end of the run, also after a failure."""
    return _LINES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    terminalreporter.section("figures under a CPU quota of 0.1")
    for line in _LINES:
        terminalreporter.write_line(line)
