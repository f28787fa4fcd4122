"""Reads the profiles file."""

from pathlib import Path

from sidecar.flags import read_text
from sidecar.profiles import PROFILES_MAX_BYTES

__all__ = ("read_profiles",)


def read_profiles(path: Path) -> str:
    """Return the text of the profiles file.

    Raises:
        SettingsError: it cannot be read, is too large, or is not UTF-8.
    """
    return read_text(path, PROFILES_MAX_BYTES, "mount the ConfigMap with the profiles there")
