"""Faults of the token file."""

import os
import shutil
from collections.abc import Callable

from examples.local.kubelet import Misbehaviour
from tests.faults.aws_faults import failed
from tests.faults.case import Case
from tests.faults.fault import Fault, LogLine, Recovery, do_nothing

__all__ = ("TOKEN_FAULTS",)


def _heal(case: Case) -> None:
    path = case.kubelet.path
    if path.is_symlink() or path.exists():
        path.unlink()
    case.kubelet.heal()


def _unusable_token(
    name: str, reason: str, inject: Callable[[Case], object], prepare: Callable[[Case], object] = do_nothing
) -> Fault:
    """A file without a valid token: the daemon still uses the token that it read before, so refreshes succeed."""
    return Fault(
        name=f"token {name}",
        inject=inject,
        heal=_heal,
        prepare=prepare,
        logged=LogLine("token_unusable", {"reason": reason}),
        refresh_blocked=False,
        recovery=Recovery.HEALED,
    )


def _bare(case: Case) -> None:
    case.hold_token()
    case.kubelet.path.unlink()


def _loop(case: Case) -> None:
    _bare(case)
    case.kubelet.path.symlink_to(case.kubelet.path.name)


def _fifo(case: Case) -> None:
    _bare(case)
    os.mkfifo(case.kubelet.path)


def _volume_gone(case: Case) -> None:
    case.hold_token()
    shutil.rmtree(case.kubelet.path.parent)


def _volume_back(case: Case) -> None:
    case.kubelet.path.parent.mkdir()
    case.kubelet.heal()


TOKEN_FAULTS = (
    _unusable_token("missing", "missing", lambda case: case.kubelet.misbehave(Misbehaviour.MISSING)),
    _unusable_token("empty", "empty", lambda case: case.kubelet.misbehave(Misbehaviour.EMPTY)),
    _unusable_token("truncated", "malformed", lambda case: case.kubelet.misbehave(Misbehaviour.TRUNCATED)),
    _unusable_token("a directory", "not_a_file", lambda case: case.kubelet.misbehave(Misbehaviour.DIRECTORY)),
    _unusable_token("a link to itself", "missing", _loop),
    _unusable_token("a FIFO", "not_a_file", _fifo),
    _unusable_token("file too large", "too_large", lambda case: case.put_token(b"x" * 1_000_000)),
    _unusable_token("file of random bytes", "malformed", lambda case: case.put_token(bytes(range(256)) * 4)),
    _unusable_token(
        "unreadable",
        "unreadable",
        lambda case: case.kubelet.misbehave(Misbehaviour.UNREADABLE),
        lambda case: case.switch("ordinary"),
    ),
    Fault(
        name="token volume removed, then replaced",
        inject=_volume_gone,
        heal=_volume_back,
        logged=LogLine("token_unusable", {"reason": "missing"}),
        refresh_blocked=False,
        recovery=Recovery.HEALED,
    ),
    Fault(
        name="token expired",
        inject=lambda case: case.kubelet.misbehave(Misbehaviour.EXPIRED),
        heal=_heal,
        logged=failed("expired_token"),
        new_token=True,
        recovery=Recovery.HEALED,
    ),
)
