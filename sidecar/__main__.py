"""``python -m sidecar`` and the ``aws-oidc-sidecar`` command."""

import os
import sys

from sidecar.exits import handle
from sidecar.kernel.isolation import deny_reading

# As typing.TYPE_CHECKING; importing typing would take 5 of the 20 ms of a probe.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ("main",)


def _leave(_number: int, _frame: "FrameType | None") -> None:
    # Nothing was started yet. The kernel ignores SIGTERM for process 1 of a container without a handler, and an
    # exception would be raised in the middle of an import.
    os._exit(0)


def main() -> int:
    """Run the command line. SIGTERM and SIGINT end it at once, also during imports: the daemon with exit code 0."""
    # Each command has secrets: a token, an auth token, credentials, or what is mounted in its container.
    deny_reading()
    arguments = sys.argv[1:]
    if _is_daemon(arguments):
        import signal  # noqa: PLC0415 - it imports enum, which takes a probe's time

        # SIGHUP asks for a reload, which a start does anyway; without a handler it would end the process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGINT, _leave)
    else:
        handle()
    if arguments[:1] == ["check"]:
        # First: a probe needs the time of each import every few seconds.
        from sidecar.check import check  # noqa: PLC0415

        return check(arguments[1:])
    if arguments[:1] == ["credential-process"] and "--direct" not in arguments:
        from sidecar.shim import main as credential_process  # noqa: PLC0415

        return credential_process(arguments[1:], os.environ)
    from sidecar import cli  # noqa: PLC0415 - imports come after the handlers

    return cli.main(arguments)


def _is_daemon(arguments: "Sequence[str]") -> bool:
    # argparse accepts the beginning of an option for the option. "--c" is ambiguous, and argparse rejects it.
    prints = any(len(word) > len("--c") and "--check-config".startswith(word) for word in arguments[1:])
    return arguments[:1] == ["run"] and not prints


if __name__ == "__main__":
    sys.exit(main())
