"""What can be wrong with the token file."""

import os
import shutil
from collections.abc import Callable

from examples.local.kubelet import Misbehaviour
from tests.faults.case import Case
from tests.faults.kinds import Fault, Told, Wake, nothing
from tests.faults.kinds_aws import failed

__all__ = ("TOKEN_FAULTS",)


def _heal(case: Case) -> None:
    path = case.kubelet.path
    if path.is_symlink() or path.exists():
        path.unlink()
    case.kubelet.heal()


def _unusable(
    name: str, reason: str, strike: Callable[[Case], object], prepare: Callable[[Case], object] = nothing
) -> Fault:
    """A file without a token: the one that was read before stays in use, so renewals go on."""
    return Fault(
        name=f"token {name}",
        strike=strike,
        heal=_heal,
        prepare=prepare,
        told=Told("token_unusable", {"reason": reason}),
        renewal_blocked=False,
        wake=Wake.HEALED,
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
    _unusable("missing", "missing", lambda case: case.kubelet.misbehave(Misbehaviour.MISSING)),
    _unusable("empty", "empty", lambda case: case.kubelet.misbehave(Misbehaviour.EMPTY)),
    _unusable("truncated", "malformed", lambda case: case.kubelet.misbehave(Misbehaviour.TRUNCATED)),
    _unusable("a directory", "not_a_file", lambda case: case.kubelet.misbehave(Misbehaviour.DIRECTORY)),
    _unusable("a link to itself", "missing", _loop),
    _unusable("a FIFO", "not_a_file", _fifo),
    _unusable("file too large", "too_large", lambda case: case.put_token(b"x" * 1_000_000)),
    _unusable("file of random bytes", "malformed", lambda case: case.put_token(bytes(range(256)) * 4)),
    _unusable(
        "unreadable",
        "unreadable",
        lambda case: case.kubelet.misbehave(Misbehaviour.UNREADABLE),
        lambda case: case.switch("ordinary"),
    ),
    Fault(
        name="token volume gone, then another in its place",
        strike=_volume_gone,
        heal=_volume_back,
        told=Told("token_unusable", {"reason": "missing"}),
        renewal_blocked=False,
        wake=Wake.HEALED,
    ),
    Fault(
        name="token expired",
        strike=lambda case: case.kubelet.misbehave(Misbehaviour.EXPIRED),
        heal=_heal,
        told=failed("expired_token"),
        new_token=True,
        wake=Wake.HEALED,
    ),
)
