"""The interpreter that ``make`` selects: with real make, and interpreters that report another version."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Reports a version, and ends when make uses it to create the virtual environment.
FAKE = """#!/bin/sh
test "$1" = -c || {{ echo "taken: {name}"; exit 9; }}
shift
exec {python} -c 'import sys
sys.version_info = ({version}, 0, "final", 0)
exec(sys.argv.pop(1))' "$@"
"""
Made = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def make(tmp_path: Path) -> Made:
    """Run ``make install`` with interpreters on PATH, given as {name: version}, and with arguments such as PYTHON."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "sh", "touch"):
        found = shutil.which(name)
        assert found is not None, name
        (programs / name).symlink_to(found)

    def run(versions: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        for name, version in versions.items():
            fake = programs / name
            fake.write_text(FAKE.format(name=name, version=version.replace(".", ", "), python=sys.executable))
            fake.chmod(0o755)
        command = ["make", "-C", str(ROOT), "install", f"VENV={tmp_path}/venv", *arguments]
        # Without the variables of a make that runs these tests.
        return subprocess.run(
            command, env={"PATH": str(programs)}, capture_output=True, text=True, check=False, timeout=50
        )

    return run


@pytest.mark.parametrize(
    ("versions", "taken"),
    [
        ({"python3": "3.11"}, "python3"),
        ({"python3": "3.14"}, "python3"),
        ({"python3": "3.10", "python3.14": "3.14"}, "python3.14"),
        ({"python3": "3.15", "python3.13": "3.13"}, "python3.13"),
    ],
    ids=str,
)
def test_the_first_interpreter_with_a_tested_version_is_selected(
    make: Made, versions: dict[str, str], taken: str
) -> None:
    done = make(versions)
    assert f"taken: {taken}\n" in done.stdout, done.stderr
    assert "warning" not in done.stderr


@pytest.mark.parametrize("arguments", [(), ("PYTHON=python3",)], ids=["found", "given"])
def test_a_newer_interpreter_is_selected_with_a_warning(make: Made, arguments: tuple[str, ...]) -> None:
    done = make({"python3": "3.15"}, *arguments)
    assert "taken: python3\n" in done.stdout
    assert done.stderr.splitlines()[0] == "make: warning: Python 3.15 is not tested, 3.11 to 3.14 are"


@pytest.mark.parametrize(
    ("versions", "arguments", "error"),
    [
        ({}, (), "make: no Python 3.11 or newer on PATH; set PYTHON=/path/to/python3"),
        ({"python3": "3.10"}, (), "make: no Python 3.11 or newer on PATH; set PYTHON=/path/to/python3"),
        ({"py": "3.10"}, ("PYTHON=py",), "make: PYTHON is 3.10, which is too old: set it to 3.11 or newer"),
    ],
    ids=["none", "found", "given"],
)
def test_an_older_interpreter_is_an_error_of_one_line(
    make: Made, versions: dict[str, str], arguments: tuple[str, ...], error: str
) -> None:
    done = make(versions, *arguments)
    assert "taken" not in done.stdout
    # make adds a line with the failed target.
    assert [line for line in done.stderr.splitlines() if "***" not in line] == [error]


def test_the_classifiers_are_the_tested_versions() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert [f"3.{minor}" for minor in range(9, 20) if f':: Python :: 3.{minor}"' in text] == [
        "3.11", "3.12", "3.13", "3.14",
    ]  # fmt: skip
