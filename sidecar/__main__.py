"""``python -m sidecar`` and the ``aws-oidc-sidecar`` command."""

import os
import signal
import sys
from types import FrameType

__all__ = ("main",)


def _leave(_number: int, _frame: FrameType | None) -> None:
    # Nothing was started yet. Process 1 of a container ignores SIGTERM without a handler, and an exception would
    # come up in the middle of somebody's import.
    os._exit(0)


def main() -> int:
    """Run the command line; SIGTERM ends it at once, during imports too."""
    signal.signal(signal.SIGTERM, _leave)
    from sidecar import cli  # noqa: PLC0415 - imports come after the handler

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
