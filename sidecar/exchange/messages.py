"""Requests as the worker reads them, and the results that its answers contain. Pure."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sidecar.clock import Instant
from sidecar.errors import Failure, Outcome, Retry, StsErrorKind
from sidecar.exchange.classify import classify, local_failure
from sidecar.exchange.session_name import make_session_name
from sidecar.limits import BODY_MAX_BYTES, BODY_REST_BYTES, EXPIRATION_SLACK_SECONDS
from sidecar.model import AssumeRoleRequest, AssumeRoleResult, Credentials, account_of

__all__ = ("TOO_LARGE", "parse_result", "request_line")

CHAINED_HINT: Final = (
    "the role does not exist or does not trust its source role, or the source role is not allowed to assume it: "
    "`assumed_by` of bootstrap aws sets both up"
)
# A token takes no part in the request of a chained role.
_BY_TRUST: Final = frozenset({StsErrorKind.DENIED, StsErrorKind.TRUST_POLICY})
_CREDENTIAL_FIELDS: Final = ("access_key_id", "secret_access_key", "session_token")
TOO_LARGE: Final = Failure(
    Outcome.INVALID_RESPONSE,
    Retry.PERMANENT,
    "the credentials are larger than SDKs read: shorten the session policy, its ARNs or the tags",
    "TooLarge",
)


def request_line(request: AssumeRoleRequest, cluster: str) -> dict[str, object]:
    """Return a request in the form that the worker reads.

    Args:
        request: its token is in the line, or the credentials of its source.
        cluster: part of a session name that is made from the token; may be "".
    """
    profile = request.profile
    line: dict[str, object] = {
        "profile": profile.name,
        "role_arn": profile.role_arn,
        "session_name": profile.session_name or make_session_name(request.token, cluster),
        "duration_seconds": profile.duration_seconds,
        "region": profile.region,
        "endpoint_url": profile.endpoint_url,
        "fips": profile.fips,
        "dual_stack": profile.dual_stack,
        "policy": profile.policy,
        "policy_arns": profile.policy_arns,
    }
    if request.source is None:
        return line | {"token": request.token.raw}
    tags = {"kubernetes-namespace": request.token.namespace, "kubernetes-pod-name": request.token.pod}
    return line | {
        "source": {name: getattr(request.source, name) for name in _CREDENTIAL_FIELDS},
        "external_id": profile.external_id,
        "tags": {key: value for key, value in tags.items() if value and profile.session_tags},
    }


def parse_result(request: AssumeRoleRequest, answer: Mapping[str, Any], sent: Instant) -> AssumeRoleResult | Failure:
    """Return the result that the worker's answer to a request contains.

    Args:
        request: the request that was sent.
        answer: has the key `result`, `aws_error` or `failure`, as the worker writes it.
        sent: the time just before the call. No credentials are believed beyond its wall time, the requested duration
            and a slack together; it also replaces a time of STS that is missing or cannot be right.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: the answer does not have this form.
    """
    if "aws_error" in answer:
        error = answer["aws_error"]
        failure = classify(
            str(error["code"]), str(error["message"]), int(error["status"]), str(error.get("request_id", ""))
        )
        return replace(failure, hint=CHAINED_HINT) if request.source and failure.kind in _BY_TRUST else failure
    if "failure" in answer:
        return local_failure(Outcome(answer["failure"]["outcome"]), str(answer["failure"]["code"]))
    return _result(request, answer["result"], sent)


def _result(request: AssumeRoleRequest, fields: Mapping[str, Any], sent: Instant) -> AssumeRoleResult | Failure:
    """Return the result, or INVALID_RESPONSE if a field is missing or the credentials have already expired."""
    # Printable ASCII only: a line feed in a value would break the header that a client writes it into.
    if not all(
        isinstance(value := fields[name], str) and value and value.isascii() and value.isprintable()
        for name in _CREDENTIAL_FIELDS
    ):
        return local_failure(Outcome.INVALID_RESPONSE, "IncompleteCredentials")
    if sum(len(fields[name]) for name in _CREDENTIAL_FIELDS) > BODY_MAX_BYTES - BODY_REST_BYTES:
        return TOO_LARGE
    wanted = float(request.profile.duration_seconds)
    # STS never grants more than was requested, and a client would trust a later expiration and never refresh. So an
    # answer is believed up to a slack beyond it: servers on the way set `Date` and answer in place of STS.
    latest = wanted + EXPIRATION_SLACK_SECONDS
    left = float(fields["expires_at"]) - sent.wall
    sts_time = fields["sts_time"]
    lifetime = left if sts_time is None else float(fields["expires_at"]) - sts_time
    if not 0 < lifetime <= latest:
        # The time of STS cannot be right. That of this node can be slow: `wanted` limits what it adds.
        lifetime = left
    if not math.isfinite(lifetime) or lifetime <= 0:
        return local_failure(Outcome.INVALID_RESPONSE, "AlreadyExpired")
    credentials = Credentials(
        access_key_id=fields["access_key_id"],
        secret_access_key=fields["secret_access_key"],
        session_token=fields["session_token"],
        expires_at=int(fields["expires_at"] if left <= latest else sent.wall + wanted),
        role_arn=request.profile.role_arn,
        account_id=account_of(str(fields["assumed_role_arn"])) or account_of(request.profile.role_arn),
    )
    return AssumeRoleResult(credentials, min(lifetime, wanted), sent.mono)
