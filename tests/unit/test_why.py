"""docs/why.md: the tests that it names exist, and each cell of its comparison links a source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "why.md"
TEXT = PAGE.read_text(encoding="utf-8")
UNKNOWN = "not found"
NAMED_TEST = re.compile(r"\[`(test_\w+)`\]\(([^)\s]+)\)")
DEFINITION = re.compile(r"^\[([^\]]+)\]: (\S+)$", re.MULTILINE)
REFERENCE = re.compile(r"\[[^\]]+\]\[([^\]]+)\]")
TARGET = re.compile(r"\]\(([^)\s]+)\)")
GOOD = """\
[`test_what_is_broken_is_found`](../tests/unit/test_why.py)

## Compared with other projects

| question | one | another |
|---|---|---|
| works outside EKS | [no][page] | not found |
| metrics | [yes](metrics.md) | [some][page], not all |

[page]: https://docs.example.com/page
"""


def functions_of(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def missing_tests(text: str) -> list[str]:
    """Return each name of a test that has no link to a file, or whose file does not define it."""
    linked = dict.fromkeys(NAMED_TEST.findall(text))
    unlinked = set(re.findall(r"`(test_\w+)`", text)) - {name for name, _ in linked}
    missing = {name for name, file in linked if name not in functions_of(PAGE.parent / file)}
    return sorted(unlinked | missing)


def compared(text: str) -> list[list[str]]:
    """Return the rows of the tables of the comparison, without their heads."""
    section = text.partition("\n## Compared with other projects\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0] != "question" and set("".join(row)) != {"-"}]


def without_source(text: str) -> list[str]:
    """Return each cell that neither links a source nor says that none was found, as ``question: cell``."""
    defined = dict(DEFINITION.findall(text))
    found = []
    for question, *cells in compared(text):
        for cell in cells:
            references = REFERENCE.findall(cell)
            sourced = bool(references or TARGET.search(cell)) and all(key in defined for key in references)
            if not sourced and cell != UNKNOWN:
                found.append(f"{question}: {cell}")
    return found


def test_each_test_that_the_page_names_exists() -> None:
    assert len(NAMED_TEST.findall(TEXT)) > 15
    assert missing_tests(TEXT) == []


def test_each_cell_of_the_comparison_has_a_source() -> None:
    rows = compared(TEXT)
    assert {len(row) for row in rows} == {5, 6}
    assert len(rows) == 16
    assert without_source(TEXT) == []


def test_each_reference_is_defined_once_and_used() -> None:
    keys = [key for key, _ in DEFINITION.findall(TEXT)]
    assert sorted(set(keys)) == sorted(keys)
    assert set(REFERENCE.findall(TEXT)) == set(keys)
    assert all(url.startswith("https://") for _, url in DEFINITION.findall(TEXT))


def test_each_relative_link_leads_to_a_file() -> None:
    links = [link.partition("#")[0] for link in TARGET.findall(TEXT) if not link.startswith("https://")]
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


NAME = "test_what_is_broken_is_found"


@pytest.mark.parametrize(
    ("before", "after", "missing", "cells"),
    [
        ("", "", [], []),
        (f"[`{NAME}`]", "[`test_nothing`]", ["test_nothing"], []),
        ("unit/test_why.py", "unit/test_model.py", [NAME], []),
        ("unit/test_why.py", "unit/test_nothing.py", [NAME], []),
        (f"[`{NAME}`](../tests/unit/test_why.py)", f"`{NAME}`", [NAME], []),
        ("[no][page]", "no", [], ["works outside EKS: no"]),
        ("[no][page]", "", [], ["works outside EKS: "]),
        ("[no][page]", "[no][pages]", [], ["works outside EKS: [no][pages]"]),
        ("not found", "probably not", [], ["works outside EKS: probably not"]),
        ("[yes](metrics.md)", "yes", [], ["metrics: yes"]),
    ],
)
def test_what_is_broken_is_found(before: str, after: str, missing: list[str], cells: list[str]) -> None:
    assert before in GOOD
    broken = GOOD.replace(before, after)
    assert missing_tests(broken) == missing
    assert without_source(broken) == cells
