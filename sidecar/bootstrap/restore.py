"""Gives a role that AWS does not delete its policies back, so that what uses it keeps working."""

import json
from collections.abc import Callable, Mapping, Sequence

from sidecar.bootstrap.failure import BootstrapError
from sidecar.bootstrap.show import ChangeStatus, Show
from sidecar.bootstrap.state import Change

__all__ = ("restore",)


def restore(apply: Callable[[Change], None], done: Sequence[Change], target: str, show: Show) -> str:
    """Undo what this run took from a role, and return a sentence with what the role has now; "" if it took nothing.

    Args:
        apply: makes a change, or raises BootstrapError.
        done: the changes of this run.
        target: the role, as in `Change.target`.
        show: receives each change.
    """
    changes = _restoring(done, target)
    lost: list[str] = []
    for change in changes:
        try:
            apply(change)
        except BootstrapError:
            # These credentials may be able to remove only. What is lost is named instead.
            show.change(change, ChangeStatus.FAILED)
            lost.append(change.what if isinstance(change.after, Mapping) else f"{change.what} {change.after}")
        else:
            show.change(change, ChangeStatus.DONE)
    if lost:
        return f". {target} still exists and has lost: {', '.join(lost)}"
    return f". {target} still exists, and its policies were restored" if changes else ""


def _restoring(done: Sequence[Change], target: str) -> list[Change]:
    why = "AWS did not delete the role"
    found: list[Change] = []
    for change in done:
        if change.target == target and change.operation == "DetachRolePolicy":
            found.append(Change("AttachRolePolicy", target, change.parameters, "policy", None, change.before, why))
        elif change.target == target and change.operation == "DeleteRolePolicy":
            document = json.dumps(change.before, separators=(",", ":"))
            parameters = {**change.parameters, "PolicyDocument": document}
            found.append(Change("PutRolePolicy", target, parameters, change.what, None, change.before, why))
    return found
