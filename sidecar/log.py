"""Logs: one JSON line per event on standard error, with stable names and a list of allowed fields.

The list is the guard: a field that is not on it is left out of the line and named in ``dropped``, so that no
value gets out by accident. None of the fields on it ever holds a token, a key or an Authorization value.
"""

import sys
from enum import StrEnum
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from sidecar.clock import Clock

__all__ = ("FIELDS", "Event", "Logger", "make_logger")

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
    EXCHANGE_STARTED = "exchange_started"
    EXCHANGE_FAILED = "exchange_failed"
    CREDENTIALS_LOADED = "credentials_loaded"
    CREDENTIALS_RENEWED = "credentials_renewed"
    CREDENTIALS_WITHDRAWN = "credentials_withdrawn"
    CALLBACK_FAILED = "callback_failed"
    CRASHED = "crashed"


FIELDS: Final = frozenset({
    "account_id", "admin_port", "audience", "aws_code", "class", "endpoint_port", "error_type", "expires_at", "fix",
    "http_status", "issuer", "key_id", "next_attempt_seconds", "next_step", "profile", "profiles", "reason",
    "remaining_seconds", "role_arn", "seconds", "signal", "subject", "task", "version", "warning", "where",
})  # fmt: skip
"""Every field that a line may have beside ``ts``, ``level`` and ``event``."""

_OWN: Final = frozenset({"event", "level", "ts"})
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def _allowed_only(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    dropped = sorted(name for name in line if name not in FIELDS and name not in _OWN)
    for name in dropped:
        del line[name]
    if dropped:
        line["dropped"] = dropped
    return line


def make_logger(level: str, clock: Clock, stream: TextIO | None = None) -> Logger:
    """Return the logger of the daemon; nothing global is configured.

    Args:
        level: debug, info, warning or error.
        clock: gives ``ts``, wall seconds with milliseconds.
        stream: where lines go; standard error by default.

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
        structlog.PrintLogger(stream or sys.stderr),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return logger
