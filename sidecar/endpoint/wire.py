"""Credentials and errors as bytes. Pure.

What each SDK insists on was measured: exactly these key spellings, exactly this time format, exactly 200,
never compressed, never chunked, never redirected, and always a length.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from sidecar.errors import SidecarError
from sidecar.limits import BODY_MAX_BYTES
from sidecar.model import Credentials

__all__ = (
    "JSON",
    "PROCESS_MAX_BYTES",
    "TEXT",
    "Answer",
    "BodyError",
    "BodyProblem",
    "Pending",
    "ecs_body",
    "error",
    "error_body",
    "format_time",
    "process_body",
    "render",
)

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
# Go reads the output of a credential process into a buffer of 8 KiB (aws-sdk-go processcreds).
PROCESS_MAX_BYTES: Final = 8_191
# How soon to come back after a 503; JS v2 and object stores honour it.
RETRY_AFTER_SECONDS: Final = 1
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z

_PHRASES: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class BodyProblem(StrEnum):
    """Why a set cannot be handed out."""

    INCOMPLETE = "incomplete"
    BAD_EXPIRY = "bad_expiry"
    TOO_LARGE = "too_large"


_BODY_FIX = {
    BodyProblem.INCOMPLETE: "STS granted a set with an empty field; the next refresh asks again",
    BodyProblem.BAD_EXPIRY: "STS granted a set with an impossible expiry; the next refresh asks again",
    BodyProblem.TOO_LARGE: f"some SDKs read at most {BODY_MAX_BYTES} bytes; shorten the session policy or tags",
}


class BodyError(SidecarError):
    """A set cannot be written in the form that clients read; ``problem`` says why, ``hint`` what to do."""

    def __init__(self, problem: BodyProblem) -> None:
        self.problem, self.hint = problem, _BODY_FIX[problem]
        super().__init__(f"credentials {problem}; {self.hint}")


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole HTTP/1.1 response, rendered once.

    Attributes:
        keep: its bytes for a connection that stays open. May hold credentials.
        close: the same with ``Connection: close``. May hold credentials.
    """

    keep: bytes = field(repr=False)
    close: bytes = field(repr=False)


class Pending:
    """An answer that is not known yet."""

    __slots__ = ("_then", "answer")

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self._then: Callable[[], None] | None = None

    def resolve(self, answer: Answer) -> None:
        """Give the answer; only the first call counts. It is written in the next turn of the event loop."""
        if self.answer is None:
            self.answer = answer
            if self._then is not None:
                self._then()

    def notify(self, then: Callable[[], None]) -> None:
        """Have ``then`` called when the answer is given."""
        self._then = then


def format_time(epoch: int) -> str:
    """Return wall seconds as ``YYYY-MM-DDTHH:MM:SSZ``: the one form that every client parses.

    Raises:
        ValueError: the moment is before 1970 or after 9999.
    """
    if not 0 <= epoch <= _LAST_SECOND:
        msg = "a time must be in the years 1970 to 9999"
        raise ValueError(msg)
    return f"{datetime.fromtimestamp(int(epoch), tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def ecs_body(credentials: Credentials) -> bytes:
    """Return the body of the container credentials endpoint (AWS SDKs and Tools Reference Guide).

    Raises:
        BodyError: a field is empty, the expiry is impossible, or the body is over ``BODY_MAX_BYTES``.
    """
    fields = {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
        "Expiration": _expiration(credentials),
    }
    return _compact(fields, credentials, {"RoleArn": credentials.role_arn}, BODY_MAX_BYTES)


def process_body(credentials: Credentials) -> bytes:
    """Return what a ``credential_process`` prints, newline included (AWS CLI User Guide).

    Raises:
        BodyError: a field is empty, the expiry is impossible, or the text is over ``PROCESS_MAX_BYTES``.
    """
    fields: dict[str, str | int] = {
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
        "Expiration": _expiration(credentials),
    }
    return _compact(fields, credentials, {}, PROCESS_MAX_BYTES - 1) + b"\n"


def error_body(code: str, message: str) -> bytes:
    """Return the JSON of an error in both spellings: Go and Java read lower case, JavaScript upper."""
    return _dump({"code": code, "message": message, "Code": code, "Message": message})


def render(
    status: int,
    body: bytes,
    *,
    content_type: str = JSON,
    headers: Iterable[tuple[str, str]] = (),
) -> Answer:
    """Return a whole response.

    There is no Date: an answer is rendered once and served for half an hour, and clients compare the expiry
    with a clock of their own.

    Args:
        status: one of the statuses this program uses.
        body: sent as it is.
        content_type: its media type.
        headers: more field lines, trusted.

    Raises:
        KeyError: a status that this program does not use.
    """
    lines = [
        f"HTTP/1.1 {status} {_PHRASES[status]}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",  # a cache would hand credentials to whoever asks it next
        *(f"{name}: {value}" for name, value in headers),
    ]
    if status == 503:  # noqa: PLR2004 - RFC 9110 section 15.6.4
        lines.append(f"Retry-After: {RETRY_AFTER_SECONDS}")
    head = "\r\n".join(lines).encode()
    return Answer(head + b"\r\n\r\n" + body, head + b"\r\nConnection: close\r\n\r\n" + body)


def error(status: int, code: str, message: str, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    """Return the whole response for an error.

    Raises:
        KeyError: a status that this program does not use.
    """
    return render(status, error_body(code, message), headers=headers)


def _expiration(credentials: Credentials) -> str:
    try:
        return format_time(credentials.expires_at)
    except ValueError as exc:
        raise BodyError(BodyProblem.BAD_EXPIRY) from exc


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
