"""The role that is asked for, before anybody is asked: is it set, and does it fit the region?"""

from typing import Final

from sidecar.doctor.case import Case, Place
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, Verdict, broken, good, skipped

__all__ = ("CHECK",)

_MISSING: Final = Cause(
    "role_not_set",
    "no role is set: there is nothing to ask STS for",
    "set AWS_ROLE_ARN, or --profiles-file, as in the sidecar's container",
    exit_code=Exit.CONFIGURATION,
)
_PARTITION: Final = Cause(
    "wrong_partition",
    "the role is of partition {partition}, and the region {region} of another: STS there knows no such role",
    "write the role's ARN with {right_partition}, or choose a region of {partition}",
    exit_code=Exit.CONFIGURATION,
)


def _run(case: Case) -> Verdict:
    if not case.role_known:
        if case.place is Place.APPLICATION:
            return skipped("set in the sidecar only")
        return broken("no role", Finding(_MISSING, case.facts))
    for profile in case.hops:
        partition, right = profile.role_arn.split(":")[1], case.partition(profile)
        if right and partition != right:
            region = profile.region or "aws-global"
            facts = case.facts | {"partition": partition, "right_partition": right, "region": region}
            where = f"in region {region}" if profile.region else "and no region: STS's global endpoint"
            return broken(f"{profile.role_arn} {where}", Finding(_PARTITION, facts))
    return good(", then ".join(profile.role_arn for profile in case.hops))


CHECK: Final = Check(
    "role",
    "role",
    "that one is set, and is of the region's partition",
    (_MISSING, _PARTITION),
    _run,
)
