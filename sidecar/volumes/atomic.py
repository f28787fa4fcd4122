"""Writes files that other containers read, each in one step.

The files are on memory volumes (tmpfs), which a restart of the node empties. So no fsync is needed: no disk has to
be in step, and ``rename`` alone decides what a reader sees.
"""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

__all__ = ("remove_leftovers", "write_atomic")


def write_atomic(path: Path, data: bytes, mode: int) -> None:
    """Replace the content of a file in one step.

    Args:
        path: replaced, also if it is a symbolic link; its directory must exist.
        data: the whole content.
        mode: the exact permissions, whatever the umask.

    Raises:
        OSError: the file could not be written, for example because the disk is full; the old file is unchanged, and no
            temporary file is left.
    """
    # The directory of an emptyDir is 0777: a name that cannot be guessed and O_EXCL keep others from creating a
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
    """Remove temporary files that killed processes left next to ``path``; they may hold credentials.

    Only for the one thread that writes ``path``: a file of another thread would be removed before its rename.

    Args:
        path: the path that ``write_atomic`` got.

    Raises:
        OSError: its directory exists and cannot be read.
    """
    temporary = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}")
    for entry in path.parent.iterdir() if path.parent.exists() else ():
        if temporary.fullmatch(entry.name):
            # An entry that cannot be removed, such as a directory, was put there to keep this program from writing.
            with suppress(OSError):
                entry.unlink()
