"""The auth token of each profile, in the volume that its application mounts."""

import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from sidecar.errors import StartError
from sidecar.limits import AUTH_TOKEN_BYTES, AUTH_TOKEN_GIVEN_MAX_BYTES
from sidecar.volumes.atomic import write_atomic

__all__ = (
    "AUTH_TOKEN_NAME",
    "copy_auth_token",
    "distrust_auth_token",
    "ensure_auth_token",
    "mode_for",
)

AUTH_TOKEN_NAME: Final = "auth-token"  # noqa: S105 - a file name
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]{43}")  # base64url of 32 bytes, no padding, no newline
_GIVEN: Final = re.compile(rb"[A-Za-z0-9_-]{32,128}")  # needs no quoting in a header, a shell and a YAML file
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def mode_for(directory: Path) -> int:
    """Return the mode for a file that the application reads.

    With fsGroup the kubelet sets the group of an emptyDir and its setgid bit: new files inherit the group, and read
    access for it is enough. Without fsGroup the application's user id is unknown, and the boundary is which containers
    mount the volume.

    Raises:
        StartError: there is no such directory.
    """
    return 0o640 if _stat_directory(directory).st_mode & stat.S_ISGID else 0o644


def ensure_auth_token(directory: Path, mode: int) -> str:
    """Return the auth token of a profile volume; create one if there is none that can be trusted.

    An existing token stays, so that a restart of the sidecar changes nothing for the application: boto3 before
    1.34.41 reads it once and never again. It is trusted only if no other user can have written it.

    Args:
        directory: the volume.
        mode: the exact permissions of the file.

    Raises:
        StartError: the directory is missing or cannot be written.
    """
    _stat_directory(directory)
    path = directory / AUTH_TOKEN_NAME
    token = _trusted_token(path, mode)
    if token is not None:
        return token
    return _write_token(path, secrets.token_urlsafe(AUTH_TOKEN_BYTES), mode)


def copy_auth_token(directory: Path, mode: int, source: Path) -> str:
    """Return the auth token of a mounted Secret, and copy it to the file that the application reads.

    For clients that cannot read a token file: they get the same value as ``AWS_CONTAINER_AUTHORIZATION_TOKEN``, so it
    is in their environment, where every process of that container can read it.

    Args:
        directory: the profile volume.
        mode: the exact permissions of the file.
        source: the file of the Secret; white space around the token is dropped.

    Raises:
        StartError: the source has no valid token, or the directory is missing or cannot be written.
    """
    fix = "put 32 to 128 random characters of A-Z a-z 0-9 _ - into the Secret"
    try:
        content = source.read_bytes()[:AUTH_TOKEN_GIVEN_MAX_BYTES].strip()
    except OSError as exc:
        raise StartError(
            f"cannot read {source} ({exc.strerror})", "mount the Secret with the auth token there"
        ) from exc
    if not _GIVEN.fullmatch(content):
        raise StartError(f"{source} has no valid auth token", fix)
    _stat_directory(directory)
    return _write_token(directory / AUTH_TOKEN_NAME, content.decode(), mode)


def distrust_auth_token(directory: Path, mode: int) -> None:
    """Replace the auth token of a volume by one that ``ensure_auth_token`` does not keep, also after a restart.

    For the time in which another process has the endpoint's port and receives what is in the file. The file stays: with
    a missing one the CRT waits for ever, and the C++ SDK sends its request without a signature.

    Args:
        directory: the volume.
        mode: the exact permissions of the file.

    Raises:
        StartError: the directory cannot be written.
    """
    # Of another length than the tokens that `_trusted_token` accepts.
    _write_token(directory / AUTH_TOKEN_NAME, secrets.token_hex(AUTH_TOKEN_BYTES), mode)


def _write_token(path: Path, token: str, mode: int) -> str:
    try:
        write_atomic(path, token.encode(), mode)
    except OSError as exc:
        what = f"cannot write {path} ({exc.strerror})"
        fix = "mount a memory volume there that this user id can write, with space for a few kilobytes"
        raise StartError(what, fix) from exc
    return token


def _stat_directory(directory: Path) -> os.stat_result:
    fix = "mount the memory volume of the profile there"
    try:
        found = directory.stat()
    except OSError as exc:
        what = f"cannot use {directory} ({exc.strerror})"
        raise StartError(what, fix) from exc
    if not stat.S_ISDIR(found.st_mode):
        what = f"{directory} is not a directory"
        raise StartError(what, fix)
    return found


def _trusted_token(path: Path, mode: int) -> str | None:
    # O_NOFOLLOW: a link could name a file whose content someone else knows. O_NONBLOCK: a FIFO would block the start.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        if found.st_mode & _WRITABLE_BY_OTHERS:
            return None
        content = os.read(descriptor, 64)
        if not _TOKEN.fullmatch(content):
            return None
        if stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(descriptor, mode)
        return content.decode()
    except OSError:
        return None
    finally:
        os.close(descriptor)
