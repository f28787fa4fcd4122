"""One worker process, from its start to its end. Lines of JSON go in and come out; nothing else does."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, cast

__all__ = ("COMMAND", "Worker", "start_worker", "worker_environment")

COMMAND: Final = (sys.executable, "-I", "-m", "sidecar.exchange.worker")

# What the worker inherits: how to reach the network, and nothing that names a credential, a profile or us.
_INHERITED: Final = frozenset({
    "PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
})  # fmt: skip
_FIXED: Final = {
    # No file of the image or the node may add a profile, a credential_process or an endpoint to our call.
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    # AWS_ENDPOINT_URL, set for some other service, would take STS along; ours is passed explicitly.
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
}
# An answer holds one session token; STS states no limit, but clients take at most 10,000 bytes in all.
_LINE_LIMIT: Final = 131_072


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the worker gets, of those that we have."""
    return {name: value for name, value in environment.items() if name in _INHERITED} | _FIXED


class Worker:
    """A running worker; made by ``start_worker``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        # Both were asked to be pipes, so they are there; typeshed cannot know.
        self._stdin = cast("asyncio.StreamWriter", process.stdin)
        self._stdout = cast("asyncio.StreamReader", process.stdout)

    def send(self, line: Mapping[str, object]) -> None:
        """Write one line; it is small enough for the pipe not to block."""
        self._stdin.write(json.dumps(line).encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        """Return the next line.

        Raises:
            EOFError: the worker has ended.
            ValueError: the line is not JSON or too long.
            TypeError: it is not an object.
        """
        line = await self._stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        value = json.loads(line)
        if not isinstance(value, dict):
            raise TypeError
        return value


@contextlib.asynccontextmanager
async def start_worker(command: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[Worker]:
    """Start a worker and kill it at the end of the block, on cancellation too: no zombie and no late answer.

    Raises:
        OSError: no process can be had: EAGAIN at the pod's limit of processes, ENOMEM, or no such file.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # A traceback of the child could quote the request, and that holds the token.
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LINE_LIMIT,
    )
    try:
        yield Worker(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
