"""The error of ``bootstrap aws``."""

from sidecar.errors import CommandError

__all__ = ("BootstrapError",)


class BootstrapError(CommandError):
    """AWS or the issuer prevents the command from completing.

    Args:
        where: the issuer, the operation of AWS or the object.
        what: what is wrong; never text that AWS or the issuer sent.
        fix: what to do.
        exit_code: one of ``exits.Exit``.
        changed: whether the object differs from what was read: it may help to read it again.
        conflict: whether AWS does not delete the object because something was added to it.
    """

    def __init__(
        self, where: str, what: str, fix: str, exit_code: int, *, changed: bool = False, conflict: bool = False
    ) -> None:
        super().__init__(f"{where}: {what}; {fix}", exit_code)
        self.where, self.changed, self.conflict = where, changed, conflict
