"""The directory that a web server serves as an issuer: its two documents, and a file of ours beside them."""

from pathlib import Path
from typing import Final

from sidecar.endpoint.files import write_atomic
from sidecar.errors import SettingsError
from sidecar.issuer.documents import DISCOVERY_PATH
from sidecar.issuer.publish import KEYS_PATH

__all__ = ("FILE_MAX_BYTES", "GONE_FILE", "SiteFile", "read_file", "site_files")

GONE_FILE: Final = ".aws-oidc-sidecar-keys.json"
"""Not for the public: since when each kept key is gone from the cluster."""

FILE_MAX_BYTES: Final = 1 << 20  # a document of an API server has a few kilobytes
_MODE: Final = 0o644  # a web server of any user reads them
_DIRECTORY_MODE: Final = 0o755


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        SettingsError: it cannot be read, or is larger than any document.
    """
    content = _read(path)
    if content is None:
        raise SettingsError(str(path), "is not there", "give a file that is")
    return content


class SiteFile:
    """A file of such a directory, as it was when this was made.

    Args:
        path: which.

    Raises:
        SettingsError: it is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = _read(path)

    def put(self, content: bytes) -> bool:
        """Write it, whole or not at all, where its content changes; return whether it did.

        Raises:
            SettingsError: it cannot be written; it is as it was.
        """
        if content == self.content:
            return False
        try:
            _make(self.path.parent)
            write_atomic(self.path, content, _MODE)
        except OSError as error:
            fix = "give a directory that this user can write"
            raise SettingsError(str(self.path), f"cannot be written ({error.strerror})", fix) from None
        return True


def site_files(directory: Path) -> tuple[SiteFile, SiteFile, SiteFile]:
    """Return the discovery document, the key set, and the file of ours.

    Raises:
        SettingsError: one of them is there and cannot be read.
    """
    names = DISCOVERY_PATH[1:], KEYS_PATH[1:], GONE_FILE
    discovery, keys, gone = (SiteFile(directory / name) for name in names)
    return discovery, keys, gone


def _read(path: Path) -> bytes | None:
    """Return the content; None where there is no such file."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(str(path), f"cannot be read ({error.strerror})", "give one that can") from None
    if len(content) > FILE_MAX_BYTES:
        raise SettingsError(str(path), f"is over {FILE_MAX_BYTES} bytes", "give the document")
    return content


def _make(directory: Path) -> None:
    if not directory.is_dir():
        _make(directory.parent)
        directory.mkdir()
        directory.chmod(_DIRECTORY_MODE)  # whatever the umask: a web server has to get in
