"""Renders complete HTTP/1.1 responses. Pure.

The requirements of each SDK were measured: exactly 200, no compression, no chunks, no redirect, always a length.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from sidecar.limits import RETRY_AFTER_SECONDS

__all__ = (
    "JSON",
    "TEXT",
    "EncodedResponse",
    "Pending",
    "encode_response",
    "error",
    "error_body",
)

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

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


@dataclass(frozen=True, slots=True)
class EncodedResponse:
    """A complete HTTP/1.1 response, rendered once.

    Attributes:
        keep: its bytes for a connection that stays open. May contain credentials.
        close: the same with ``Connection: close``. May contain credentials.
    """

    keep: bytes = field(repr=False)
    close: bytes = field(repr=False)


class Pending:
    """An answer that is not available yet."""

    __slots__ = ("_then", "answer")

    def __init__(self, answer: EncodedResponse | None = None) -> None:
        self.answer = answer
        self._then: Callable[[], None] | None = None

    def resolve(self, answer: EncodedResponse) -> None:
        """Set the answer; a second call has no effect. It is written in the next turn of the event loop."""
        if self.answer is None:
            self.answer = answer
            if self._then is not None:
                self._then()

    def notify(self, then: Callable[[], None]) -> None:
        """Register ``then``; it is called when the answer is set."""
        self._then = then


def error_body(code: str, message: str) -> bytes:
    """Return the JSON of an error with keys in both spellings: Go and Java read lower case, JavaScript upper case."""
    fields = {"code": code, "message": message, "Code": code, "Message": message}
    return json.dumps(fields, separators=(",", ":")).encode()


def encode_response(
    status: int,
    body: bytes,
    *,
    content_type: str = JSON,
    headers: Iterable[tuple[str, str]] = (),
) -> EncodedResponse:
    """Return a complete response.

    There is no Date: an answer is rendered once and served for half an hour, and clients compare the expiration
    with their own clock.

    Args:
        status: one of the statuses that this program uses.
        body: sent unchanged.
        content_type: its media type.
        headers: more field lines; they are not checked.

    Raises:
        KeyError: a status that this program does not use.
    """
    lines = [
        f"HTTP/1.1 {status} {_PHRASES[status]}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",  # a cache would give credentials to the next client
        *(f"{name}: {value}" for name, value in headers),
    ]
    if status == 503:  # noqa: PLR2004 - RFC 9110 section 15.6.4
        lines.append(f"Retry-After: {RETRY_AFTER_SECONDS}")
    head = "\r\n".join(lines).encode()
    return EncodedResponse(head + b"\r\n\r\n" + body, head + b"\r\nConnection: close\r\n\r\n" + body)


def error(status: int, code: str, message: str, headers: Iterable[tuple[str, str]] = ()) -> EncodedResponse:
    """Return the complete response for an error.

    Raises:
        KeyError: a status that this program does not use.
    """
    return encode_response(status, error_body(code, message), headers=headers)
