"""docs/design/rules.md: every rule has its row, and every test that a row names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = [f"SDK {number}" for number in range(1, 38)] + [
    f"Kubernetes D{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12)
]


def rows() -> dict[str, list[str]]:
    """Return the cells of each row by its rule."""
    table = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs/design/rules.md").read_text().splitlines()
        if re.match(r"\| (SDK|Kubernetes) ", line)
    ]
    assert len({cells[0] for cells in table}) == len(table), "a rule is there twice"
    return {cells[0]: cells for cells in table}


def named(cell: str) -> list[str]:
    return re.findall(r"`(tests/[^`]+)`", cell)


def functions_of(path: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}


def test_every_rule_has_one_row() -> None:
    assert list(rows()) == RULES


@pytest.mark.parametrize("rule", RULES)
def test_what_holds_a_rule_exists(rule: str) -> None:
    _, what, where, held_by, note = rows()[rule]
    assert what
    tests = named(held_by)
    assert tests or note.startswith("later"), "no test, and nothing says that it comes later"
    for test in tests:
        file, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in functions_of(ROOT / file), f"{test} does not exist"
    for file in re.findall(r"`([a-z_/]+\.py)`", where):
        assert (ROOT / "sidecar" / file).is_file(), f"sidecar/{file} does not exist"
