"""A projected volume as the kubelet writes it: by AtomicWriter, never in place.

https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/volume/util/atomic_writer.go
"""

import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from examples.local.clock import Clock, system_clock

_DATA = "..data"
_NEW_DATA = "..data_tmp"


class ProjectedVolume:
    """One projected volume.

    `publish` does the steps of AtomicWriter's Write in the same order: create a directory
    `..YYYY_MM_DD_HH_MM_SS.<random>` (0755) with the files and set their modes, create the symlink `..data_tmp`, rename
    it to `..data`, create symlinks `<name> -> ..data/<name>` for readers, remove the old directory. A payload that is
    already in the volume is not written again.

    Args:
        directory: the mount point; created if absent.
        file_name: the name of the file that `swap` writes.
        mode: the mode of published files; in Kubernetes 0644 by default, 0600 if all containers have the same user,
            0640 with an fsGroup.
        clock: wall time in seconds, for the directories' names.
    """

    def __init__(
        self, directory: Path, *, file_name: str = "token", mode: int = 0o644, clock: Clock = system_clock
    ) -> None:
        self.directory = directory
        self.path = directory / file_name
        self._mode = mode
        self._clock = clock
        directory.mkdir(parents=True, exist_ok=True)

    def swap(self, token: str | bytes) -> None:
        """Publish `token` as the volume's one file."""
        content = token.encode() if isinstance(token, str) else token
        self.publish({self.path.name: content})

    def publish(self, payload: Mapping[str, bytes], *, mode: int | None = None) -> None:
        """Replace the volume's content.

        Args:
            payload: relative path to content; `a/b` makes the user-visible `a` a directory.
            mode: the mode of the files; the volume's mode by default.

        Raises:
            OSError: the directory cannot be written.
        """
        wanted = self._mode if mode is None else mode
        old = self._current()
        if old is not None and _content(old) == {path: (wanted, data) for path, data in payload.items()}:
            return
        new = self._new_directory()
        for path, data in payload.items():
            file = new / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            file.chmod(wanted)
        staged = self.directory / _NEW_DATA
        staged.unlink(missing_ok=True)
        staged.symlink_to(new.name)
        staged.rename(self.directory / _DATA)
        visible = {path.split("/")[0] for path in payload}
        for name in visible:
            link = self.directory / name
            if not link.is_symlink():
                link.symlink_to(Path(_DATA, name))
        for entry in self.directory.iterdir():
            if not entry.name.startswith("..") and entry.name not in visible:
                entry.unlink()
        if old is not None:
            shutil.rmtree(old)

    def remove(self) -> None:
        """Remove all entries of the mount point, as unmounting does."""
        for entry in self.directory.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _current(self) -> Path | None:
        link = self.directory / _DATA
        return self.directory / link.readlink() if link.is_symlink() else None

    def _new_directory(self) -> Path:
        prefix = datetime.fromtimestamp(self._clock(), UTC).strftime("..%Y_%m_%d_%H_%M_%S.")
        new = Path(tempfile.mkdtemp(prefix=prefix, dir=self.directory))
        new.chmod(0o755)
        return new


def _content(directory: Path) -> dict[str, tuple[int, bytes]] | None:
    """Return the files under `directory` with mode and content, or None if a file cannot be read."""
    found: dict[str, tuple[int, bytes]] = {}
    try:
        for file in directory.rglob("*"):
            if file.is_file():
                name = str(file.relative_to(directory))
                found[name] = (file.stat().st_mode & 0o777, file.read_bytes())
    except PermissionError:
        return None
    return found
