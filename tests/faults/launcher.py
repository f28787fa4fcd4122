"""Starts the daemon in a process where tests inject faults of the machine; see ``machine_faults``.

Some faults cannot be made on a real machine by root in a container without more privileges. They are injected in the
last Python function before the kernel: the clock is stepped where it is read, a fork fails where it is called, a disk
hangs where a file is opened. The rest of the daemon is unmodified.

The first argument is a JSON object, the others are the daemon's arguments. Each value of the object is the path of a
switch: a file that exists during the fault.
"""

import ctypes
import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_PR_CAPBSET_DROP = 24
_TRIES_A_SECOND = 50


def main() -> int:
    switches: dict[str, str] = json.loads(sys.argv[1])
    arguments = sys.argv[2:]
    if switches.pop("ordinary", ""):
        _obey_file_modes(switches, arguments)
    # The daemon makes the worker's command from it at import, so it is set before the daemon's modules are imported.
    sys.executable = switches.get("worker", sys.executable)
    for name, arrange in (("clock", _clock), ("no_fork", _no_fork), ("no_inotify", _no_inotify), ("stuck", _stuck)):
        if name in switches:
            arrange(Path(switches[name]))
    sys.argv = [sys.argv[0], *arguments]
    from sidecar.__main__ import main as daemon  # noqa: PLC0415 - after the statements above

    return daemon()


def _obey_file_modes(switches: dict[str, str], arguments: list[str]) -> None:
    """Drop the two capabilities with which root ignores file modes, and execute this file again."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        if os.geteuid() == 0 and libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    # The capabilities of a root process are cut to the bounding set by exec.
    os.execv(sys.executable, [sys.executable, "-I", __file__, json.dumps(switches), *arguments])


def _clock(file: Path) -> None:
    """Add the number of seconds in the file to the wall clock."""
    from sidecar import clock  # noqa: PLC0415 - as in main

    real = clock.SystemClock.now

    def now(self: clock.SystemClock) -> clock.Instant:
        wall, mono = real(self)
        try:
            return clock.Instant(wall + float(file.read_text()), mono)
        except FileNotFoundError:
            return clock.Instant(wall, mono)

    clock.SystemClock.now = now  # type: ignore[method-assign] # the function with which the daemon reads the time


def _no_fork(switch: Path) -> None:
    """Make each fork fail, as at a pod's limit of processes: RLIMIT_NPROC does not apply to root."""
    import subprocess  # noqa: PLC0415 - as in main

    def failing(real: Any) -> Any:  # noqa: ANN401 - a function of the interpreter with two dozen arguments
        def start(*arguments: Any, **named: Any) -> int:  # noqa: ANN401 - as above
            if switch.exists():
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            return int(real(*arguments, **named))

        return start

    # Popen uses one of these two functions, depending on Python's version; neither has a public name.
    subprocess._fork_exec = failing(subprocess._fork_exec)  # type: ignore[attr-defined] # as above
    os.posix_spawn = failing(os.posix_spawn)


def _no_inotify(switch: Path) -> None:
    """Make inotify_init fail: the real limit is per user, and other programs on the machine need instances."""
    from watchdog.observers import inotify_c  # noqa: PLC0415 - as in main

    real = inotify_c.inotify_init

    def inotify_init() -> int:
        if switch.exists():
            ctypes.set_errno(errno.EMFILE)
            return -1
        return int(real())

    inotify_c.inotify_init = inotify_init


def _stuck(switch: Path) -> None:
    """Hang when a file below the directory in the switch is opened, as on a disk that does not respond."""
    real = os.open

    def open_later(path: Any, *arguments: Any, **named: Any) -> int:  # noqa: ANN401 - os.open's own
        while switch.exists() and isinstance(path, Path | str) and str(path).startswith(switch.read_text()):
            time.sleep(1 / _TRIES_A_SECOND)
        return real(path, *arguments, **named)

    os.open = open_later


if __name__ == "__main__":
    sys.exit(main())
