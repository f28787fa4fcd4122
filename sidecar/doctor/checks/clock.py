"""This machine's clock, beside those of the issuer and of STS."""

from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.verdict import Cause, Check, Finding, Verdict, advice, broken, good, unknown
from sidecar.issuer.reader import Answer

__all__ = ("CHECK",)

# A Date header has whole seconds, and an answer takes some.
_NOTABLE_SECONDS: Final = 60
# AWS refuses requests that were signed more than 5 minutes off (IAM User Guide, signature version 4: request elements).
_BROKEN_SECONDS: Final = 300
_BEHIND: Final = Cause(
    "clock_behind",
    "this node's clock is behind: what has expired is used on, and AWS refuses requests signed in the past",
    "start NTP on the node (chronyd or systemd-timesyncd), and look why it is not synchronised",
    "timedatectl show -p NTPSynchronized -p TimeUSec",
)
_AHEAD: Final = Cause(
    "clock_ahead",
    "this node's clock is ahead: tokens and credentials seem expired before they are, and AWS refuses signatures",
    "start NTP on the node (chronyd or systemd-timesyncd), and look why it is not synchronised",
    "timedatectl show -p NTPSynchronized -p TimeUSec",
)


def _run(case: Case) -> Verdict:
    skews = {}
    if case.sts and case.sts.date is not None:
        skews["STS"] = case.sts.date - case.sts.asked_at
    answer = case.discovery_answer if case.issuer else None
    if isinstance(answer, Answer) and answer.date is not None:
        skews["the issuer"] = answer.date - case.now.wall
    if not skews:
        return unknown("neither STS nor the issuer told its time")
    who, skew = next(iter(skews.items()))
    evidence = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} {who}"
    if abs(skew) <= _NOTABLE_SECONDS:
        return good(f"within a minute of {' and '.join(skews)}")
    finding = Finding(_BEHIND if skew > 0 else _AHEAD)
    return broken(evidence, finding) if abs(skew) > _BROKEN_SECONDS else advice(evidence, finding)


CHECK: Final = Check(
    "clock",
    "clock",
    "the Date headers of STS and of the issuer: a minute off is told, five are broken",
    (_BEHIND, _AHEAD),
    _run,
)
