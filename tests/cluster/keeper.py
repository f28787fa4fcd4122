"""Starts a cluster's process 1, and removes the cluster's files and groups when that, or a given parent, ends.

The keeper runs outside of the namespaces, where it can remove control groups and the state directory. If the keeper is
killed, a parent death signal ends process 1 and so all processes; the next `up` or `down` removes the rest.
"""

import argparse
import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys

from tests.cluster.groups import Group
from tests.cluster.layout import Layout
from tests.cluster.waiting import wait_until

__all__ = ("main", "remove")

_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "--mount-proc")


def remove(layout: Layout) -> None:
    """Kill all processes of a cluster, and remove its files and groups, if there are any. The caller holds the lock.

    Raises:
        TimeoutError: a process did not end within 20 s.
    """
    # A keeper that still runs ends after the processes that it started; it removes nothing while the lock is held.
    wait_until(lambda: _end(layout), what="the end of the keeper", seconds=20, every=0.02)
    Group(layout.name).end()  # again: the keeper may have created the group meanwhile
    _remove_files(layout)


def _end(layout: Layout) -> bool:
    """Kill all processes, and return whether the keeper has ended."""
    Group(layout.name).end()
    mark = layout.root / "keeper"
    if not mark.exists():
        return True
    with mark.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def main() -> None:
    """Keep one cluster until its end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--with-parent", type=int)
    options = parser.parse_args()
    layout = Layout.of(options.name)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (layout.root / "keeper").open("w") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        try:
            _keep(layout, options.with_parent)
        finally:
            _clean_up(layout, os.fstat(mark.fileno()))


def _keep(layout: Layout, parent: int | None) -> None:
    group = Group(layout.name)
    group.make()
    init = [sys.executable, "-m", "tests.cluster.init", layout.name]
    outer = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", *_NAMESPACES, "--", *init]
    process = subprocess.Popen(group.command(outer))
    try:
        ends = select.poll()
        for pid in (process.pid, parent):
            if pid is not None:
                ends.register(os.pidfd_open(pid), select.POLLIN)
        ends.poll()
    except ProcessLookupError:
        sys.stderr.write(f"process {parent} of --with-parent has already ended, so the cluster ends\n")
    finally:
        process.kill()
        process.wait()


def _clean_up(layout: Layout, mark: os.stat_result) -> None:
    """Remove files and groups, unless another process does so, or has started a new cluster of the same name."""
    with layout.locked(wait=False) as locked:
        if locked and (layout.root / "keeper").exists() and os.path.samestat(mark, (layout.root / "keeper").stat()):
            Group(layout.name).end()
            _remove_files(layout)


def _remove_files(layout: Layout) -> None:
    if layout.root.exists():
        shutil.rmtree(layout.root)
    with contextlib.suppress(OSError):  # the directory of another cluster is in it, or it does not exist
        layout.root.parent.rmdir()


if __name__ == "__main__":
    main()
