"""Bytes in, one request at a time out. No I/O, no time: what the bytes are decides, not how they arrive.

Bodies are never read: no request that we answer has one, and two readers who disagree on where a body ends
are how requests are smuggled. So a request ends exactly with its first empty line, which is what lets the
size of a head be counted to the byte however it was cut into packets.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import httptools

__all__ = ("Fault", "FaultError", "Heads", "Request", "RequestReader")

_END: Final = b"\r\n\r\n"


class Fault(StrEnum):
    """What is refused before a handler sees it; also the ``cause`` label of the metric."""

    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    BODY = "body"
    UPGRADE = "upgrade"
    HEAD_TOO_LARGE = "head_too_large"
    INTERNAL = "internal"
    VERSION = "version"

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return _FAULTS[self][0]

    @property
    def text(self) -> str:
        """One line for a person, with the next step."""
        return _FAULTS[self][1]


_FAULTS: Final = {
    Fault.MALFORMED: (400, "this is not an HTTP request (RFC 9112); send a plain GET"),
    Fault.TIMEOUT: (408, "the request did not arrive whole in time; send it in one go"),
    Fault.BODY: (413, "requests here have no body; send a plain GET"),
    Fault.UPGRADE: (400, "there is nothing to upgrade to; speak HTTP/1.1"),
    Fault.HEAD_TOO_LARGE: (431, "the request line and headers are too large; send fewer headers"),
    Fault.INTERNAL: (500, "a bug of the sidecar; its log says more"),
    Fault.VERSION: (505, "speak HTTP/1.1"),
}


class FaultError(Exception):
    """The bytes are no request that we take; nothing after them can be read."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Request:
    """One complete request.

    Attributes:
        method: as sent.
        target: the request target, as sent.
        headers: every field line in order, as sent but for the white space before a value. May hold a token.
        keep_alive: whether the peer lets the connection stay open.
    """

    method: bytes
    target: bytes = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    keep_alive: bool


Heads = dict[bytes, tuple[bytes, Request]]
# A pod has a handful of clients, each with one way to ask.
_HEADS_MAX: Final = 16


class RequestReader:
    """Reads requests from a stream.

    Args:
        head_max: bytes that a request line and headers may take together, the empty line included.
        heads: requests by their bytes, shared with other readers, so that clients that send the same keep one copy.
    """

    __slots__ = (
        "_head_max", "_headers", "_headers_done", "_heads", "_keep_alive", "_known", "_known_request", "_parser",
        "_tail", "_target", "_whole", "request", "size",
    )  # fmt: skip
    request: Request | None
    """The request that the last ``read`` completed."""
    size: int
    """How many bytes of an unfinished request were read."""

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
        # The parser calls this object, and this object the parser: `close` cuts the cycle, so that a thousand
        # short connections a second leave nothing to the garbage collector.
        self._parser = httptools.HttpRequestParser(self)

    @property
    def is_head(self) -> bool:
        """Whether the request being read is a HEAD."""
        return self._parser.get_method() == b"HEAD"

    def close(self) -> None:
        """Never read again."""
        del self._parser

    def read(self, data: bytes, start: int) -> int:
        """Read up to the end of one request and leave it, or None if it is not complete, in ``request``.

        Args:
            data: what has arrived.
            start: the first byte of it to read; there must be one.

        Returns:
            The first byte that was not read; further than ``start``.

        Raises:
            FaultError: this is no request that we take.
        """
        fresh = not start and not self.size
        if fresh and data == self._known:
            # Byte for byte the request before, as clients in a loop send it: parsed, it would be the same. It is judged
            # anew, like every request.
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
        # `from None`: the parser's texts quote nothing today, but a header holds the auth token.
        except httptools.HttpParserUpgrade:
            raise FaultError(Fault.UPGRADE) from None
        except httptools.HttpParserError:
            raise FaultError(Fault.MALFORMED) from None
        if self._whole:
            self._complete()
            self._remember(data if fresh and end == len(data) and self._keep_alive else b"")
            return end
        if self._headers_done:
            raise FaultError(Fault.BODY)
        if end > room:
            raise FaultError(Fault.HEAD_TOO_LARGE)
        self.size += len(piece)
        self._tail = (self._tail + piece)[-3:]
        return end

    def _remember(self, head: bytes) -> None:
        if not head or self.request is None:
            self._known = b""
            return
        if len(self._heads) >= _HEADS_MAX:
            self._heads.clear()
        self._known, self._known_request = self._heads.setdefault(head, (head, self.request))

    def _end_at_seam(self, data: bytes, start: int, end: int) -> int:
        # The empty line may have been cut by packets: look at the last bytes of the earlier one too.
        seam = (self._tail + data[start : start + 3]).find(_END)
        return end if seam < 0 else start + seam + 4 - len(self._tail)

    def _complete(self) -> None:
        version = self._parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                # The parser takes a line without a version only where packets cut it in a certain way.
                raise FaultError(Fault.MALFORMED if version == "0.9" else Fault.VERSION)
            # HTTP/1.0 could keep alive by a header of its own; nothing that needs it is left.
            self._keep_alive = False
        self.request = Request(self._parser.get_method(), self._target, tuple(self._headers), self._keep_alive)
        self._target, self._headers = b"", []
        self._headers_done = self._whole = False
        self.size, self._tail = 0, b""

    # --- called by httptools ---

    def on_url(self, part: bytes) -> None:
        """Take a part of the target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one field line."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take what the parser forgets at the end of the message."""
        self._headers_done = True
        self._keep_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """Note that there is no body."""
        self._whole = True
