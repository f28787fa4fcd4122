"""Checks the credentials that the exchange returned."""

from typing import Final

from sidecar.doctor.aws import CallerUnknown
from sidecar.doctor.case import Case
from sidecar.doctor.result import Check, CheckResult, good, skipped, unknown

__all__ = ("CHECK",)


def _run(case: Case) -> CheckResult:
    credentials = case.exchange_result.credentials if case.exchange_result else None
    if credentials is None:
        return skipped("no credentials from the exchange")
    minutes = (credentials.expires_at - case.wall_at_aws) / 60
    arn = case.aws.caller(credentials, case.role_chain[-1])
    if isinstance(arn, CallerUnknown):
        return unknown(f"valid for {minutes:.0f} min; GetCallerIdentity failed ({arn.code or 'no answer'})")
    return good(f"{arn}, valid for {minutes:.0f} min")


CHECK: Final = Check(
    "credentials",
    "credentials",
    "GetCallerIdentity with the credentials of the exchange, and their expiration",
    (),
    _run,
)
