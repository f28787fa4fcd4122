"""Starts the worker, feeds it the tokens by pipe, and kills it at the deadline.

boto3 costs 42 MB and 0.2 s of CPU for a moment every half hour. A child process gives the memory back, can be
killed when it hangs, and picks up a new CA bundle or proxy by being new.
"""

import asyncio
import contextlib
import json
import math
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from sidecar.clock import Clock
from sidecar.errors import Failure, Outcome
from sidecar.exchange.classify import classify, local_failure
from sidecar.exchange.session_name import session_name
from sidecar.limits import STS_ATTEMPT_SECONDS, WORKER_READY_SECONDS
from sidecar.model import Credentials, Grant, Order, account_of

__all__ = ("ExchangeClient", "worker_environment")

WORKER: Final = (sys.executable, "-I", "-m", "sidecar.exchange.worker")

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
_CREDENTIAL_FIELDS: Final = ("access_key_id", "secret_access_key", "session_token")


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the worker gets, of those that we have."""
    return {name: value for name, value in environment.items() if name in _INHERITED} | _FIXED


class ExchangeClient:
    """Exchanges tokens for credentials, one child process at a time for all that is due.

    Args:
        clock: tells when a call began.
        environment: of the daemon; the worker gets the part that it needs.
        cluster: goes into session names that are made from the token; may be "".
        command: starts the worker.
    """

    def __init__(
        self,
        clock: Clock,
        environment: Mapping[str, str],
        cluster: str = "",
        command: Sequence[str] = WORKER,
        *,
        ready_seconds: float = WORKER_READY_SECONDS,
        attempt_seconds: float = STS_ATTEMPT_SECONDS,
    ) -> None:
        self._clock = clock
        self._environment = worker_environment(environment)
        self._cluster = cluster
        self._command = tuple(command)
        self._ready_seconds = ready_seconds
        self._attempt_seconds = attempt_seconds

    async def exchange(self, orders: Sequence[Order]) -> AsyncGenerator[tuple[str, Grant | Failure]]:
        """Yield for each order its profile's name and what came of it, as it comes.

        Every order gets exactly one result, whatever the child does. Nothing is raised but cancellation. The
        child is dead when the iterator is closed, and on cancellation too.
        """
        left = [order.profile.name for order in orders]
        failure = local_failure(Outcome.WORKER_FAILED)
        try:
            # Closed at once, not when the garbage collector comes by: closing is what kills the child.
            async with contextlib.aclosing(self._converse(orders)) as results:
                async for name, result in results:
                    left.remove(name)
                    yield name, result
        except TimeoutError:
            failure = local_failure(Outcome.TIMEOUT)
        # OSError: no process to be had (EAGAIN, ENOMEM) or a broken pipe; the others: a line that is not ours.
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            failure = local_failure(Outcome.WORKER_FAILED, type(error).__name__)
        for name in left:
            yield name, failure

    async def _converse(self, orders: Sequence[Order]) -> AsyncGenerator[tuple[str, Grant | Failure]]:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # A traceback of the child could quote the request, and that holds the token.
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LINE_LIMIT,
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101 - for the type checker
        try:
            async with asyncio.timeout(self._ready_seconds):
                _line(await process.stdout.readline())
            process.stdin.write(self._order_line(orders))
            process.stdin.close()
            by_name = {order.profile.name: order for order in orders}
            for _ in orders:
                asked_mono = self._clock.now().mono
                async with asyncio.timeout(self._attempt_seconds):
                    answer = _line(await process.stdout.readline())
                order = by_name.pop(answer["profile"])
                yield order.profile.name, self._result(order, answer, asked_mono)
        finally:
            await _end(process)

    def _order_line(self, orders: Sequence[Order]) -> bytes:
        lines = [
            {
                "profile": order.profile.name,
                "role_arn": order.profile.role_arn,
                "session_name": order.profile.session_name or session_name(order.token, self._cluster),
                "token": order.token.raw,
                "duration_seconds": order.profile.duration_seconds,
                "region": order.profile.region,
                "endpoint_url": order.profile.endpoint_url,
                "fips": order.profile.fips,
                "dual_stack": order.profile.dual_stack,
            }
            for order in orders
        ]
        return json.dumps({"orders": lines}).encode() + b"\n"

    def _result(self, order: Order, answer: dict[str, Any], asked_mono: float) -> Grant | Failure:
        if "refused" in answer:
            refused = answer["refused"]
            return classify(str(refused["code"]), str(refused["message"]), int(refused["status"]))
        if "failed" in answer:
            return local_failure(Outcome(answer["failed"]["outcome"]), str(answer["failed"]["code"]))
        return self._grant(order, answer["granted"], asked_mono)

    def _grant(self, order: Order, granted: dict[str, Any], asked_mono: float) -> Grant | Failure:
        """Return the grant, or BAD_ANSWER where a part of it is missing or already worthless."""
        # Printable ASCII only: a line feed in a value would break the header that a client makes of it.
        if not all(
            isinstance(value := granted[name], str) and value and value.isascii() and value.isprintable()
            for name in _CREDENTIAL_FIELDS
        ):
            return local_failure(Outcome.BAD_ANSWER, "IncompleteCredentials")
        expires_at = granted["expires_at"]
        sts_time = granted["sts_time"]
        began_at = self._clock.now().wall if sts_time is None else sts_time
        # STS never grants more than was asked for; so neither a wrong clock nor a lie can stretch a life.
        life = min(float(expires_at) - began_at, float(order.profile.duration_seconds))
        if not math.isfinite(life) or life <= 0:
            return local_failure(Outcome.BAD_ANSWER, "AlreadyExpired")
        credentials = Credentials(
            access_key_id=granted["access_key_id"],
            secret_access_key=granted["secret_access_key"],
            session_token=granted["session_token"],
            expires_at=int(expires_at),
            role_arn=order.profile.role_arn,
            account_id=account_of(str(granted["assumed_role_arn"])) or account_of(order.profile.role_arn),
        )
        return Grant(credentials, life, asked_mono)


def _line(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise EOFError
    value = json.loads(line)
    if not isinstance(value, dict):
        raise TypeError
    return value


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the worker if it lives, and reap it: no zombie stays, and no answer comes late."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
