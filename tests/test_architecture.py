"""Rules that hold for every file: what is public is listed, files stay small, no text names this machine."""

import ast
import importlib
import pkgutil
import subprocess
from pathlib import Path

import pytest

import sidecar

ROOT = Path(__file__).parent.parent
MODULES = sorted(found.name for found in pkgutil.walk_packages(sidecar.__path__, "sidecar."))
# Names nothing but constants; to list each twice would help nobody.
CONSTANTS = "sidecar.limits"
PACKAGES = (
    "sidecar.tokens",
    "sidecar.exchange",
    "sidecar.credentials",
    "sidecar.endpoint",
    "sidecar.issuer",
    "sidecar.bootstrap",
    "sidecar.doctor",
    "sidecar.doctor.checks",
)


@pytest.mark.parametrize("name", [name for name in MODULES if name not in (*PACKAGES, CONSTANTS)])
def test_all_lists_what_a_module_defines_and_nothing_else(name: str) -> None:
    module = importlib.import_module(name)
    assert isinstance(module.__all__, tuple)
    assert list(module.__all__) == sorted(module.__all__, key=_as_ruff_sorts)
    path = Path(str(module.__file__))
    defined = {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    }
    assert defined <= set(module.__all__), "public, but not listed"
    assert all(hasattr(module, listed) for listed in module.__all__)


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants first, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_says_what_it_may_do(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines()]


def test_no_source_file_is_over_300_lines() -> None:
    assert [
        path for path in _tracked("sidecar/*.py", "examples/*.py") if len(path.read_text().splitlines()) > 300
    ] == []
