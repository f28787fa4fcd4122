"""Logs: one JSON line per event on standard error, with stable names and a list of allowed fields.

A field that is not on the list is left out of the line and named in ``dropped``, so that no value is logged by
accident. None of the fields on the list holds a token, a key or an Authorization value.
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
from sidecar.limits import LOG_LINES_MAX

__all__ = ("FIELDS", "LineThread", "LogEvent", "Logger", "make_logger")

Logger = FilteringBoundLogger


class LogEvent(StrEnum):
    """All event names; they are an interface and do not change."""

    STARTED = "started"
    PORT_TAKEN = "port_taken"
    AUTH_TOKENS_REPLACED = "auth_tokens_replaced"
    STOPPING = "stopping"
    STOPPED = "stopped"
    CONFIG_WARNING = "config_warning"
    TOKEN_READ = "token_read"  # noqa: S105 - a name
    TOKEN_UNUSABLE = "token_unusable"  # noqa: S105 - a name
    TOKEN_WARNING = "token_warning"  # noqa: S105 - a name
    INOTIFY_UNAVAILABLE = "inotify_unavailable"
    PROFILES_RELOADED = "profiles_reloaded"
    PROFILES_REJECTED = "profiles_rejected"
    STATE_PERSIST_FAILED = "state_persist_failed"
    CREDENTIALS_FILE_FAILED = "credentials_file_failed"
    EXCHANGE_STARTED = "exchange_started"
    EXCHANGE_FAILED = "exchange_failed"
    CREDENTIALS_LOADED = "credentials_loaded"
    CREDENTIALS_REFRESHED = "credentials_refreshed"
    CREDENTIALS_WITHDRAWN = "credentials_withdrawn"
    PREVIOUS_SETTINGS_SERVED = "previous_settings_served"
    REQUEST_REJECTED = "request_rejected"
    LINES_DROPPED = "lines_dropped"
    CALLBACK_FAILED = "callback_failed"
    CRASHED = "crashed"


FIELDS: Final = frozenset({
    "added", "admin_port", "audience", "aws_code", "aws_error", "aws_request_id", "changed", "endpoint_port",
    "error_type", "expires_at", "fix", "http_status", "issuer", "key_id", "lines", "next_attempt_seconds", "outcome",
    "previous_settings", "profile", "profiles", "reason", "remaining_seconds", "removed", "requests", "role_arn",
    "seconds", "signal", "subject", "task", "version", "warning", "where",
})  # fmt: skip
"""All fields that a line may have, apart from ``ts``, ``level`` and ``event``."""

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
    """Writes lines to a stream on a separate thread, in order.

    A pipe whose reader has stalled blocks its writer, and the event loop must not block. When too many lines wait, new
    ones are dropped, and the next line that is written is preceded by one with their number.

    Args:
        stream: the output.
        clock: gives the time of the line with the number of dropped lines.
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
        """Queue a line; returns at once."""
        if self._lines.qsize() >= LOG_LINES_MAX:
            self._dropped += 1
            return
        if self._dropped:
            report = {"ts": round(self._clock.now().wall, 3), "lines": self._dropped, "event": LogEvent.LINES_DROPPED}
            self._lines.put(json.dumps(report | {"level": "warning"}) + "\n")
            self._dropped = 0
        self._lines.put(line)

    def flush(self) -> None:
        """Return at once: the caller must not wait for the stream."""

    def stop(self, timeout: float) -> bool:
        """Write the queued lines, for at most ``timeout`` seconds; return whether all were written."""
        self._lines.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            # The reader of the pipe has ended: no other place can get the line.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(line)
                self._stream.flush()


def make_logger(level: str, clock: Clock, stream: LineThread | TextIO) -> Logger:
    """Return the logger of the daemon; nothing global is configured.

    Args:
        level: minimum log level: debug, info, warning or error.
        clock: gives ``ts``, wall seconds with milliseconds.
        stream: the output.

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
