"""``credentials.json`` in each profile's volume: what ``credential_process = cat <file>`` prints.

For images without Python. Some SDKs use what has expired without a word (CRT, C++, Rust, Go), so the file is there only
while its set may be served.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sidecar.endpoint.file_thread import FileThread
from sidecar.endpoint.files import remove_leftovers, write_atomic
from sidecar.endpoint.wire import BodyError, process_body
from sidecar.model import Held

__all__ = ("CREDENTIALS_FILE", "ProcessFiles")

CREDENTIALS_FILE: Final = "credentials.json"


class ProcessFiles:
    """Keeps one file for each profile that is served; all methods belong to the event loop's thread.

    Args:
        directory: holds a folder for each profile.
        thread: does the work.
        told: called on that thread after each piece of work with the profile and why there is no file that should
            be there, or one that should not; "" where all is well.
        failed: called on that thread with a profile whose volume did not do as it should: ``retry`` it after a while.
    """

    def __init__(
        self,
        directory: Path,
        thread: FileThread,
        *,
        told: Callable[[str, str], None],
        failed: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._thread = thread
        self._told = told
        self._failed = failed
        self._modes: dict[str, int] = {}
        self._wanted: dict[str, tuple[bytes | None, str]] = {}

    def set_profiles(self, modes: Mapping[str, int]) -> None:
        """Have these profiles from now on, with the permissions of each one's file; files of others are removed."""
        for gone in set(self._wanted) - set(modes):
            self.changed(gone, None)
            del self._wanted[gone]
        self._modes = dict(modes)

    def changed(self, profile: str, held: Held | None) -> None:
        """Write or remove a profile's file; a listener of the store."""
        if profile not in self._modes:
            return  # the source of others, which nobody may ask for
        body, why = None, ""
        if held is not None:
            try:
                body = process_body(held.grant.credentials)
            except BodyError as error:
                why = str(error.problem)
        self._wanted[profile] = body, why
        self.retry(profile)

    def retry(self, profile: str) -> None:
        """Do again what failed, with the newest set; nothing where the profile has gone since."""
        if profile in self._wanted:
            body, why = self._wanted[profile]
            mode = self._modes[profile]
            self._thread.submit(lambda: self._put(profile, body, mode, why))

    def _put(self, profile: str, body: bytes | None, mode: int, why: str) -> None:
        path = self._directory / profile / CREDENTIALS_FILE
        try:
            remove_leftovers(path)
            if body is None:
                path.unlink(missing_ok=True)
            else:
                _replace(path, body, mode)
        except OSError as error:
            self._told(profile, error.strerror or type(error).__name__)
            self._failed(profile)
        else:
            self._told(profile, why)


def _replace(path: Path, body: bytes, mode: int) -> None:
    try:
        write_atomic(path, body, mode)
    except OSError:
        # The former set would expire there unseen; and its pages may be the room that is missing.
        path.unlink(missing_ok=True)
        write_atomic(path, body, mode)
