"""Searches for secrets in places where they must not be (I3)."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from examples.local.records import AccessKey

__all__ = ("find", "new_files", "secrets_of")

# Larger files in the temporary directory are of other programs; the daemon writes no such files.
_MAX_BYTES = 8_000_000


def secrets_of(tokens: Iterable[str], issued: Iterable[AccessKey], auth_tokens: Iterable[str]) -> dict[bytes, str]:
    """Return the byte strings that must not be disclosed, each with its description.

    Args:
        tokens: the projected tokens; their parts are secrets too, except the header, which names a public key.
        issued: the issued credentials.
        auth_tokens: the auth tokens of the daemon.
    """
    found: dict[str, str] = {}
    for token in tokens:
        found[token] = "a projected token"
        # Signatures and claims are long; a part of a few characters (of a malformed token) occurs by chance.
        found |= {part: "a part of a projected token" for part in token.split(".")[1:] if len(part) > 16}
    for keys in issued:
        found[keys.access_key_id] = "an access key id"
        found[keys.secret_access_key] = "a secret access key"
        found[keys.session_token] = "a session token"
    found |= dict.fromkeys(auth_tokens, "an auth token")
    return {text.encode(): what for text, what in found.items() if text}


def find(secrets: Mapping[bytes, str], places: Mapping[str, Iterable[bytes]]) -> list[str]:
    """Return a line for each secret in each place, without the secret."""
    return sorted(
        {
            f"I3: {what} in {place}"
            for place, contents in places.items()
            for content in contents
            for secret, what in secrets.items()
            if secret in content
        }
    )


def new_files(directories: Iterable[Path], since: float, *, deep: bool) -> dict[str, list[bytes]]:
    """Return the content of each regular file that changed since ``since``, by its path.

    Args:
        directories: the directories to search; missing directories are ignored.
        since: wall time in seconds.
        deep: search subdirectories too.
    """
    found = {}
    for directory in directories:
        for path in sorted(directory.rglob("*") if deep else directory.glob("*")):
            try:
                if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since - 1:
                    with path.open("rb") as file:
                        found[str(path)] = [file.read(_MAX_BYTES)]
            except OSError:
                continue  # a file of another program, removed meanwhile
    return found
