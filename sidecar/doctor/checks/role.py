"""Checks the settings of the role: it is set, and its partition is that of the region."""

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
_PARTITION: Final = Cause(
    "wrong_partition",
    "the role is in partition {partition}, and region {region} is in another: STS of that region cannot find the role",
    "write the role's ARN with {right_partition}, or set a region of partition {partition}",
    exit_code=Exit.USAGE,
)


def _run(case: Case) -> CheckResult:
    if case.issuer_only:
        return skipped(ISSUER_ONLY)
    if not case.role_known:
        if case.place is Place.APPLICATION:
            return skipped("only the sidecar has this setting")
        return broken("no role is set", Finding(_MISSING, case.facts))
    for profile in case.role_chain:
        partition, right = profile.role_arn.split(":")[1], case.partition(profile)
        if right and partition != right:
            region = profile.region or "aws-global"
            facts = case.facts | {"partition": partition, "right_partition": right, "region": region}
            where = f"in region {region}" if profile.region else "without a region: the global endpoint of STS"
            return broken(f"{profile.role_arn} {where}", Finding(_PARTITION, facts))
    return good(", then ".join(profile.role_arn for profile in case.role_chain))


CHECK: Final = Check(
    "role",
    "role",
    "a role is set, and its partition is that of the region",
    (_MISSING, _PARTITION),
    _run,
)
