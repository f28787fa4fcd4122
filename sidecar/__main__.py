"""``python -m sidecar`` and the ``aws-oidc-sidecar`` command."""

import os
import sys

# As typing.TYPE_CHECKING, without the 5 ms that importing typing takes of a probe's 20.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

__all__ = ("main",)


def _leave(_number: int, _frame: "FrameType | None") -> None:
    # Nothing was started yet. Process 1 of a container ignores SIGTERM without a handler, and an exception would
    # come up in the middle of somebody's import.
    os._exit(0)


def main() -> int:
    """Run the command line; SIGTERM ends it at once, during imports too."""
    if sys.argv[1:2] == ["check"]:
        # Before everything else: a probe pays for each import every few seconds.
        from sidecar.check import check  # noqa: PLC0415

        return check(sys.argv[2:])
    if sys.argv[1:2] == ["credential-process"] and "--direct" not in sys.argv:
        from sidecar.shim import main as credential_process  # noqa: PLC0415

        return credential_process(sys.argv[2:], os.environ)
    import signal  # noqa: PLC0415 - it brings enum, which a probe need not pay for

    if sys.argv[1:2] == ["run"]:
        # It asks for what a start does anyway, and would end a process that has no handler yet.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    from sidecar import cli  # noqa: PLC0415 - imports come after the handler

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
