"""Compares this machine's clock with those of STS and of the issuer."""

from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, advice, broken, good, unknown

__all__ = ("CHECK",)

# A Date header has whole seconds, and a response takes time.
_NOTABLE_SECONDS: Final = 60
# AWS denies requests that were signed more than 5 minutes off (IAM User Guide, signature version 4: request elements).
_BROKEN_SECONDS: Final = 300
_BEHIND: Final = Cause(
    "clock_behind",
    "the clock of this node is behind: expired credentials are still used, and AWS denies requests signed in the past",
    "start NTP on the node (chronyd or systemd-timesyncd), and find out why the clock is not synchronised",
    "timedatectl show -p NTPSynchronized -p TimeUSec",
)
_AHEAD: Final = Cause(
    "clock_ahead",
    "the clock of this node is ahead: tokens and credentials seem expired too early, and AWS denies signed requests",
    "start NTP on the node (chronyd or systemd-timesyncd), and find out why the clock is not synchronised",
    "timedatectl show -p NTPSynchronized -p TimeUSec",
)


def _run(case: Case) -> CheckResult:
    skews = case.skews
    if not skews:
        return unknown("neither STS nor the issuer sent its time")
    who, skew = next(iter(skews.items()))
    evidence = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} {who}"
    if abs(skew) <= _NOTABLE_SECONDS:
        return good(f"within a minute of {' and '.join(skews)}")
    finding = Finding(_BEHIND if skew > 0 else _AHEAD)
    return broken(evidence, finding) if abs(skew) > _BROKEN_SECONDS else advice(evidence, finding)


CHECK: Final = Check(
    "clock",
    "clock",
    "the Date headers of STS and of the issuer: more than 1 minute off is advice, more than 5 minutes is broken",
    (_BEHIND, _AHEAD),
    _run,
)
