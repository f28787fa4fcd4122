"""The walk over imports, with programs of a few lines."""

from pathlib import Path

import pytest

from image.imports import Closure, Tree, closure


def walk(folder: Path, *left_out: str, program: str, **sources: str) -> Closure:
    """Follow a program's imports; ``a_b`` is the source of the module ``a.b``, and ``a_`` that of the package ``a``."""
    for name, text in {"program": program, **sources}.items():
        package, _, module = name.rpartition("_")
        file = folder / package / f"{module or '__init__'}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return closure(Tree([folder], {"made.up"}, left_out), ["program"])


def test_it_follows_each_form_of_import(tmp_path: Path) -> None:
    found = walk(
        tmp_path,
        program="import a\nfrom package import b\nimport importlib\n",
        a="def later():\n    from package.c import anything\n",
        package_="",
        package_b="from . import d\n",
        package_c="",
        package_d="def run():\n    import_module('e')\n",
        e="import sys, made.up\n",
        importlib="",
        made="",
        unused="",
    )
    assert found.unresolved == []
    assert found.modules == {
        "program": "", "a": "program", "package": "program", "package.b": "program", "importlib": "program",
        "package.c": "a", "package.d": "package.b", "e": "package.d", "sys": "e", "made": "e", "made.up": "e",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "import gone",
        "from gone import anything",
        "def run():\n    import gone",
        "try:\n    import gone\nexcept ValueError:\n    pass",
        "if something():\n    import gone",
        "try:\n    import there\nexcept ImportError:\n    import gone",
    ],
)
def test_an_import_of_a_missing_module_is_reported(tmp_path: Path, text: str) -> None:
    (unresolved,) = walk(tmp_path, program=text, there="").unresolved
    assert unresolved.startswith("program:")
    assert unresolved.endswith(": gone")


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import gone\nexcept ImportError:\n    pass",
        "def run():\n    try:\n        import gone\n    except Exception:\n        pass",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import gone",
        "import sys\nif sys.platform.startswith('win'):\n    import gone\nelse:\n    pass",
        "import sys\nif sys.version_info < (3, 8):\n    import gone",
        "if __name__ == '__main__':\n    import gone",
    ],
)
def test_an_optional_import_of_a_missing_module_is_not_reported(tmp_path: Path, text: str) -> None:
    found = walk(tmp_path, program=text, typing="")
    assert found.unresolved == []
    assert "gone" not in found.modules


@pytest.mark.parametrize(
    ("text", "unresolved"),
    [
        ("import big.part", ["program:1: big"]),
        ("from big import part", ["program:1: big", "program:1: big"]),
        ("def run():\n    import big.part", []),
        ("import os\nif 'nt' in os.names:\n    import big", []),
        ("try:\n    import big\nexcept ImportError:\n    pass", []),
    ],
)
def test_a_left_out_module_must_not_be_imported_at_the_top_of_a_module(
    tmp_path: Path, text: str, unresolved: list[str]
) -> None:
    found = walk(tmp_path, "big", program=text, big_="", big_part="", os="")
    assert found.unresolved == unresolved
    assert found.cut == {"big"}
    assert "big" not in found.modules
