"""The marker `long`: pytest skips such tests without --long. These are hooks for a conftest to import."""

import os

import pytest

from tests.helpers.long_report import report_case

__all__ = ("pytest_addoption", "pytest_collection_modifyitems", "pytest_runtest_logreport")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--long", action="store_true", help="also run the tests that are marked `long`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that are marked `long`, unless the option is given."""
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Report each test as a case of a long suite."""
    if "PYTEST_XDIST_WORKER" not in os.environ:  # xdist repeats the reports of a worker in the main process
        report_case(report.nodeid, report.outcome, report.duration)
