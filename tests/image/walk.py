"""Runs in the image with the image's interpreter: follows the imports of all modules, and imports each module.

python3 -I walk.py RULES        RULES is image/manifest.toml as JSON; prints a report as JSON
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

# The test mounts the checkout's image/ into the directory of this file.
sys.path.append(str(Path(__file__).parent))

from image.imports import Tree, closure

PACKAGES = Path("/usr/local/lib/python3.13/dist-packages")


def report(rules: dict[str, Any]) -> dict[str, Any]:
    """Return the result of the walk, and the errors of the imports."""
    roots = [Path(entry) for entry in sys.path if Path(entry).is_dir() and Path(entry) != Path(__file__).parent]
    found = closure(Tree(roots, rules["made"], rules["left_out"]), rules["entries"])
    return {
        "modules": found.modules,
        "files": sorted(str(file) for file in found.files.values()),
        "unresolved": found.unresolved,
        "cut": sorted(found.cut),
        "failed": dict(filter(None, map(failure, found.modules))),
    }


def failure(name: str) -> tuple[str, str] | None:
    """Import a module; return its name and the error, or None."""
    try:
        importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - each error is reported
        return name, repr(error)
    return None


if __name__ == "__main__":
    print(json.dumps(report(json.loads(sys.argv[1]))))  # noqa: T201 - the test reads the output
