"""Parses bytes into requests, one at a time. Pure: the result does not depend on how packets split the bytes.

Bodies are never read: no served request has one, and request smuggling needs two parsers that disagree on the end of a
body. A request ends with its first empty line; so the size of its head is exact, however packets split it.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import httptools

from sidecar.limits import HEADS_MAX

__all__ = ("Fault", "FaultError", "Heads", "Request", "RequestReader")

_END: Final = b"\r\n\r\n"
# The first line of every HTTP/2 connection (RFC 9113 section 3.4) names this method and version.
_HTTP2_PREFACE: Final = (b"PRI", "2.0")
_HTTP2_LINE_END: Final = b"HTTP/2.0\r\n"


class Fault(StrEnum):
    """Why a request is rejected before a handler receives it; also the ``reason`` label of the metric."""

    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    BODY = "body"
    CONNECT = "connect"
    HEAD_TOO_LARGE = "head_too_large"
    INTERNAL = "internal"
    VERSION = "version"

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return _FAULTS[self][0]

    @property
    def text(self) -> str:
        """One line for people, with the fix."""
        return _FAULTS[self][1]


_FAULTS: Final = {
    Fault.MALFORMED: (400, "this is not an HTTP request (RFC 9112); send a plain GET"),
    Fault.TIMEOUT: (408, "the request was not complete in time; send it at once"),
    Fault.BODY: (413, "requests here have no body; send a plain GET"),
    Fault.CONNECT: (405, "this is not a proxy and CONNECT opens no tunnel; send a plain GET"),
    Fault.HEAD_TOO_LARGE: (431, "the request line and headers are too large; send fewer headers"),
    Fault.INTERNAL: (500, "a bug of the sidecar; see its log"),
    Fault.VERSION: (505, "this port supports HTTP/1.1 only; set the client to HTTP/1.1"),
}


class FaultError(Exception):
    """The bytes are not an accepted request; the bytes after them cannot be parsed."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Request:
    """One complete request.

    Attributes:
        method: as sent.
        target: the request target, as sent.
        headers: the field lines in order, as sent, without the white space before a value. May contain a token.
        keep_alive: whether the connection can stay open.
    """

    method: bytes
    target: bytes = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    keep_alive: bool


Heads = dict[bytes, tuple[bytes, Request]]


class RequestReader:
    """Reads requests from a stream.

    Args:
        head_max: maximum bytes of request line and headers together, with the empty line.
        heads: requests by their bytes, shared with other readers, so that equal requests are stored once.
    """

    __slots__ = (
        "_head_max", "_headers", "_headers_done", "_heads", "_keep_alive", "_known", "_known_request", "_parser",
        "_tail", "_target", "_whole", "request", "size",
    )  # fmt: skip
    request: Request | None
    """The request that the last ``read`` completed."""
    size: int
    """Number of bytes read of an unfinished request."""

    def __init__(self, head_max: int, heads: Heads | None = None) -> None:
        self._head_max = head_max
        self._heads: Heads = {} if heads is None else heads
        self.request = None
        self.size = 0
        self._tail = b""  # the last of them
        self._known = b""
        self._known_request: Request | None = None
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._headers_done = self._whole = self._keep_alive = False
        # The parser and this object refer to each other: `close` breaks the cycle, so that a thousand short
        # connections a second need no garbage collection.
        self._parser = httptools.HttpRequestParser(self)

    @property
    def is_head(self) -> bool:
        """Whether the request being read is a HEAD."""
        return self._parser.get_method() == b"HEAD"

    def close(self) -> None:
        """Stop; ``read`` must not be called after this."""
        del self._parser

    def read(self, data: bytes, start: int) -> int:
        """Read up to the end of one request and set ``request`` to it, or to None if it is not complete.

        Args:
            data: received bytes.
            start: index of the first byte to read; it must exist.

        Returns:
            Index of the first byte that was not read; greater than ``start``.

        Raises:
            FaultError: this is not an accepted request.
        """
        fresh = not start and not self.size
        if fresh and data == self._known:
            # The same bytes as the previous request, as clients send them in a loop: the result of the parser would be
            # the same. The guard checks it like any other request.
            self.request = self._known_request
            return len(data)
        self.request = None
        found = data.find(_END, start)
        end = len(data) if found < 0 else found + 4
        if self._tail:
            end = self._end_at_seam(data, start, end)
        room = start + self._head_max - self.size
        piece = data[start:end] if end <= room else data[start:room]
        try:
            self._parser.feed_data(piece)
        # `from None`: today the texts of the parser quote nothing, but a header contains the auth token.
        except httptools.HttpParserUpgrade:
            self._ignore_upgrade()
        except httptools.HttpParserError:
            raise FaultError(Fault.VERSION if self._is_http2 else Fault.MALFORMED) from None
        if self._whole:
            self._complete()
            self._remember(data if fresh and end == len(data) and self._keep_alive else b"")
            return end
        if self._headers_done:
            raise FaultError(Fault.BODY)
        seen = self._tail + piece
        # Not before the line is complete: the parser reports 2.0 after "HTTP/2.", and 2.1 is malformed.
        if _HTTP2_LINE_END in seen and self._is_http2:
            raise FaultError(Fault.VERSION)
        if end > room:
            raise FaultError(Fault.HEAD_TOO_LARGE)
        self.size += len(piece)
        self._tail = seen[1 - len(_HTTP2_LINE_END) :]
        return end

    @property
    def _is_http2(self) -> bool:
        return (self._parser.get_method(), self._parser.get_http_version()) == _HTTP2_PREFACE

    def _ignore_upgrade(self) -> None:
        """Accept the request as if it had no Upgrade (RFC 9110 section 7.8 allows that); the parser continues after it.

        Raises:
            FaultError: the request has a body, or is a CONNECT.
        """
        if self._parser.get_method() == b"CONNECT":
            raise FaultError(Fault.CONNECT)
        # After Upgrade the parser does not handle the body. Its bytes must not be read as the next request.
        for name, value in self._headers:
            lower = name.lower()
            if lower == b"transfer-encoding" or (lower == b"content-length" and value.strip(b" \t0")):
                raise FaultError(Fault.BODY)

    def _remember(self, head: bytes) -> None:
        if not head or self.request is None:
            self._known = b""
            return
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        self._known, self._known_request = self._heads.setdefault(head, (head, self.request))

    def _end_at_seam(self, data: bytes, start: int, end: int) -> int:
        # Packets can split the empty line: the last bytes of the previous packet are searched too.
        tail = self._tail[1 - len(_END) :]
        seam = (tail + data[start : start + 3]).find(_END)
        return end if seam < 0 else start + seam + 4 - len(tail)

    def _complete(self) -> None:
        version = self._parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                # The parser accepts a line without a version if packets split it in a certain way.
                raise FaultError(Fault.MALFORMED if version == "0.9" else Fault.VERSION)
            # HTTP/1.0 has its own keep-alive header; no client needs it.
            self._keep_alive = False
        self.request = Request(self._parser.get_method(), self._target, tuple(self._headers), self._keep_alive)
        self._target, self._headers = b"", []
        self._headers_done = self._whole = False
        self.size, self._tail = 0, b""

    # --- called by httptools ---

    def on_url(self, part: bytes) -> None:
        """Add a part of the target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add one field line."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Save the state that the parser resets at the end of the message."""
        self._headers_done = True
        self._keep_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """Save that the request is complete, without a body."""
        self._whole = True
