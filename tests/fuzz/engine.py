"""Runs a target under atheris."""

import importlib
import sys
from pathlib import Path
from typing import Any

__all__ = ("CORPUS", "TARGETS", "fuzz")

CORPUS = Path(__file__).parent / "corpus"
TARGETS = ("http", "jwt", "answers", "profiles", "state")

# The code under test, and configparser, which parses the profiles file.
_WATCHED = ("sidecar", "configparser")


def fuzz(name: str) -> None:
    """Fuzz the target of this name until libFuzzer ends, by the options in ``sys.argv``; does not return."""
    # It comes from requirements/fuzz.txt, which only the fuzzing needs.
    atheris: Any = importlib.import_module("atheris")
    # atheris instruments modules while they are imported, and the script has imported them already.
    for module in [one for one in sys.modules if one.partition(".")[0] in {*_WATCHED, "tests"}]:
        del sys.modules[module]
    with atheris.instrument_imports(include=list(_WATCHED)):
        check = importlib.import_module(f"tests.fuzz.fuzz_{name}").check
    atheris.Setup([*sys.argv, "-timeout=20", "-rss_limit_mb=1024"], check)
    atheris.Fuzz()
