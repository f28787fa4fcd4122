"""One worker process, from its start to its end. Its standard input and output carry lines of JSON and nothing else."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, cast

from sidecar.limits import WORKER_LINE_MAX_BYTES

__all__ = ("COMMAND", "Worker", "start_worker", "worker_environment")

COMMAND: Final = (sys.executable, "-I", "-m", "sidecar.exchange.worker")

# What the worker inherits: network settings, and no variable that names a credential, a profile or this endpoint.
_INHERITED: Final = frozenset({
    "PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
})  # fmt: skip
_FIXED: Final = {
    # No file of the image or the node may add a profile, a credential_process or an endpoint to the call.
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    # AWS_ENDPOINT_URL, set for another service, would apply to STS too; the STS endpoint is passed explicitly.
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
}


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for the worker: the network settings of ``environment``, and fixed ones."""
    return {name: value for name, value in environment.items() if name in _INHERITED} | _FIXED


class Worker:
    """A running worker; ``start_worker`` returns it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        # Both were requested as pipes, so neither is None; typeshed cannot know this.
        self._stdin = cast("asyncio.StreamWriter", process.stdin)
        self._stdout = cast("asyncio.StreamReader", process.stdout)

    def send(self, line: Mapping[str, object]) -> None:
        """Write one line; it does not block, since the transport buffers what the pipe does not take."""
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
        OSError: no process can be started: EAGAIN at the pod's limit of processes, ENOMEM, or no such file.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # A traceback of the child could quote the request, and the request holds the token.
        stderr=asyncio.subprocess.DEVNULL,
        limit=WORKER_LINE_MAX_BYTES,
    )
    try:
        yield Worker(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
