"""HTTP/1.1 on one connection, between a protocol of asyncio and the parser of httptools.

A handler gets one request and returns its answer at once, or a ``Pending`` that is resolved later; there is no task,
no timer and no ``await`` per request. Limits of size are enforced here, limits of time by ``ServerConnection.sweep``,
which one timer of the ``listener`` calls for all connections.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, cast

from sidecar.http1.parser import Fault, FaultError, Heads, Request, RequestReader
from sidecar.http1.response import EncodedResponse, Pending, error
from sidecar.limits import ENDPOINT_CONNECTIONS, HEAD_MAX_BYTES, IDLE_SECONDS, PIPELINE_MAX, REQUEST_SECONDS

__all__ = ("Handler", "Limits", "Owner", "ServerConnection")

Handler = Callable[[Request], EncodedResponse | Pending]
"""Answers one request at once. An exception is a bug: the peer gets 500, the event loop's handler the exception."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one listener.

    Attributes:
        connections: maximum number of open connections.
        head_bytes: maximum size of request line and headers together.
        request_seconds: maximum time from the first byte of a request to its last.
        idle_seconds: maximum time without a request, or while the peer does not read the answer.
        linger_seconds: maximum wait for the peer's close after an answer that ends the connection.
        sweep_seconds: interval of the checks of these times; a time limit can be exceeded by this much.
    """

    connections: int = ENDPOINT_CONNECTIONS
    head_bytes: int = HEAD_MAX_BYTES
    request_seconds: float = REQUEST_SECONDS
    idle_seconds: float = IDLE_SECONDS
    linger_seconds: float = 1.0
    sweep_seconds: float = 1.0


class Owner(Protocol):
    """The members of its listener that a connection uses."""

    handler: Handler
    limits: Limits
    loop: asyncio.AbstractEventLoop
    draining: bool
    heads: Heads

    def closed(self, connection: "ServerConnection") -> None:
        """Remove a connection."""
        ...

    def rejected(self, fault: Fault) -> None:
        """Count a request that was rejected before a handler received it."""
        ...


_ALLOW: Final = {Fault.CONNECT: (("Allow", "GET"),)}  # RFC 9110 section 15.5.6; both ports take GET
_FAULT_ANSWERS: Final = {fault: error(fault.status, fault, fault.text, _ALLOW.get(fault, ())) for fault in Fault}


class ServerConnection(asyncio.Protocol):
    """One connection. Answers are sent in the order of their requests.

    Args:
        owner: the listener that accepted it.
    """

    __slots__ = (
        "_blocked", "_closing_at", "_handler", "_input", "_last", "_leaving", "_linger", "_lost", "_owner",
        "_partial_at", "_paused", "_reader", "_scheduled", "_stalled_at", "_time", "_transport", "_waiting", "since",
    )  # fmt: skip
    _transport: asyncio.Transport
    since: float
    """Time of the last complete request; before that, of the connection."""

    def __init__(self, owner: Owner) -> None:
        self._owner, self._handler, self._time = owner, owner.handler, owner.loop.time
        self._reader = RequestReader(owner.limits.head_bytes, owner.heads)
        self._input = b""
        # Pending answers: (answer, is it for HEAD, does the connection end with it).
        self._waiting: list[tuple[Pending, bool, bool]] = []
        self._last = self._leaving = self._linger = self._lost = self._paused = self._scheduled = False
        self._blocked = False  # no more requests are read: this was the last one, or too many answers are pending
        self._partial_at: float | None = None
        self._stalled_at: float | None = None
        self._closing_at: float | None = None
        self.since = self._time()

    def __repr__(self) -> str:
        state = "lost" if self._lost else "closing" if self._last else "open"
        return f"<Connection {state}, {len(self._waiting)} waiting>"

    @property
    def evictable(self) -> bool:
        """Whether all complete requests are answered, except for answers that the peer does not read."""
        return not self._waiting and (not self._input or self._stalled_at is not None)

    @property
    def backlogged(self) -> bool:
        """Whether it sent more requests than one turn serves and no answer is pending; false after ``leave``."""
        return bool(self._input) and not self._waiting and not self._leaving

    # --- called by asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Save the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the cause makes no difference
        """Drop pending answers, and remove the connection from its listener."""
        self._lost = True
        self._input = b""
        self._waiting.clear()
        self._reader.close()
        del self._transport  # it refers to this object: without the cycle both are freed without the garbage collector
        self._owner.closed(self)

    def data_received(self, data: bytes) -> None:
        """Process bytes of the peer."""
        if not self._last:
            self._input = self._input + data if self._input else data
            self._drive()

    def eof_received(self) -> bool:
        """Close after the pending answers: a client may close its half after the request."""
        if self._waiting:
            answer, head, _ = self._waiting[-1]
            self._waiting[-1] = (answer, head, True)
            self._last = self._blocked = True
            self._input = b""
            return True
        self._last = self._blocked = True
        self._closing_at = self._time()
        return False

    def pause_writing(self) -> None:
        """Stop serving: the peer does not read."""
        self._stalled_at = self._time()
        self._blocked = True

    def resume_writing(self) -> None:
        """Continue: the peer reads again."""
        self._stalled_at = None
        self._blocked = self._last or len(self._waiting) >= PIPELINE_MAX
        self._schedule()

    # --- called by the listener ---

    def sweep(self, now: float) -> None:
        """Enforce the time limits; `now` is the time of the event loop's clock."""
        limits = self._owner.limits
        if self._closing_at is not None:
            unread = self._transport.get_write_buffer_size()
            if now - self._closing_at >= (limits.idle_seconds if unread else limits.linger_seconds):
                self.abort()
        elif self._stalled_at is not None:
            if now - self._stalled_at >= limits.idle_seconds:
                self.abort()
        elif self._waiting or self._input:
            pass  # the peer waits for this program
        elif self._partial_at is not None:
            if now - self._partial_at >= limits.request_seconds:
                # Slowloris: a client that sends one byte at a time would keep a connection open for ever.
                out: list[bytes] = []
                self._reject(Fault.TIMEOUT, out)
                self._transport.write(b"".join(out))
                self._settle()
        elif now - self.since >= limits.idle_seconds:
            self._finish()

    def drain(self) -> None:
        """Close after the answers to complete requests; a request that was partly received can still complete."""
        if not self._waiting and not self._input and self._partial_at is None and not self._last:
            self._finish()

    def leave(self) -> None:
        """Answer one more request of the backlog now, and close with that answer."""
        self._leaving = True
        self._drive()

    def abort(self) -> None:
        """Close at once; ``connection_lost`` is called in the next turn of the event loop."""
        self._transport.abort()

    # --- the work ---

    def _schedule(self) -> None:
        if not self._scheduled and not self._lost:
            self._scheduled = True
            self._owner.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if not self._lost:
            self._drive()

    def _drive(self) -> None:
        out: list[bytes] = []
        if self._waiting:
            self._collect(out)
        reader, data, position, served = self._reader, self._input, 0, 0
        try:
            while position < len(data) and served < PIPELINE_MAX and not self._blocked:
                position = reader.read(data, position)
                if reader.request is not None:
                    served += 1
                    self._serve(reader.request, out)
        except FaultError as exc:
            self._reject(exc.fault, out)
        if served:
            self.since = self._time()
        if reader.size and not self._last:
            if served or self._partial_at is None:
                self._partial_at = self._time()
        else:
            self._partial_at = None
        self._input = data[position:]
        if out:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        if self._blocked or self._paused or self._input:
            self._settle()

    def _collect(self, out: list[bytes]) -> None:
        while self._waiting and (answer := self._waiting[0][0].answer) is not None:
            _, head, close = self._waiting.pop(0)
            if self._owner.draining and not self._waiting:
                close = self._last = True
            out.append(_pick(answer, head=head, close=close))
        self._blocked = self._last or self._stalled_at is not None or len(self._waiting) >= PIPELINE_MAX

    def _serve(self, request: Request, out: list[bytes]) -> None:
        try:
            answer = self._handler(request)
        except Exception as exc:  # noqa: BLE001 - a bug of a handler must not close other connections
            self._owner.loop.call_exception_handler({"message": "a request handler failed", "exception": exc})
            self._reject(Fault.INTERNAL, out)
            return
        close = self._owner.draining or self._leaving or not request.keep_alive
        if close:
            self._last = self._blocked = True
        self._put(answer, out, head=request.method == b"HEAD", close=close)

    def _reject(self, fault: Fault, out: list[bytes]) -> None:
        self._owner.rejected(fault)
        self._last = self._blocked = self._linger = True
        self._put(_FAULT_ANSWERS[fault], out, head=self._reader.is_head, close=True)

    def _put(self, answer: EncodedResponse | Pending, out: list[bytes], *, head: bool, close: bool) -> None:
        if isinstance(answer, EncodedResponse):
            if not self._waiting:
                out.append(_pick(answer, head=head, close=close))
                return
            answer = Pending(answer)
        self._waiting.append((answer, head, close))
        self._blocked = self._blocked or len(self._waiting) >= PIPELINE_MAX
        answer.notify(self._schedule)

    def _settle(self) -> None:
        # Decides whether to read more, to continue in the next turn, or to close.
        if self._last:
            self._linger = self._linger or bool(self._input)
            self._input = b""
            if not self._waiting and self._closing_at is None:
                self._finish()
            return
        if self._input and not self._blocked:
            self._schedule()
        pause = self._blocked or bool(self._input)
        if pause is not self._paused:
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _finish(self) -> None:
        self._last = True
        self._closing_at = self._time()
        if not self._linger:
            self._transport.close()
            return
        # Closing a socket with unread bytes resets it, and the peer can lose the answer (RFC 9112 section 9.6):
        # close the write half, discard what arrives, and let the peer or the sweep close.
        self._transport.write_eof()
        self._transport.resume_reading()


def _pick(answer: EncodedResponse, *, head: bool, close: bool) -> bytes:
    data = answer.close if close else answer.keep
    # RFC 9110 section 9.3.2: HEAD gets the header section of GET and never a body.
    return data[: data.index(b"\r\n\r\n") + 4] if head else data
