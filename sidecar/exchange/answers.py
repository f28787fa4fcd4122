"""Orders as the worker reads them, and what its answers are worth. Pure."""

import math
from collections.abc import Mapping
from typing import Any, Final

from sidecar.clock import Instant
from sidecar.errors import Failure, Outcome, Retry
from sidecar.exchange.classify import classify, local_failure
from sidecar.exchange.session_name import session_name
from sidecar.limits import BODY_MAX_BYTES
from sidecar.model import Credentials, Grant, Order, account_of

__all__ = ("TOO_LARGE", "judge", "order_line")

_CREDENTIAL_FIELDS: Final = ("access_key_id", "secret_access_key", "session_token")
# What the endpoint's body has beside the three: names, expiry, account, role.
_REST_OF_BODY_BYTES: Final = 1_000
TOO_LARGE: Final = Failure(
    Outcome.BAD_ANSWER,
    Retry.PERMANENT,
    "the set is larger than SDKs read: shorten the session policy, its ARNs or the tags",
    "TooLarge",
)
# Between STS's Date header and the moment that it counts from.
_SLACK_SECONDS: Final = 300.0
# 9999-12-31T23:59:59Z: no later moment can be written as clients read it.
_LAST_SECOND: Final = 253_402_300_799


def order_line(order: Order, cluster: str) -> dict[str, object]:
    """Return an order as the worker reads it.

    Args:
        order: its token is in the line, or the set of its source.
        cluster: goes into a session name that is made from the token; may be "".
    """
    profile = order.profile
    line: dict[str, object] = {
        "profile": profile.name,
        "role_arn": profile.role_arn,
        "session_name": profile.session_name or session_name(order.token, cluster),
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


def judge(order: Order, answer: Mapping[str, Any], asked: Instant) -> Grant | Failure:
    """Return what the worker's answer to an order is worth.

    Args:
        order: what was asked for.
        answer: `granted`, `refused` or `failed`, as the worker writes it.
        asked: monotonic time just before the call; wall time stands in for STS's own where it told none.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: the answer is not of that form.
    """
    if "refused" in answer:
        refused = answer["refused"]
        return classify(str(refused["code"]), str(refused["message"]), int(refused["status"]))
    if "failed" in answer:
        return local_failure(Outcome(answer["failed"]["outcome"]), str(answer["failed"]["code"]))
    return _grant(order, answer["granted"], asked)


def _grant(order: Order, granted: Mapping[str, Any], asked: Instant) -> Grant | Failure:
    """Return the grant, or BAD_ANSWER where a part of it is missing or already worthless."""
    # Printable ASCII only: a line feed in a value would break the header that a client makes of it.
    if not all(
        isinstance(value := granted[name], str) and value and value.isascii() and value.isprintable()
        for name in _CREDENTIAL_FIELDS
    ):
        return local_failure(Outcome.BAD_ANSWER, "IncompleteCredentials")
    if sum(len(granted[name]) for name in _CREDENTIAL_FIELDS) > BODY_MAX_BYTES - _REST_OF_BODY_BYTES:
        return TOO_LARGE
    expires_at = granted["expires_at"]
    sts_time = granted["sts_time"]
    began_at = asked.wall if sts_time is None else sts_time
    wanted = float(order.profile.duration_seconds)
    granted_life = float(expires_at) - began_at
    if not math.isfinite(granted_life) or granted_life <= 0:
        return local_failure(Outcome.BAD_ANSWER, "AlreadyExpired")
    # STS never grants more than was asked for. A client would believe such an expiry and never come back.
    if (sts_time is not None and granted_life > wanted + _SLACK_SECONDS) or expires_at > _LAST_SECOND:
        return local_failure(Outcome.BAD_ANSWER, "LivesTooLong")
    # Without STS's own time a wrong clock of ours must not stretch a life.
    life = min(granted_life, wanted)
    credentials = Credentials(
        access_key_id=granted["access_key_id"],
        secret_access_key=granted["secret_access_key"],
        session_token=granted["session_token"],
        # Without STS's own time an expiry years ahead is not believed either: clients would never come back.
        expires_at=int(min(expires_at, began_at + wanted)),
        role_arn=order.profile.role_arn,
        account_id=account_of(str(granted["assumed_role_arn"])) or account_of(order.profile.role_arn),
    )
    return Grant(credentials, life, asked.mono)
