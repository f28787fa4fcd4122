"""Starts a cluster's process 1, and removes what is left when that ends, or when a process that it follows does.

It stays outside of the namespaces, where control groups and the state directory can be removed. Killed itself, it
takes process 1, and so everything, with it by a parent death signal; the next `up` or `down` then removes the rest.
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
    """Kill what runs of a cluster, and remove everything of it. Nothing to do is fine. The caller holds the lock.

    Raises:
        TimeoutError: a process did not end within 20 s.
    """
    # A keeper that still runs sees the end of what it started, and then ends too, leaving the rest to us.
    wait_until(lambda: _end(layout), what="the end of the keeper", seconds=20, every=0.02)
    Group(layout.name).end()  # which it may have been about to make
    _remove_files(layout)


def _end(layout: Layout) -> bool:
    """Kill what runs, and return whether the keeper has ended."""
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
        sys.stderr.write(f"process {parent}, which this cluster was to end with, has ended already\n")
    finally:
        process.kill()
        process.wait()


def _clean_up(layout: Layout, mark: os.stat_result) -> None:
    """Remove what is left, unless somebody else is at it, or has started a new run of the same name."""
    with layout.locked(wait=False) as ours:
        if ours and (layout.root / "keeper").exists() and os.path.samestat(mark, (layout.root / "keeper").stat()):
            Group(layout.name).end()
            _remove_files(layout)


def _remove_files(layout: Layout) -> None:
    if layout.root.exists():
        shutil.rmtree(layout.root)
    with contextlib.suppress(OSError):  # another cluster is in it, or there never was one
        layout.root.parent.rmdir()


if __name__ == "__main__":
    main()
