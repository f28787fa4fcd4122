"""The fixture with a daemon and its world for each test, and the table at the end of the session."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local.world import World
from tests.faults.case import Case

_ROW = "fault_row"
_FIGURE = "figure"


@pytest.fixture
def case(fresh_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A case that is not started; its end fails the test if an invariant was violated."""

    def record(world: World) -> list[str]:
        tokens: list[str] = []
        for name in ("sign", "sign_with_unknown_key"):
            monkeypatch.setattr(world.issuer, name, _recorded(getattr(world.issuer, name), tokens))
        return tokens

    made = Case(fresh_world, tmp_path, record)
    yield made
    made.close()


def _recorded(sign: Callable[..., str], tokens: list[str]) -> Callable[..., str]:
    def recorded(*arguments: Any, **named: Any) -> str:  # noqa: ANN401 - passed on
        token = sign(*arguments, **named)
        tokens.append(token)
        return token

    return recorded


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Print a line at the end of the session."""
    return lambda text: record_property(_FIGURE, text)


@pytest.fixture
def row(record_property: Callable[[str, object], None]) -> Callable[[str, str, str, float], None]:
    """Add a row to the table: fault, phase, responses meanwhile, recovery seconds."""
    return lambda *cells: record_property(_ROW, list(cells))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table and the figures, in the order of the faults' names."""
    reports = [report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, [])]
    properties = [
        pair for report in reports for pair in getattr(report, "user_properties", ()) if report.when == "call"
    ]
    rows = sorted(tuple(cells) for name, cells in properties if name == _ROW)
    if rows:
        terminalreporter.section("faults")
        head = ("fault", "phase", "responses meanwhile", "recovery")
        table = [head, *((fault, phase, served, f"{seconds:6.1f} s") for fault, phase, served, seconds in rows)]
        widths = [max(len(cells[column]) for cells in table) for column in range(3)]
        for fault, phase, served, seconds in table:
            terminalreporter.write_line(f"{fault:<{widths[0]}}  {phase:<{widths[1]}}  {served:<{widths[2]}}  {seconds}")
    figures = sorted(str(text) for name, text in properties if name == _FIGURE)
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(text)
