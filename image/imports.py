"""Finds the modules that a program can import, by reading its sources without running them.

A trace of a run finds the modules of that run. This module follows every reachable import statement, also those of
error paths and of rare platforms, and a module that is not found must be listed by name.
"""

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Final, NamedTuple

__all__ = ("Closure", "Import", "Tree", "closure", "read_imports")

# Names in conditions around an import, with their values in the image.
_TYPING = SimpleNamespace(TYPE_CHECKING=False)
_FACTS: Final = {
    "sys": SimpleNamespace(platform="linux", version_info=sys.version_info),
    "os": SimpleNamespace(name="posix"),
    "TYPE_CHECKING": False,
    "typing": _TYPING,
    "t": _TYPING,
}
_SUFFIXES: Final = (*importlib.machinery.SOURCE_SUFFIXES, *importlib.machinery.EXTENSION_SUFFIXES)


class Import(NamedTuple):
    """One import statement, or one name of it.

    Attributes:
        name: absolute name of the module.
        line: line number in the importing file.
        sure: it runs whenever its module is imported: at the top, under no condition, and not in a ``try`` that
            catches ImportError. If it fails, the importing module cannot be imported.
        guarded: a ``try`` around it catches ImportError.
    """

    name: str
    line: int
    sure: bool
    guarded: bool


class Tree:
    """The folders in which modules are searched.

    Args:
        roots: folders, in the order of ``sys.path``.
        made: modules without a file, which other modules add to ``sys.modules``.
        left_out: modules that are not followed, with their submodules; they can exist or not.
    """

    def __init__(self, roots: Sequence[Path], made: Iterable[str], left_out: Iterable[str]) -> None:
        self._roots = roots
        self._without_file = frozenset((*sys.builtin_module_names, *made))
        self._left_out = frozenset(left_out)

    def has(self, name: str) -> bool:
        """Return whether a module of this name exists."""
        return name in self._without_file or self.file(name) is not None

    def left_out(self, name: str) -> str:
        """Return the name in ``left_out`` that covers this module, its own or that of a package; "" if none does."""
        return next((around for around in _packages(name) if around in self._left_out), "")

    def file(self, name: str) -> Path | None:
        """Return the file of a module; None for a module of the interpreter, one in ``made``, or an unknown one."""
        relative = name.replace(".", "/")
        for root in self._roots:
            for candidate in (f"{relative}/__init__.py", *(f"{relative}{suffix}" for suffix in _SUFFIXES)):
                if (root / candidate).is_file():
                    return root / candidate
        return None


class Closure(NamedTuple):
    """What ``closure`` found.

    Attributes:
        modules: each reachable module, with the first module that imports it; "" for an entry.
        files: the files of these modules that have one.
        unresolved: "importer:line: module" for every import that can fail and is not expected to.
        cut: the names of ``left_out`` that some import needs.
    """

    modules: dict[str, str]
    files: dict[str, Path]
    unresolved: list[str]
    cut: set[str]


def closure(tree: Tree, entries: Iterable[str]) -> Closure:
    """Follow every import, starting from these modules."""
    found = Closure({}, {}, [], set())
    queue = [("", Import(entry, 0, sure=True, guarded=False)) for entry in entries]
    # Breadth first, so that the named importer is the nearest to an entry. The loop appends to the list.
    for importer, wanted in queue:
        for name in _packages(wanted.name):
            cut = tree.left_out(name)
            found.cut.update([cut] if cut else [])
            if cut or not tree.has(name):
                # Two failures are expected: of a module in left_out, unless the import always runs; and of a module
                # that does not exist, if the importer catches ImportError.
                if wanted.sure if cut else not wanted.guarded:
                    found.unresolved.append(f"{importer}:{wanted.line}: {name}")
                break
            if name not in found.modules:
                found.modules[name] = importer
                file = tree.file(name)
                if file is not None:
                    found.files[name] = file
                    queue += [(name, one) for one in read_imports(tree, name, file)]
    return found


def _packages(name: str) -> list[str]:
    """Return the names of the packages of a module, the outermost first, and its own name."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def read_imports(tree: Tree, name: str, file: Path) -> list[Import]:
    """Return the imports of the module in this file, in the order of its text; none for a compiled module."""
    if file.suffix != ".py":
        return []
    visitor = _Visitor(tree, name, name if file.name == "__init__.py" else name.rpartition(".")[0])
    visitor.visit(ast.parse(file.read_bytes()))
    return visitor.found


class _Visitor(ast.NodeVisitor):
    def __init__(self, tree: Tree, name: str, package: str) -> None:
        self._tree = tree
        self._name = name
        self._package = package
        self._conditional = False
        self._guarded = False
        self.found: list[Import] = []

    def _add(self, name: str, line: int) -> None:
        self.found.append(Import(name, line, not (self._conditional or self._guarded), self._guarded))

    def _visit_all(self, nodes: Iterable[ast.AST], *, conditional: bool = False, guarded: bool = False) -> None:
        before = self._conditional, self._guarded
        self._conditional |= conditional
        self._guarded |= guarded
        for node in nodes:
            self.visit(node)
        self._conditional, self._guarded = before

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), self._package)
        self._add(base, node.lineno)
        for alias in node.names:
            name = f"{base}.{alias.name}"
            if self._tree.has(name) or self._tree.left_out(name):
                self._add(name, node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func).rpartition(".")[2]
        first = node.args[0] if node.args else None
        if called in {"import_module", "__import__"} and isinstance(first, ast.Constant):
            self._add(str(first.value), node.lineno)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        truth = _truth(node.test, self._name)
        self.visit(node.test)
        if truth is not False:
            self._visit_all(node.body, conditional=truth is None)
        if truth is not True:
            self._visit_all(node.orelse, conditional=truth is None)

    def visit_Try(self, node: ast.Try) -> None:
        catches = any(
            handler.type is None or {"ImportError", "ModuleNotFoundError", "Exception"} & _names(handler.type)
            for handler in node.handlers
        )
        self._visit_all(node.body, guarded=catches)
        self._visit_all([*node.handlers, *node.orelse, *node.finalbody], conditional=True)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        # The body runs only if the function is called.
        self._visit_all(ast.iter_child_nodes(node), conditional=True)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast.NodeVisitor wants these names
    visit_Lambda = visit_FunctionDef  # noqa: N815


def _names(node: ast.expr) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _truth(test: ast.expr, name: str) -> bool | None:
    """Return the value of a condition in the image, or None if it depends on more than ``_FACTS``."""
    facts = {**_FACTS, "__name__": name, "__builtins__": {}}
    try:
        # The text is from the packages that the image runs; it has access to the facts and to no builtin.
        return bool(eval(compile(ast.Expression(test), "condition", "eval"), facts))  # noqa: S307
    except Exception:  # noqa: BLE001 - the condition needs another name: the value is None
        return None
