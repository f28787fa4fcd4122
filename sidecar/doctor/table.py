"""Every check, in order: the application first, AWS last. ``docs/doctor.md`` is generated from it."""

from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.checks import (
    application,
    auth_token,
    certificate,
    claims,
    clock,
    credentials,
    daemon,
    discovery,
    exchange,
    iam,
    keys,
    permissions,
    role,
    sts_path,
    token_file,
)
from sidecar.doctor.result import Cause, Check

__all__ = ("CAUSES", "CHECKS")

CHECKS: Final[tuple[Check[Case], ...]] = (
    role.CHECK,
    application.CHECK,
    auth_token.CHECK,
    daemon.CHECK,
    token_file.CHECK,
    claims.CHECK,
    clock.CHECK,
    discovery.CHECK,
    keys.CHECK,
    certificate.CHECK,
    sts_path.CHECK,
    iam.CHECK,
    exchange.CHECK,
    credentials.CHECK,
    permissions.CHECK,
)

CAUSES: Final[tuple[Cause, ...]] = tuple(dict.fromkeys(cause for check in CHECKS for cause in check.causes))
"""Every cause, each once."""
