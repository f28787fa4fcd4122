"""``credentials.json`` in each profile's volume, for ``credential_process = cat <file>``.

For images without Python. Some SDKs use expired credentials without an error (CRT, C++, Rust, Go), so the file exists
only while its credentials may be served.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from sidecar.credentials.bodies import BodyError, process_body
from sidecar.model import Held, Profile
from sidecar.volumes.atomic import remove_leftovers, write_atomic
from sidecar.volumes.file_thread import FileThread

__all__ = ("CREDENTIALS_FILE", "ProcessFiles")

CREDENTIALS_FILE: Final = "credentials.json"


class ProcessFiles:
    """Writes one file for each served profile; all methods must be called on the event loop's thread.

    Args:
        directory: has a directory for each profile.
        modes: the permissions of each profile's file; has each served profile before ``set_profiles`` gets it.
        thread: writes the files.
        report: called on that thread after each write or removal, with the profile and the reason of a failure, or "".
        failed: called on that thread with a profile whose volume failed: call ``retry`` for it after a while.
    """

    def __init__(
        self,
        directory: Path,
        modes: Mapping[str, int],
        thread: FileThread,
        *,
        report: Callable[[str, str], None],
        failed: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._modes = modes
        self._thread = thread
        self._report = report
        self._failed = failed
        self._served: frozenset[str] = frozenset()
        self._wanted: dict[str, tuple[bytes | None, str]] = {}

    def set_profiles(self, profiles: Sequence[Profile]) -> None:
        """Replace the profiles; the files of removed ones are removed."""
        served = frozenset(profile.name for profile in profiles if profile.served)
        for removed in self._wanted.keys() - served:
            self.changed(removed, None)
            del self._wanted[removed]
        self._served = served

    def remove_others(self) -> None:
        """Remove the files of profiles that are not served; a daemon with other profiles may have left them."""
        served = self._served

        def remove() -> None:
            try:
                others = [entry.name for entry in self._directory.iterdir() if entry.name not in served]
            except OSError as error:
                self._report(self._directory.name, error.strerror or type(error).__name__)
                return
            for name in others:
                self._put(name, None, 0, "")

        self._thread.submit(remove)

    def changed(self, profile: str, held: Held | None) -> None:
        """Write or remove a profile's file; a listener of the store."""
        if profile not in self._served:
            return  # a source of other profiles: no application may get its credentials
        body, reason = None, ""
        if held is not None:
            try:
                body = process_body(held.result.credentials)
            except BodyError as error:
                reason = str(error.problem)
        self._wanted[profile] = body, reason
        self.retry(profile)

    def retry(self, profile: str) -> None:
        """Write or remove the file again, by the newest credentials; does nothing if the profile was removed since."""
        if profile in self._wanted:
            body, reason = self._wanted[profile]
            mode = self._modes[profile]
            self._thread.submit(lambda: self._put(profile, body, mode, reason))

    def _put(self, profile: str, body: bytes | None, mode: int, reason: str) -> None:
        path = self._directory / profile / CREDENTIALS_FILE
        try:
            remove_leftovers(path)
            if body is None:
                path.unlink(missing_ok=True)
            else:
                _replace(path, body, mode)
        except OSError as error:
            self._report(profile, error.strerror or type(error).__name__)
            self._failed(profile)
        else:
            self._report(profile, reason)


def _replace(path: Path, body: bytes, mode: int) -> None:
    try:
        write_atomic(path, body, mode)
    except OSError:
        # The previous credentials would stay there past their expiration; and their pages may be the missing space.
        path.unlink(missing_ok=True)
        write_atomic(path, body, mode)
