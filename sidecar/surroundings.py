"""Looks at what ``appenv_findings`` judges: the home and the files of the application beside us."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sidecar.appenv import TOKEN_FILE
from sidecar.appenv_findings import AUTH_TOKEN, HOME_FILES, Surroundings

__all__ = ("surroundings",)

# Ours are 43 characters; one that comes from a Secret has at most 128.
_AUTH_TOKEN_MAX_BYTES: Final = 4_096
_CONFIG_MAX_BYTES: Final = 65_536
# The three ways of docs/application.md: the program, the shim copied alone, and the file in the profile's volume.
_ASKS_US: Final = re.compile(rb"^[ \t]*credential_process[ \t]*=.*(?:aws-oidc-sidecar|shim\.py)", re.MULTILINE)
_HAS_KEYS: Final = re.compile(rb"^[ \t]*aws_access_key_id[ \t]*=", re.MULTILINE)


def surroundings(environment: Mapping[str, str], wanted: Mapping[str, str]) -> Surroundings:
    """Return where an application runs.

    Args:
        environment: its variables; its home is that of ``HOME``.
        wanted: what ``appenv.variables`` says that it needs.
    """
    home = environment.get("HOME")
    at_home = {name: Path(home, name[2:]) for name in HOME_FILES} if home else {}
    named = {variable: Path(environment[variable]) for variable in HOME_FILES.values() if environment.get(variable)}
    # A variable leads away from the file at home.
    read = named | {name: path for name, path in at_home.items() if HOME_FILES[name] not in named}
    return Surroundings(
        environment=environment,
        wanted=wanted,
        auth_token=_read(Path(wanted[TOKEN_FILE]), _AUTH_TOKEN_MAX_BYTES) if environment.get(AUTH_TOKEN) else None,
        home_files=frozenset(name for name, path in at_home.items() if os.access(path, os.R_OK)),
        by_process=frozenset(name for name, path in read.items() if _by_process(path)),
    )


def _by_process(path: Path) -> bool:
    content = _read(path, _CONFIG_MAX_BYTES) or b""
    return _ASKS_US.search(content) is not None and _HAS_KEYS.search(content) is None


def _read(path: Path, most_bytes: int) -> bytes | None:
    try:
        # A pipe or a device in place of the file would hold us up.
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(most_bytes)
    except OSError:
        return None
