"""The saved state: the last credentials of each profile, in a memory volume that only the sidecar mounts.

The fingerprint of the settings that they were requested with is saved with them: the refresher decides whether they
may be served under the settings in force.

A separate thread writes the files, never the event loop: a disk that hangs or is full must not delay an answer.
"""

import asyncio
import concurrent.futures
import contextlib
import json
import math
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from sidecar.clock import Instant
from sidecar.limits import STATE_LOAD_SECONDS, STATE_MAX_BYTES
from sidecar.model import AssumeRoleResult, Credentials, Held, Profile
from sidecar.volumes.atomic import remove_leftovers, write_atomic
from sidecar.volumes.file_thread import FileThread

__all__ = ("Persistence", "StateFiles")

_MODE: Final = 0o600
_VERSION: Final = 1


class StateFiles:
    """One file per profile; no method may be called on the event loop.

    Args:
        directory: must exist; it is not created.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, profile: str, held: Held) -> None:
        """Save the credentials of a profile.

        Raises:
            OSError: the volume is missing or full.
        """
        content: dict[str, object] = {
            "version": _VERSION,
            "fingerprint": held.result.settings,
            "lifetime_seconds": held.result.lifetime_seconds,
            "credentials": {name: getattr(held.result.credentials, name) for name in Credentials.__slots__},
        }
        write_atomic(self._path(profile), json.dumps(content).encode(), _MODE)

    def forget(self, profile: str) -> None:
        """Remove the saved credentials of a profile.

        Raises:
            OSError: the file cannot be removed.
        """
        self._path(profile).unlink(missing_ok=True)

    def forget_others(self, profiles: Iterable[str]) -> None:
        """Remove the saved credentials of other profiles: a later profile of the same name must not get them.

        Raises:
            OSError: the directory cannot be read, or a file cannot be removed.
        """
        saved = {self._path(profile).name for profile in profiles}
        for path in self._directory.glob("*.json"):
            if path.name not in saved:
                path.unlink(missing_ok=True)

    def load(self, profile: str, now: Instant) -> AssumeRoleResult | None:
        """Return the saved credentials, or None if there are none or the file is not one that ``save`` wrote.

        Args:
            profile: its name.
            now: the remaining lifetime is counted from here, by the wall clock; it is never longer than the lifetime.
        """
        try:
            remove_leftovers(self._path(profile))
            return self._parse(self._read(profile), now)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return None

    def _path(self, profile: str) -> Path:
        return self._directory / f"{profile}.json"

    def _read(self, profile: str) -> dict[str, Any]:
        descriptor = os.open(self._path(profile), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            # Only a file that no other user could write: planted credentials would be those of an attacker.
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise ValueError
            value: dict[str, Any] = json.loads(file.read(STATE_MAX_BYTES))
            return value

    def _parse(self, content: dict[str, Any], now: Instant) -> AssumeRoleResult | None:
        if content["version"] != _VERSION:
            return None
        settings = content["fingerprint"]
        credentials = Credentials(**content["credentials"])
        lifetime = float(content["lifetime_seconds"])
        remaining = min(credentials.expires_at - now.wall, lifetime)
        texts = (credentials.access_key_id, credentials.secret_access_key, credentials.session_token, settings)
        complete = all(map(_is_text, texts)) and isinstance(credentials.expires_at, int)
        if not complete or not math.isfinite(lifetime) or remaining <= 0:
            return None
        # The monotonic clock may have restarted: count back from now to a time of the request.
        return AssumeRoleResult(credentials, lifetime, now.mono - (lifetime - remaining), settings)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


class Persistence:
    """Saves the credentials of the store, so that a restart changes nothing for the application.

    Args:
        directory: the state volume.
        thread: writes the files.
    """

    def __init__(self, directory: Path, thread: FileThread) -> None:
        self._files = StateFiles(directory)
        self._thread = thread

    def set_profiles(self, profiles: Sequence[Profile]) -> None:
        """Remove the saved credentials of other profiles than these."""
        names = [profile.name for profile in profiles]
        self._thread.submit(lambda: self._files.forget_others(names))

    async def load(self, profiles: Iterable[str], now: Instant) -> dict[str, AssumeRoleResult] | None:
        """Return the credentials from before a restart that are still valid; None if the volume does not respond."""
        found: concurrent.futures.Future[dict[str, AssumeRoleResult]] = concurrent.futures.Future()
        names = tuple(profiles)

        def load() -> None:
            # After the timeout the future is cancelled, and a result must not be set.
            if found.set_running_or_notify_cancel():
                results = {name: self._files.load(name, now) for name in names}
                found.set_result({name: result for name, result in results.items() if result is not None})

        self._thread.submit(load)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATE_LOAD_SECONDS):
                return await asyncio.wrap_future(found)
        return None

    def changed(self, profile: str, held: Held | None) -> None:
        """Save new credentials, or remove the file of withdrawn ones; a listener of the store."""
        if held is None:
            self._thread.submit(lambda: self._files.forget(profile))
        else:
            self._thread.submit(lambda: self._files.save(profile, held))
