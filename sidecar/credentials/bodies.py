"""Credentials as the bytes that clients read. Pure.

The key spellings and the time format are what the SDKs require; this was measured.
"""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from sidecar.errors import SidecarError
from sidecar.limits import BODY_MAX_BYTES, PROCESS_MAX_BYTES
from sidecar.model import Credentials

__all__ = ("BodyError", "BodyProblem", "ecs_body", "format_time", "process_body")

_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z


class BodyProblem(StrEnum):
    """Why credentials cannot be served."""

    INCOMPLETE = "incomplete"
    INVALID_EXPIRATION = "invalid_expiration"
    TOO_LARGE = "too_large"


_BODY_FIX = {
    BodyProblem.INCOMPLETE: "STS returned credentials with an empty field; the next refresh requests new ones",
    BodyProblem.INVALID_EXPIRATION: "STS returned an impossible expiration; the next refresh requests new credentials",
    BodyProblem.TOO_LARGE: f"some SDKs read at most {BODY_MAX_BYTES} bytes; shorten the session policy or tags",
}


class BodyError(SidecarError):
    """Credentials cannot be written in the format that clients read; ``problem`` is the reason, ``hint`` the fix."""

    def __init__(self, problem: BodyProblem) -> None:
        self.problem, self.hint = problem, _BODY_FIX[problem]
        super().__init__(f"credentials {problem}; {self.hint}")


def format_time(epoch: int) -> str:
    """Return wall seconds as ``YYYY-MM-DDTHH:MM:SSZ``, the format that all measured clients parse.

    Raises:
        ValueError: the time is before 1970 or after 9999.
    """
    if not 0 <= epoch <= _LAST_SECOND:
        msg = "a time must be in the years 1970 to 9999"
        raise ValueError(msg)
    return f"{datetime.fromtimestamp(int(epoch), tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def ecs_body(credentials: Credentials) -> bytes:
    """Return the body of the container credentials endpoint (AWS SDKs and Tools Reference Guide).

    Raises:
        BodyError: a field is empty, the expiration is impossible, or the body is over ``BODY_MAX_BYTES``.
    """
    fields = {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
        "Expiration": _expiration(credentials),
    }
    return _compact(fields, credentials, {"RoleArn": credentials.role_arn}, BODY_MAX_BYTES)


def process_body(credentials: Credentials) -> bytes:
    """Return the output of a ``credential_process`` with its line feed (AWS CLI User Guide).

    Raises:
        BodyError: a field is empty, the expiration is impossible, or the text is over ``PROCESS_MAX_BYTES``.
    """
    fields: dict[str, str | int] = {
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
        "Expiration": _expiration(credentials),
    }
    return _compact(fields, credentials, {}, PROCESS_MAX_BYTES - 1) + b"\n"


def _expiration(credentials: Credentials) -> str:
    try:
        return format_time(credentials.expires_at)
    except ValueError as exc:
        raise BodyError(BodyProblem.INVALID_EXPIRATION) from exc


def _compact(
    required: dict[str, str] | dict[str, str | int],
    credentials: Credentials,
    optional: dict[str, str],
    limit: int,
) -> bytes:
    if not all(required.values()):
        raise BodyError(BodyProblem.INCOMPLETE)
    optional = {"AccountId": credentials.account_id, **optional}
    body = _dump({**required, **{key: value for key, value in optional.items() if value}})
    if len(body) > limit:
        raise BodyError(BodyProblem.TOO_LARGE)
    return body


def _dump(fields: dict[str, str] | dict[str, str | int]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
