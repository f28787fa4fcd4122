"""The exit codes of the commands, and the signal handlers of the commands other than the daemon.

A cancelled pipeline must not succeed, and an interrupted ``--check`` must not report "no drift". The exit code is the
one that a shell reports for a process that a signal ended (POSIX, Shell Command Language, 2.8.2): 128 plus the number
of the signal, 130 for SIGINT and 143 for SIGTERM. The daemon has its own handlers for both signals, and ends with 0.

``check`` and ``shim`` repeat their exit codes, because they run without the other modules.
"""

import os

# As typing.TYPE_CHECKING; importing typing would take 5 of the 20 ms of a probe.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
else:
    # The module that `signal` wraps; `signal` imports enum, which takes a probe's time.
    import _signal as signal

__all__ = ("Exit", "Interrupted", "handle", "run_command")


class Exit:
    """The exit codes. Not an enum: importing enum takes a fifth of a probe's time."""

    GOOD = 0
    NOT_GOOD = 1
    """The checked thing is not good."""
    USAGE = 2
    """Usage or configuration."""
    UNREACHABLE = 3
    REFUSED = 4
    """AWS denies the request."""
    ISSUER = 5
    """The issuer, its keys or its certificate are wrong."""
    RIGHTS = 6
    DRIFT = 7
    NOT_PROVEN = 8
    """No fault was found, but a part could not be checked."""
    BUG = 70
    """EX_SOFTWARE of sysexits.h."""


_NAMES: "dict[int, str]" = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "SIGINT"}
_DID = "the command did not finish"


class Interrupted(KeyboardInterrupt):
    """A signal interrupted ``run_command``. A KeyboardInterrupt: asyncio and other libraries do not catch it.

    Attributes:
        did: what the command did before the signal, for the printed line; a command can set a more exact text.
    """

    def __init__(self, number: int) -> None:
        super().__init__(_NAMES[number])
        self.exit_code = 128 + number
        self.did = _DID


class _State:
    raises = False
    """Whether a command runs, which may have to clean up and to print a result."""
    interrupt: Interrupted | None = None
    """The first signal."""
    printed = False


def handle() -> None:
    """Install the handlers of both signals.

    The kernel ignores a signal for process 1 of a container if it has no handler. Outside ``run_command`` a signal
    ends the process at once: nothing was started, and a callback of an import lock can lose an exception.
    """
    for number in _NAMES:
        # A shell without job control starts background processes with SIGINT ignored.
        if number != signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupted)


def run_command(work: "Callable[[], int]") -> int:
    """Do the work and return its exit code, or the exit code of a signal that arrived, also if no exception came out.

    Raises:
        BaseException: the exception of the work, if no signal arrived.
    """
    status = 0
    try:
        _State.raises = True
        status = work()
        _State.raises = False
    except BaseException:
        _State.raises = False
        # Not only Interrupted: a library can replace it by its own exception.
        if _State.interrupt is None:
            raise
    if _State.interrupt is None:
        return status
    _print(_State.interrupt)
    return _State.interrupt.exit_code


def _interrupted(number: int, _frame: "FrameType | None") -> None:
    first = _State.interrupt is None
    _State.interrupt = interrupt = _State.interrupt or Interrupted(number)
    if first and _State.raises:
        raise interrupt
    # A second signal also ends the process: the clean-up after the first can hang.
    _print(interrupt)
    os._exit(interrupt.exit_code)


def _print(interrupt: Interrupted) -> None:
    if not _State.printed:
        _State.printed = True
        line = f"aws-oidc-sidecar: interrupted by {interrupt}; {interrupt.did}\n"
        try:
            # Not by sys.stderr: the signal may have interrupted a write to it.
            os.write(2, line.encode(errors="replace"))
        except OSError:
            # The exit code still shows the interruption.
            return
