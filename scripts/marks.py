"""Markers of tests, read from their sources: the tests are not imported and do not run.

@pytest.mark.rule("SDK 8", "Kubernetes D6")   the test holds these rules of docs/design/requirements.md
@pytest.mark.mutant("any Host is accepted")   the test fails when scripts/mutants.py makes this fault
@pytest.mark.mutant("401 is reported as 403", case="anonymous requests off")   the same, in one case of its parameters
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ("Mark", "read")


@dataclass(frozen=True, slots=True)
class Mark:
    """One text of one marker.

    Attributes:
        text: the marker's argument, such as SDK 8.
        test: the test's name, after its class if it has one, and with its case if the marker names one.
        node: the test's pytest node id, relative to the checkout.
    """

    text: str
    test: str
    node: str


def read(root: Path, marker: str) -> tuple[list[Mark], list[str]]:
    """Return the marks of the tests of a checkout, and one line for each wrong marker.

    Args:
        root: the checkout; its tests are in ``tests``.
        marker: ``rule`` or ``mutant``.
    """
    marks: list[Mark] = []
    wrong: list[str] = []
    for path in sorted((root / "tests").rglob("*.py")):
        tree, file = ast.parse(path.read_text("utf-8")), path.relative_to(root).as_posix()
        lines = {
            id(node): node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is(node, marker)
        }
        for test, decorators in _tests(tree.body) if path.name.startswith("test_") else ():
            for decorator in decorators:
                if isinstance(decorator, ast.Call) and lines.pop(id(decorator.func), 0):
                    try:
                        marks += _marks(decorator, file, test)
                    except ValueError as error:
                        wrong.append(f"{file}:{decorator.lineno}: {marker}: {error}")
        wrong += [f"{file}:{line}: {marker}: the marker is not on a test function" for line in lines.values()]
    # In an order that does not change when a file is moved.
    return sorted(marks, key=lambda mark: (mark.test, mark.node)), wrong


def _is(node: ast.Attribute, marker: str) -> bool:
    return node.attr == marker and ast.unparse(node.value) in {"pytest.mark", "mark"}


def _tests(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, list[ast.expr]]]:
    """Yield each test that pytest collects from a module or class: its name, and its decorators."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield prefix + node.name, node.decorator_list
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _tests(node.body, f"{prefix}{node.name}::")


def _marks(decorator: ast.Call, file: str, test: str) -> list[Mark]:
    try:
        texts = [ast.literal_eval(argument) for argument in decorator.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in decorator.keywords}
    except ValueError:
        raise ValueError("an argument is not a literal") from None
    if not texts or not named.keys() <= {"case"} or not all(isinstance(t, str) for t in (*texts, *named.values())):
        raise ValueError("the arguments must be one or more texts, and optionally case=TEXT")
    test += f"[{named['case']}]" if named else ""
    return [Mark(text, test, f"{file}::{test}") for text in texts]
