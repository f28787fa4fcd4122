"""Logs: one JSON line per event on standard error, with stable names and a list of allowed fields.

The list is the guard: a field that is not on it is left out of the line and named in ``dropped``, so that no
value gets out by accident. None of the fields on it ever holds a token, a key or an Authorization value.
"""

import contextlib
import json
import queue
import threading
from enum import StrEnum
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from sidecar.clock import Clock

__all__ = ("FIELDS", "Event", "LineThread", "Logger", "make_logger")

Logger = FilteringBoundLogger


class Event(StrEnum):
    """Every event name; a name is an interface and does not change."""

    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SETTING_UNWISE = "setting_unwise"
    TOKEN_READ = "token_read"  # noqa: S105 - a name
    TOKEN_UNUSABLE = "token_unusable"  # noqa: S105 - a name
    TOKEN_UNWISE = "token_unwise"  # noqa: S105 - a name
    TOKEN_EVENTS_OFF = "token_events_off"  # noqa: S105 - a name
    PROFILES_RELOADED = "profiles_reloaded"
    PROFILES_REFUSED = "profiles_refused"
    STATE_NOT_KEPT = "state_not_kept"
    CREDENTIALS_FILE_FAILED = "credentials_file_failed"
    EXCHANGE_STARTED = "exchange_started"
    EXCHANGE_FAILED = "exchange_failed"
    CREDENTIALS_LOADED = "credentials_loaded"
    CREDENTIALS_RENEWED = "credentials_renewed"
    CREDENTIALS_WITHDRAWN = "credentials_withdrawn"
    LINES_DROPPED = "lines_dropped"
    CALLBACK_FAILED = "callback_failed"
    CRASHED = "crashed"


FIELDS: Final = frozenset({
    "account_id", "admin_port", "audience", "aws_code", "class", "endpoint_port", "error_type", "expires_at", "fix",
    "http_status", "issuer", "key_id", "lines", "next_attempt_seconds", "next_step", "profile", "profiles", "reason",
    "remaining_seconds", "role_arn", "seconds", "signal", "subject", "task", "version", "warning", "where",
})  # fmt: skip
"""Every field that a line may have beside ``ts``, ``level`` and ``event``."""

# A few hundred kilobytes: hours of ordinary life, and no leak when nobody reads.
_WAITING_LINES_MAX: Final = 1_000
_OWN: Final = frozenset({"event", "level", "ts"})
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def _allowed_only(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    dropped = sorted(name for name in line if name not in FIELDS and name not in _OWN)
    for name in dropped:
        del line[name]
    if dropped:
        line["dropped"] = dropped
    return line


class LineThread:
    """Writes lines to a stream on a thread of its own, in order.

    A pipe whose reader has stalled blocks whoever writes to it, and that must not be the event loop. When too many
    lines wait, new ones are dropped, and the next one that is written says how many.

    Args:
        stream: where lines go.
        clock: gives the time of the line that says how many were dropped.
    """

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._dropped = 0
        # A daemon thread: a write that blocks for ever must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Have a line written; returns at once."""
        if self._lines.qsize() >= _WAITING_LINES_MAX:
            self._dropped += 1
            return
        if self._dropped:
            told = {"ts": round(self._clock.now().wall, 3), "lines": self._dropped, "event": Event.LINES_DROPPED}
            self._lines.put(json.dumps(told | {"level": "warning"}) + "\n")
            self._dropped = 0
        self._lines.put(line)

    def flush(self) -> None:
        """Return at once: waiting for the stream is what this class is there to avoid."""

    def stop(self, timeout: float) -> bool:
        """Write what waits, but wait no longer than ``timeout`` seconds; return whether all was written."""
        self._lines.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            # The reader is gone: there is nobody to tell.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(line)
                self._stream.flush()


def make_logger(level: str, clock: Clock, stream: LineThread | TextIO) -> Logger:
    """Return the logger of the daemon; nothing global is configured.

    Args:
        level: debug, info, warning or error.
        clock: gives ``ts``, wall seconds with milliseconds.
        stream: where lines go.

    Raises:
        KeyError: another level.
    """

    def stamp(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        return {"ts": round(clock.now().wall, 3), **line}

    processors: list[Any] = [
        structlog.processors.add_log_level,
        _allowed_only,
        stamp,
        structlog.processors.JSONRenderer(),
    ]
    logger: Logger = structlog.wrap_logger(
        structlog.WriteLogger(cast("TextIO", stream)),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return logger
