"""A control group with a CPU quota, on cgroup v1 and v2. Needs root."""

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ("ControlGroup", "control_group")

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000


class ControlGroup:
    """A group in which a process and its children run with a CPU quota; it also has their memory figures.

    Args:
        folders: the folders of the controllers cpu and memory, which are the same on v2.
        unified: whether it is cgroup v2.
    """

    def __init__(self, folders: Sequence[Path], *, unified: bool) -> None:
        self._folders = folders
        self._unified = unified

    def limit(self, cpus: float) -> None:
        """Set the quota to this number of CPUs, as a container's limit does."""
        quota = int(cpus * _PERIOD_US)
        if self._unified:
            (self._folders[0] / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        else:
            (self._folders[0] / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self._folders[0] / "cpu.cfs_quota_us").write_text(str(quota))

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command that joins the group and then executes ``command``."""
        joins = "; ".join(f"echo $$ > {shlex.quote(str(folder / 'cgroup.procs'))}" for folder in self._folders)
        return ["/bin/sh", "-c", f"{joins}; exec {shlex.join(command)}"]

    def peak_bytes(self) -> int:
        """Return the maximum memory of the group at one moment, page cache included."""
        name = "memory.peak" if self._unified else "memory.max_usage_in_bytes"
        return int((self._folders[-1] / name).read_text())

    def used_bytes(self) -> int:
        """Return the memory that the kernel cannot reclaim: anonymous and shared."""
        fields = dict(line.split() for line in (self._folders[-1] / "memory.stat").read_text().splitlines())
        names = ("anon", "shmem") if self._unified else ("total_rss", "total_shmem")
        return sum(int(fields.get(name, 0)) for name in names)

    def throttled_seconds(self) -> float:
        """Return how long the quota has stopped the group's processes."""
        fields = dict(line.split() for line in (self._folders[0] / "cpu.stat").read_text().splitlines())
        return int(fields["throttled_usec"]) / 1e6 if self._unified else int(fields["throttled_time"]) / 1e9


@contextlib.contextmanager
def control_group(name: str) -> Iterator[ControlGroup]:
    """Create a group, and remove it at the end; its processes must have ended before."""
    unified = (_ROOT / "cgroup.controllers").exists()
    if os.geteuid():
        sys.exit("control groups need root; run these tests as root")
    parents = [_ROOT] if unified else [_ROOT / "cpu", _ROOT / "memory"]
    if unified:
        (_ROOT / "cgroup.subtree_control").write_text("+cpu +memory")
    folders = [parent / f"{name}-{os.getpid()}" for parent in parents]
    for folder in folders:
        folder.mkdir()
    try:
        yield ControlGroup(folders, unified=unified)
    finally:
        for folder in folders:
            for _ in range(100):
                try:
                    folder.rmdir()
                    break
                except OSError:
                    # The kernel removes a process from the group a moment after it was reaped.
                    time.sleep(0.02)
