"""What survives a restart: the last set of each profile, in a memory volume that only the sidecar mounts.

Written by a thread of its own, never by the event loop: a disk that hangs or is full must not stop an answer.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any, Final

from sidecar.clock import Instant
from sidecar.endpoint.file_thread import FileThread
from sidecar.endpoint.files import remove_leftovers, write_atomic
from sidecar.model import Credentials, Grant, Held, Profile

__all__ = ("Persistence", "StateFiles", "fingerprints")

_MODE: Final = 0o600
_VERSION: Final = 1
_MAX_BYTES: Final = 65_536


def fingerprints(profiles: Mapping[str, Profile]) -> dict[str, str]:
    """Return for each profile a text that changes when anything does that a set depends on, its source included.

    Args:
        profiles: by name; every source is among them.
    """

    def whole(profile: Profile) -> list[object]:
        below = profiles.get(profile.source)
        return [astuple(profile), whole(below) if below else None]

    return {name: hashlib.sha256(json.dumps(whole(profile)).encode()).hexdigest() for name, profile in profiles.items()}


class StateFiles:
    """One file per profile; no method is for the event loop.

    Args:
        directory: exists, or nothing is kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, profile: str, fingerprint: str, held: Held) -> None:
        """Keep a set.

        Raises:
            OSError: the volume is missing or full.
        """
        content: dict[str, object] = {
            "version": _VERSION,
            "fingerprint": fingerprint,
            "life_seconds": held.grant.life_seconds,
            "credentials": {name: getattr(held.grant.credentials, name) for name in Credentials.__slots__},
        }
        write_atomic(self._path(profile), json.dumps(content).encode(), _MODE)

    def forget(self, profile: str) -> None:
        """Remove what is kept of a profile.

        Raises:
            OSError: the file cannot be removed.
        """
        self._path(profile).unlink(missing_ok=True)

    def load(self, profile: str, fingerprint: str, now: Instant) -> Grant | None:
        """Return the set that was kept, or None: there is none, it is another's, or not as we write them.

        Args:
            profile: its name.
            fingerprint: of the settings in force; a set that was made by others is not returned.
            now: the life that remains is counted from here, by the wall clock and never longer than granted.
        """
        try:
            remove_leftovers(self._path(profile))
            return self._parse(self._read(profile), fingerprint, now)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return None

    def _path(self, profile: str) -> Path:
        return self._directory / f"{profile}.json"

    def _read(self, profile: str) -> dict[str, Any]:
        descriptor = os.open(self._path(profile), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            # Only what we alone could write: a planted set would be somebody else's credentials.
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise ValueError
            value: dict[str, Any] = json.loads(file.read(_MAX_BYTES))
            return value

    def _parse(self, content: dict[str, Any], fingerprint: str, now: Instant) -> Grant | None:
        if content["version"] != _VERSION or content["fingerprint"] != fingerprint:
            return None
        credentials = Credentials(**content["credentials"])
        life = float(content["life_seconds"])
        remaining = min(credentials.expires_at - now.wall, life)
        texts = (credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
        whole = all(map(_is_text, texts)) and isinstance(credentials.expires_at, int)
        if not whole or not math.isfinite(life) or remaining <= 0:
            return None
        # As if it had been asked for when so much of its life was still to come.
        return Grant(credentials, life, now.mono - (life - remaining))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


class Persistence:
    """Keeps what the store serves, so that a restart changes nothing for the application.

    Args:
        directory: the state volume.
        thread: does the writing.
        profiles: by name; every source is among them.
    """

    def __init__(self, directory: Path, thread: FileThread, profiles: Mapping[str, Profile]) -> None:
        self._files = StateFiles(directory)
        self._thread = thread
        self._fingerprints = fingerprints(profiles)

    def set_profiles(self, profiles: Mapping[str, Profile]) -> None:
        """Have these profiles from now on."""
        self._fingerprints = fingerprints(profiles)

    def load(self, now: Instant) -> dict[str, Grant]:
        """Return the sets from before a restart that are still good; reads files, so call it before serving."""
        found = {name: self._files.load(name, mark, now) for name, mark in self._fingerprints.items()}
        return {name: grant for name, grant in found.items() if grant is not None}

    def changed(self, profile: str, held: Held | None) -> None:
        """Keep or forget a set; a listener of the store."""
        mark = self._fingerprints.get(profile)
        if held is None or mark is None:
            self._thread.submit(lambda: self._files.forget(profile))
        else:
            self._thread.submit(lambda: self._files.save(profile, mark, held))
