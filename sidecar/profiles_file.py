"""Reads the profiles file."""

from pathlib import Path

from sidecar.errors import SettingsError
from sidecar.profiles import PROFILES_MAX_BYTES

__all__ = ("read_profiles",)


def read_profiles(path: Path) -> str:
    """Return the text of the profiles file.

    Raises:
        SettingsError: it cannot be read, is too large, or is not UTF-8.
    """
    fix = "mount the ConfigMap with the profiles there"
    try:
        with path.open("rb") as file:
            content = file.read(PROFILES_MAX_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise SettingsError(str(path), f"cannot be read ({error.strerror})", fix) from None
    except UnicodeDecodeError:
        raise SettingsError(str(path), "is not UTF-8 text", fix) from None
    if len(content) > PROFILES_MAX_BYTES:
        raise SettingsError(str(path), f"is over {PROFILES_MAX_BYTES} bytes", fix)
    return text
