"""What this program asks of the kernel, so that other processes cannot read its secrets or outlive it (prctl(2)).

With ``shareProcessNamespace``, and from debug containers, the processes of the sidecar are visible. If one of them is
dumpable, a process of its user id can read its memory, its environment and, below ``/proc/<pid>/root``, its files
(ptrace(2), "Ptrace access mode checking").
"""

# Not ctypes: importing it takes 4 of the 20 ms of a probe, and a call with integers needs only the module below it.
import _ctypes
import sys

__all__ = ("deny_reading", "end_with_parent")

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
# The module `signal` imports enum, which takes a probe's time.
_SIGKILL = 9


def deny_reading() -> None:
    """Make this process non-dumpable: only processes with CAP_SYS_PTRACE can read its memory, environment and files.

    The kernel undoes it when the process executes a program that its user can read; in the image it cannot read the
    interpreter. Own reads of ``stat``, ``fd``, ``limits`` and ``mountinfo`` in ``/proc/self`` still work; ``environ``
    belongs to root then. Does nothing on systems other than Linux.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def end_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it ends; too late if it has ended already.

    Does nothing on systems other than Linux.
    """
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def _prctl(option: int, argument: int) -> None:
    if sys.platform == "linux":
        this_program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
        _ctypes.call_cdeclfunction(_ctypes.dlsym(this_program, "prctl"), (option, argument, 0, 0, 0))
