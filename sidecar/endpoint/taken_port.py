"""Waits for the endpoint's port while another process has it.

All processes of a pod share 127.0.0.1. While the daemon is away, each of them can listen on its port and receive the
auth tokens of the applications. So the daemon stays, reports it, and does not accept these auth tokens afterwards.
"""

import asyncio
import contextlib
import errno
from collections.abc import Callable

from sidecar.endpoint.server import CredentialServer
from sidecar.errors import StartError
from sidecar.limits import PORT_RETRY_SECONDS

__all__ = ("start_when_free",)


async def start_when_free(server: CredentialServer, stop: asyncio.Event, taken: Callable[[], None]) -> bool:
    """Start the server; while another process has its port, try again until ``stop`` is set.

    Args:
        server: it is not started if ``stop`` is set first.
        stop: ends the wait.
        taken: called once, at the first failure.

    Returns:
        Whether the port was taken at first.

    Raises:
        StartError: another error than a port in use.
    """
    was_taken = False
    while not stop.is_set():
        try:
            await server.start()
            break
        except StartError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
                raise
        if not was_taken:
            was_taken = True
            taken()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PORT_RETRY_SECONDS):
                await stop.wait()
    return was_taken
