"""The directory that a web server serves as an issuer: its two documents, and a file with the times of old keys."""

from pathlib import Path
from typing import Final

from sidecar.errors import SettingsError
from sidecar.issuer.documents import DISCOVERY_PATH
from sidecar.issuer.publish import KEYS_PATH
from sidecar.volumes.atomic import write_atomic

__all__ = ("FILE_MAX_BYTES", "GONE_FILE", "SiteFile", "read_file", "site_files")

GONE_FILE: Final = ".aws-oidc-sidecar-keys.json"
"""Name of a file that is not for the public: since when each kept key is gone from the cluster."""

FILE_MAX_BYTES: Final = 1 << 20  # a document of an API server has a few kilobytes
_MODE: Final = 0o644  # the web server may run as any user
_DIRECTORY_MODE: Final = 0o755


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        SettingsError: the file does not exist, cannot be read, or is larger than `FILE_MAX_BYTES`.
    """
    content = _read(path)
    if content is None:
        raise SettingsError(str(path), "does not exist", "give an existing file")
    return content


class SiteFile:
    """A file of such a directory, with the content that it had when this object was created.

    Args:
        path: path of the file; the file may be missing.

    Raises:
        SettingsError: the file exists and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = _read(path)

    def put(self, content: bytes) -> bool:
        """Write the file atomically if its content differs; return whether it was written.

        Raises:
            SettingsError: the file cannot be written; it is unchanged.
        """
        if content == self.content:
            return False
        try:
            _make(self.path.parent)
            write_atomic(self.path, content, _MODE)
        except OSError as error:
            fix = "give a directory that this user can write to"
            raise SettingsError(str(self.path), f"cannot be written ({error.strerror})", fix) from None
        return True


def site_files(directory: Path) -> tuple[SiteFile, SiteFile, SiteFile]:
    """Return the discovery document, the key set, and the file `GONE_FILE`.

    Raises:
        SettingsError: one of them exists and cannot be read.
    """
    names = DISCOVERY_PATH[1:], KEYS_PATH[1:], GONE_FILE
    discovery, keys, gone = (SiteFile(directory / name) for name in names)
    return discovery, keys, gone


def _read(path: Path) -> bytes | None:
    """Return the content; None if the file does not exist."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(str(path), f"cannot be read ({error.strerror})", "give a readable file") from None
    if len(content) > FILE_MAX_BYTES:
        raise SettingsError(str(path), f"is over {FILE_MAX_BYTES} bytes", "give a discovery document or a key set")
    return content


def _make(directory: Path) -> None:
    if not directory.is_dir():
        _make(directory.parent)
        directory.mkdir()
        directory.chmod(_DIRECTORY_MODE)  # for any umask: the web server has to read it
