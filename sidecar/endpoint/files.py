"""Files that other containers read: whole or not at all.

They lie on memory volumes (tmpfs), which do not outlive the node, so nothing is ever fsync'ed: there is no
disk to be ahead of, and ``rename`` alone decides what a reader sees.
"""

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from sidecar.errors import StartError
from sidecar.limits import AUTH_TOKEN_BYTES

__all__ = (
    "AUTH_TOKEN_FILE",
    "copy_auth_token",
    "ensure_auth_token",
    "mode_for",
    "remove_leftovers",
    "write_atomic",
)

AUTH_TOKEN_FILE: Final = "auth-token"  # noqa: S105 - a file name
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]{43}")  # base64url of 32 bytes, no padding, no newline
_GIVEN: Final = re.compile(rb"[A-Za-z0-9_-]{32,128}")  # what a header, a shell and a YAML file all take as it is
_GIVEN_MAX_BYTES: Final = 1_024
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def mode_for(directory: Path) -> int:
    """Return the mode for a file that the application reads.

    With fsGroup the kubelet sets the group of an emptyDir and its setgid bit: new files inherit the group, and
    it suffices. Without, the application's user id is unknown, and the boundary is who mounts the volume.

    Raises:
        StartError: there is no such directory.
    """
    return 0o640 if _stat_directory(directory).st_mode & stat.S_ISGID else 0o644


def write_atomic(path: Path, data: bytes, mode: int) -> None:
    """Put ``data`` where readers find it, in one step.

    Args:
        path: replaced, also where it is a symbolic link; its directory must exist.
        data: the whole content.
        mode: the exact permissions, whatever the umask.

    Raises:
        OSError: it could not be written, disk full for one; the old file is as it was, and no other is left.
    """
    # The directory of an emptyDir is 0777: a name that cannot be guessed and O_EXCL keep others from placing a
    # link there first.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        try:
            os.fchmod(descriptor, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed within ``write_atomic`` left beside ``path``: whole sets, perhaps.

    Only for the one thread that writes ``path``: another's file would vanish before it is in its place.

    Args:
        path: as ``write_atomic`` had it.

    Raises:
        OSError: its directory is there and cannot be read.
    """
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}")
    for entry in path.parent.iterdir() if path.parent.exists() else ():
        if ours.fullmatch(entry.name):
            # What cannot be removed, such as a directory, is somebody's who wants to keep us from writing.
            with suppress(OSError):
                entry.unlink()


def ensure_auth_token(directory: Path, mode: int) -> str:
    """Return the auth token of a profile volume; make one where there is none that can be trusted.

    A token that is there is kept, so that a restart of ours changes nothing for the application: boto3 before
    1.34.41 reads it once and never again. It is trusted only if nobody but us can have written it.

    Args:
        directory: the volume.
        mode: the exact permissions of the file.

    Raises:
        StartError: the directory is missing or cannot be written.
    """
    _stat_directory(directory)
    path = directory / AUTH_TOKEN_FILE
    token = _trusted_token(path, mode)
    if token is not None:
        return token
    return _write_token(path, secrets.token_urlsafe(AUTH_TOKEN_BYTES), mode)


def copy_auth_token(directory: Path, mode: int, source: Path) -> str:
    """Return the auth token that a mounted Secret gives, and put it where the application looks for it.

    For clients that know no token file: they get the same value as ``AWS_CONTAINER_AUTHORIZATION_TOKEN``, so it is in
    their environment, where every process of that container can read it.

    Args:
        directory: the profile volume.
        mode: the exact permissions of the file.
        source: the file of the Secret; white space around the token is dropped.

    Raises:
        StartError: the source holds no token that is long enough, or the directory is missing or cannot be written.
    """
    fix = "put 32 to 128 characters of A-Z a-z 0-9 _ - into the Secret, made at random"
    try:
        content = source.read_bytes()[:_GIVEN_MAX_BYTES].strip()
    except OSError as exc:
        raise StartError(
            f"cannot read {source} ({exc.strerror})", "mount the Secret with the auth token there"
        ) from exc
    if not _GIVEN.fullmatch(content):
        raise StartError(f"{source} holds no auth token", fix)
    _stat_directory(directory)
    return _write_token(directory / AUTH_TOKEN_FILE, content.decode(), mode)


def _write_token(path: Path, token: str, mode: int) -> str:
    try:
        write_atomic(path, token.encode(), mode)
    except OSError as exc:
        what = f"cannot write {path} ({exc.strerror})"
        fix = "mount a memory volume there that this user id can write, with room for a few kilobytes"
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
    # O_NOFOLLOW: a link could name a file whose content someone else knows. O_NONBLOCK: a FIFO would hang us.
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
