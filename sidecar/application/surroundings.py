"""Reads the environment, the home directory and the files of the application, for ``rules``."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sidecar.application.rule import AUTH_TOKEN, BOTO_CONFIG, HOME_FILES, JAVA_CREDENTIALS_FILE, Surroundings
from sidecar.application.variables import AUTH_TOKEN_FILE_VARIABLE

__all__ = ("surroundings",)

# A generated auth token has 43 characters; an auth token from a Secret has at most 128.
_AUTH_TOKEN_MAX_BYTES: Final = 4_096
_CONFIG_MAX_BYTES: Final = 65_536
# The forms of docs/application.md that call the sidecar: the program and a copy of the shim.
_USES_SIDECAR: Final = re.compile(rb"^[ \t]*credential_process[ \t]*=.*(?:aws-oidc-sidecar|shim\.py)", re.MULTILINE)
# The keys of a profile that give credentials: https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
_GIVES_CREDENTIALS: Final = re.compile(
    rb"^[ \t]*(aws_access_key_id|credential_process|credential_source|login_session|role_arn|source_profile|sso_\w+"
    rb"|web_identity_token_file)[ \t]*=",
    re.MULTILINE,
)
_REGION: Final = re.compile(rb"^[ \t]*region[ \t]*=[ \t]*([^\s;#]+)", re.MULTILINE)
_HAS_KEYS: Final = re.compile(rb"^[ \t]*(?:aws_access_key_id|AWSAccessKeyId)[ \t]*=", re.MULTILINE)


def surroundings(environment: Mapping[str, str], wanted: Mapping[str, str]) -> Surroundings:
    """Return the environment and the files of an application.

    Args:
        environment: its variables; ``HOME`` is its home directory.
        wanted: the variables that it needs, from ``variables``.
    """
    home = environment.get("HOME")
    at_home = {name: Path(home, name[2:]) for name in HOME_FILES} if home else {}
    named = {variable: Path(environment[variable]) for variable in HOME_FILES.values() if environment.get(variable)}
    # With the variable, SDKs do not read the file at home.
    read = named | {name: path for name, path in at_home.items() if HOME_FILES[name] not in named}
    of_some = {name: Path(environment[name]) for name in (JAVA_CREDENTIALS_FILE, BOTO_CONFIG) if environment.get(name)}
    return Surroundings(
        environment=environment,
        wanted=wanted,
        auth_token=_read(Path(wanted[AUTH_TOKEN_FILE_VARIABLE]), _AUTH_TOKEN_MAX_BYTES)
        if environment.get(AUTH_TOKEN)
        else None,
        home_files=frozenset(name for name, path in at_home.items() if os.access(path, os.R_OK)),
        by_process=frozenset(name for name, path in read.items() if _by_process(path)),
        harmless=frozenset(name for name, path in (read | of_some).items() if _harmless(path, name)),
        regions_of_files=_region(read, environment),
    )


def _by_process(path: Path) -> bool:
    content = _read(path, _CONFIG_MAX_BYTES) or b""
    return _USES_SIDECAR.search(content) is not None and _HAS_KEYS.search(content) is None


def _harmless(path: Path, name: str) -> bool:
    if not os.path.lexists(path):
        return True
    content = _read(path, _CONFIG_MAX_BYTES)
    if content is None or len(content) == _CONFIG_MAX_BYTES:
        return False
    if name == BOTO_CONFIG:
        return _HAS_KEYS.search(content) is None
    return not any(map(_GIVES_CREDENTIALS.search, _sections(content, "default")))


def _region(paths: Mapping[str, Path], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the region of the profile that SDKs use, as ``Surroundings.regions_of_files``."""
    profile = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or "default"
    # SDKs read both files, and the credentials file first.
    for name, path in sorted(paths.items(), key=lambda each: "config" in each[0].lower()):
        for section in _sections(_read(path, _CONFIG_MAX_BYTES) or b"", profile):
            if found := _REGION.search(section):
                return {name: found[1].decode("ascii", "replace")}
    return {}


def _sections(content: bytes, profile: str) -> list[bytes]:
    """Return the sections of a profile, without their first lines."""
    name = re.escape(profile.encode("utf-8", "surrogateescape"))
    start = rb"^[ \t]*\[[ \t]*(?:profile[ \t]+)?" + name + rb"[ \t]*\]"
    return re.findall(start + rb"(.*?)(?=^[ \t]*\[|\Z)", content, re.MULTILINE | re.DOTALL)


def _read(path: Path, most_bytes: int) -> bytes | None:
    try:
        # Reading a pipe or a device could block.
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(most_bytes)
    except OSError:
        return None
