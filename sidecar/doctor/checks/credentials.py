"""What the set is that the exchange gave."""

from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.verdict import Check, Verdict, good, skipped, unknown

__all__ = ("CHECK",)


def _run(case: Case) -> Verdict:
    held = case.exchanged.held if case.exchanged else None
    if held is None:
        return skipped("there is no set to look at")
    minutes = (held.expires_at - case.wall_at_aws) / 60
    arn = case.aws.caller(held, case.hops[-1])
    if arn is None:
        return unknown(f"good for {minutes:.0f} min; STS did not tell whose they are")
    return good(f"{arn}, good for {minutes:.0f} min")


CHECK: Final = Check("credentials", "credentials", "GetCallerIdentity with the set, and how long it lives", (), _run)
