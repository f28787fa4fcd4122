"""Checks that a role is set. Its partition was compared with the region's before any check."""

from typing import Final

from sidecar.doctor.case import ISSUER_ONLY, Case
from sidecar.doctor.options import Place
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, broken, good, skipped
from sidecar.exits import Exit

__all__ = ("CHECK",)

_MISSING: Final = Cause(
    "role_not_set",
    "no role is set",
    "set AWS_ROLE_ARN or --profiles-file, with the value of the sidecar's container",
    exit_code=Exit.USAGE,
)


def _run(case: Case) -> CheckResult:
    if case.issuer_only:
        return skipped(ISSUER_ONLY)
    if not case.role_known:
        if case.place is Place.APPLICATION:
            return skipped("only the sidecar has this setting")
        return broken("no role is set", Finding(_MISSING, case.facts))
    return good(", then ".join(profile.role_arn for profile in case.role_chain))


CHECK: Final = Check(
    "role",
    "role",
    "a role is set",
    (_MISSING,),
    _run,
)
