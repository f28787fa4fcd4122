"""Has a worker process exchange tokens for credentials, and judges what comes back.

boto3 costs 42 MB and 0.2 s of CPU for a moment every half hour. A child process gives the memory back, can be
killed when it hangs, and picks up a new CA bundle or proxy by being new.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final

from sidecar.clock import Clock
from sidecar.errors import Failure, Outcome, Retry
from sidecar.exchange.classify import classify, local_failure
from sidecar.exchange.process import COMMAND, Worker, start_worker, worker_environment
from sidecar.exchange.session_name import session_name
from sidecar.limits import BODY_MAX_BYTES, STS_ATTEMPT_SECONDS, WORKER_READY_SECONDS
from sidecar.model import Credentials, Grant, Order, account_of

__all__ = ("ExchangeClient",)

_CREDENTIAL_FIELDS: Final = ("access_key_id", "secret_access_key", "session_token")
# What the endpoint's body has beside the three: names, expiry, account, role.
_REST_OF_BODY_BYTES: Final = 1_000
_TOO_LARGE: Final = Failure(
    Outcome.BAD_ANSWER,
    Retry.PERMANENT,
    "the set is larger than SDKs read: shorten the session policy, its ARNs or the tags",
    "TooLarge",
)
# Between STS's Date header and the moment that it counts from.
_SLACK_SECONDS: Final = 300.0
# 9999-12-31T23:59:59Z: no later moment can be written as clients read it.
_LAST_SECOND: Final = 253_402_300_799
Result = tuple[str, Grant | Failure]


class ExchangeClient:
    """Exchanges tokens for credentials, in one child process for all that is due.

    Args:
        clock: tells when a call began.
        environment: of the daemon; the worker gets the part that it needs.
        cluster: goes into session names that are made from the token; may be "".
        command: starts the worker.
        ready_seconds: how long a worker may take for its imports.
        attempt_seconds: how long it may take for one profile after that.
    """

    def __init__(
        self,
        clock: Clock,
        environment: Mapping[str, str],
        cluster: str = "",
        command: Sequence[str] = COMMAND,
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

    async def exchange(self, more: Callable[[], Sequence[Order]]) -> AsyncGenerator[Result]:
        """Yield for each order its profile's name and what came of it, as it comes.

        Every order gets exactly one result, whatever the child does. Nothing is raised but cancellation. The
        child is dead when the iterator is closed, and on cancellation too.

        Args:
            more: gives the next orders, each time that all before have their results; none ends the exchange.
                What a result made due is so served by the same child.
        """
        left = list(more())
        while left:
            failure = local_failure(Outcome.WORKER_FAILED)
            ready = False
            try:
                async with start_worker(self._command, self._environment) as worker:
                    async with asyncio.timeout(self._ready_seconds):
                        await worker.receive()
                    ready = True
                    while left:
                        worker.send({"orders": [self._line(order) for order in left]})
                        while left:
                            result = await self._answer(worker, left[0])
                            name = left.pop(0).profile.name
                            yield name, result
                        left = list(more())
            except TimeoutError:
                failure = local_failure(Outcome.TIMEOUT)
            # OSError: no process to be had, or a broken pipe; the others: a line that is not ours.
            except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
                failure = local_failure(Outcome.WORKER_FAILED, type(error).__name__)
            # A hang is the fault of the one that was asked for; a child that did not even start, of none.
            hung = 1 if ready and failure.outcome is Outcome.TIMEOUT else len(left)
            for order in left[:hung]:
                yield order.profile.name, failure
            left = left[hung:]

    async def _answer(self, worker: Worker, order: Order) -> Grant | Failure:
        asked_mono = self._clock.now().mono
        async with asyncio.timeout(self._attempt_seconds):
            answer = await worker.receive()
        if answer["profile"] != order.profile.name:
            raise ValueError
        if "refused" in answer:
            refused = answer["refused"]
            return classify(str(refused["code"]), str(refused["message"]), int(refused["status"]))
        if "failed" in answer:
            return local_failure(Outcome(answer["failed"]["outcome"]), str(answer["failed"]["code"]))
        return self._grant(order, answer["granted"], asked_mono)

    def _line(self, order: Order) -> dict[str, object]:
        profile = order.profile
        line: dict[str, object] = {
            "profile": profile.name,
            "role_arn": profile.role_arn,
            "session_name": profile.session_name or session_name(order.token, self._cluster),
            "duration_seconds": profile.duration_seconds,
            "region": profile.region,
            "endpoint_url": profile.endpoint_url,
            "fips": profile.fips,
            "dual_stack": profile.dual_stack,
            "policy": profile.policy,
            "policy_arns": profile.policy_arns,
        }
        if order.source is None:
            return line | {"token": order.token.raw}
        tags = {"kubernetes-namespace": order.token.namespace, "kubernetes-pod-name": order.token.pod}
        return line | {
            "source": {name: getattr(order.source, name) for name in _CREDENTIAL_FIELDS},
            "external_id": profile.external_id,
            "tags": {key: value for key, value in tags.items() if value and profile.session_tags},
        }

    def _grant(self, order: Order, granted: Mapping[str, Any], asked_mono: float) -> Grant | Failure:
        """Return the grant, or BAD_ANSWER where a part of it is missing or already worthless."""
        # Printable ASCII only: a line feed in a value would break the header that a client makes of it.
        if not all(
            isinstance(value := granted[name], str) and value and value.isascii() and value.isprintable()
            for name in _CREDENTIAL_FIELDS
        ):
            return local_failure(Outcome.BAD_ANSWER, "IncompleteCredentials")
        if sum(len(granted[name]) for name in _CREDENTIAL_FIELDS) > BODY_MAX_BYTES - _REST_OF_BODY_BYTES:
            return _TOO_LARGE
        expires_at = granted["expires_at"]
        sts_time = granted["sts_time"]
        began_at = self._clock.now().wall if sts_time is None else sts_time
        asked = float(order.profile.duration_seconds)
        granted_life = float(expires_at) - began_at
        if not math.isfinite(granted_life) or granted_life <= 0:
            return local_failure(Outcome.BAD_ANSWER, "AlreadyExpired")
        # STS never grants more than was asked for. A client would believe such an expiry and never come back.
        if (sts_time is not None and granted_life > asked + _SLACK_SECONDS) or expires_at > _LAST_SECOND:
            return local_failure(Outcome.BAD_ANSWER, "LivesTooLong")
        # Without STS's own time a wrong clock of ours must not stretch a life.
        life = min(granted_life, asked)
        credentials = Credentials(
            access_key_id=granted["access_key_id"],
            secret_access_key=granted["secret_access_key"],
            session_token=granted["session_token"],
            # Without STS's own time an expiry years ahead is not believed either: clients would never come back.
            expires_at=int(min(expires_at, began_at + asked)),
            role_arn=order.profile.role_arn,
            account_id=account_of(str(granted["assumed_role_arn"])) or account_of(order.profile.role_arn),
        )
        return Grant(credentials, life, asked_mono)
