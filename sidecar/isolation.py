"""What this program asks of the kernel, so that no process outlives its purpose with a secret (prctl(2))."""

# Not ctypes: importing it takes milliseconds and memory, and one call without types needs only the module below it.
import _ctypes

__all__ = ("end_with_parent",)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SIGKILL = 9


def end_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it ends; too late if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def _prctl(option: int, argument: int = 0) -> int:
    address = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type] # None: this program
    result: int = _ctypes.call_cdeclfunction(address, (option, argument, 0, 0, 0))
    return result
