"""Reads the text files whose paths are in settings and flags."""

from pathlib import Path

from sidecar.errors import SettingsError
from sidecar.limits import PROFILES_MAX_BYTES

__all__ = ("read_profiles", "read_text")


def read_profiles(path: Path) -> str:
    """Return the text of the profiles file.

    Raises:
        SettingsError: the file cannot be read, is too large, or is not UTF-8.
    """
    return read_text(path, PROFILES_MAX_BYTES, "mount the ConfigMap with the profiles there")


def read_text(path: Path, most_bytes: int, fix: str) -> str:
    """Return the text of a file.

    Args:
        path: of the file.
        most_bytes: the maximum size.
        fix: what to do, for the message of an error.

    Raises:
        SettingsError: the file cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise SettingsError(str(path), f"cannot be read ({error.strerror})", fix) from None
    except UnicodeDecodeError:
        raise SettingsError(str(path), "is not UTF-8 text", fix) from None
    if len(content) > most_bytes:
        raise SettingsError(str(path), f"is over {most_bytes} bytes", fix)
    return text
