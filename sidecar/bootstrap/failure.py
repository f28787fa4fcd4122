"""How a set-up ends early, with the exit code that every command has for it."""

from typing import Final

from sidecar.errors import SidecarError

__all__ = (
    "EXIT_DRIFT",
    "EXIT_GOOD",
    "EXIT_ISSUER",
    "EXIT_REFUSED",
    "EXIT_RIGHTS",
    "EXIT_UNREACHABLE",
    "EXIT_USAGE",
    "Stopped",
)

EXIT_GOOD: Final = 0
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_REFUSED: Final = 4
EXIT_ISSUER: Final = 5
EXIT_RIGHTS: Final = 6
EXIT_DRIFT: Final = 7


class Stopped(SidecarError):  # noqa: N818 - a state of the world, not of the program
    """Something outside keeps the set-up from going on.

    Args:
        where: the issuer, the call or the object.
        what: what is wrong, in words of ours.
        fix: what to do.
        exit_code: of the command.
        changed: whether the object is no longer as it was seen: looking again may help.
    """

    def __init__(self, where: str, what: str, fix: str, exit_code: int, *, changed: bool = False) -> None:
        super().__init__(f"{where}: {what}; {fix}")
        self.where, self.what, self.fix, self.exit_code, self.changed = where, what, fix, exit_code, changed
