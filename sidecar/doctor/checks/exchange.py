"""Checks one exchange at STS, done as the daemon does it, and names the possible causes if it fails."""

from collections.abc import Mapping
from typing import Final

from sidecar.doctor.case import Case, facts_of
from sidecar.doctor.checks import discovery, exchange_causes, iam_causes, iam_findings, keys, token_file
from sidecar.doctor.checks.certificate import thumbprint_compared
from sidecar.doctor.checks.claims import API_AUDIENCE
from sidecar.doctor.checks.denial_causes import (
    BY_POLICY,
    IN_A_CHAIN,
    OTHER_CERTIFICATE,
    OUTSIDE_IAM,
    SESSION,
    UNEXPLAINED,
)
from sidecar.doctor.options import Place
from sidecar.doctor.result import (
    Cause,
    Check,
    CheckResult,
    CheckStatus,
    Finding,
    broken,
    good,
    skipped,
    suspected,
    unknown,
)
from sidecar.errors import DENIALS, Failure, Outcome, StsErrorKind
from sidecar.exchange.messages import TOO_LARGE
from sidecar.model import Profile, Token

__all__ = ("CHECK",)

_EXACT: Final[Mapping[StsErrorKind, Cause]] = {
    StsErrorKind.OPT_IN: exchange_causes.OPT_IN,
    StsErrorKind.SIGNATURE: exchange_causes.SIGNATURE,
    StsErrorKind.REGION_DISABLED: exchange_causes.REGION,
    StsErrorKind.POLICY_TOO_LARGE: exchange_causes.POLICY,
    StsErrorKind.BAD_POLICY: exchange_causes.BAD_POLICY,
    StsErrorKind.BAD_PARAMETER: exchange_causes.PARAMETER,
    StsErrorKind.EXPIRED: exchange_causes.TOKEN_EXPIRED_AT_AWS,
    StsErrorKind.BAD_TOKEN: exchange_causes.TOKEN,
    StsErrorKind.REJECTED_CLAIM: exchange_causes.REJECTED,
    StsErrorKind.THROTTLED: exchange_causes.THROTTLED,
    StsErrorKind.DURATION: iam_causes.DURATION,
}
"""The errors of AWS that name one cause."""

_POSSIBLE: Final[Mapping[StsErrorKind, tuple[Cause, ...]]] = {
    StsErrorKind.DENIED: iam_causes.DENIED,
    StsErrorKind.TRUST_POLICY: iam_causes.TRUST,
    StsErrorKind.NO_PROVIDER: iam_causes.PROVIDERS,
    StsErrorKind.AUDIENCE: iam_causes.AUDIENCES,
    StsErrorKind.THUMBPRINT: iam_causes.THUMBPRINTS,
}
"""The errors of AWS that have several possible causes, the most likely first. Other faults do not explain the error."""

_OUTSIDE: Final[Mapping[StsErrorKind, tuple[Cause, ...]]] = {
    StsErrorKind.DENIED: OUTSIDE_IAM,
    StsErrorKind.THUMBPRINT: (OTHER_CERTIFICATE,),
}
"""The possible causes if the provider and the role in IAM fit, the most likely first; besides a very recent change."""

_NOT_SEEN: Final = (exchange_causes.ISSUER_CLOSED, exchange_causes.CACHED, exchange_causes.ISSUER_SLOW, UNEXPLAINED)
"""The possible causes if AWS does not get the documents that are right from here, the most likely first."""


def _run(case: Case) -> CheckResult:
    done = case.exchange_result
    if done is None:
        why = _why_not(case)
        return skipped(why) if why else unknown("the response of STS had no known form")
    if done.failure is None:
        return good(f"STS returned credentials of {done.profile.role_arn}")
    failure = done.failure
    number = f", request id {failure.request_id}" if failure.request_id else ""
    evidence = f"STS: {failure.code or failure.outcome} for {done.profile.role_arn}{number}"
    facts = _facts(case, done.profile) | {"hint": failure.hint, "code": failure.code}
    by_policy = BY_POLICY.get(failure.kind) if failure.kind else None
    if by_policy:
        # AWS names the kind of policy, so this is exact without IAM.
        return broken(evidence, Finding(by_policy, facts))
    if done.profile.source:
        return _of_chain(case, failure, evidence, facts)
    if failure.kind is None:
        return broken(evidence, Finding(_plain(failure), facts))
    if failure.kind in {StsErrorKind.NO_KEYS, StsErrorKind.UNREACHABLE_ISSUER}:
        return _of_keys(case, evidence, facts)
    if failure.kind in _EXACT:
        cause = _EXACT[failure.kind]
        future = token_file.from_future(case)
        if future is not None:
            return broken(evidence, future)
        read = [finding for finding in iam_findings.findings_of(case) or () if finding.cause is cause]
        return broken(evidence, *(read or [Finding(cause, facts)]))
    if failure.kind is StsErrorKind.SOURCE_CREDENTIALS:
        return broken(evidence, Finding(exchange_causes.OTHER, facts))  # this request is not signed
    return _of_iam(case, failure.kind, evidence, facts)


def _source_of(case: Case, profile: Profile) -> Profile | None:
    """Return the profile before this one in the chain, whose role is the calling role; None for the first profile."""
    return next((other for other in case.role_chain if other.name == profile.source), None)


def _facts(case: Case, profile: Profile) -> dict[str, str]:
    # The CloudTrail events of the global endpoint are in us-east-1.
    facts = iam_causes.not_read(case.facts) | case.facts | facts_of(profile)
    facts |= {"trail_region": profile.region or "us-east-1"}
    source = _source_of(case, profile)
    if source is None:
        return facts | {"event": "AssumeRoleWithWebIdentity"}
    calling = {"calling_role": source.role_arn, "calling_role_name": source.role_arn.rpartition("/")[2]}
    return facts | calling | {"event": "AssumeRole"}


def _of_iam(case: Case, error: StsErrorKind, evidence: str, facts: Mapping[str, str]) -> CheckResult:
    causes = _possible(case, error)
    if error is StsErrorKind.AUDIENCE and case.for_api_server:
        return broken(evidence, Finding(API_AUDIENCE, facts))
    possible = [Finding(cause, facts) for cause in (*causes, UNEXPLAINED)]
    read = iam_findings.findings_of(case)
    if read is None or (error is StsErrorKind.THUMBPRINT and not thumbprint_compared(case)):
        return suspected(evidence, *possible)
    conditions = [finding for finding in read if finding.cause is iam_causes.TRUST_CONDITION]
    # A fault for which AWS returns another error is a fault, and not the cause of this error.
    certain = [each for each in read if each.cause in causes and each not in conditions]
    if certain:
        return broken(evidence, *certain)
    # Provider and role fit. That a change has not taken effect is likely only if role or provider is minutes old.
    created = iam_findings.dates(case)
    outside = [Finding(cause, facts) for cause in _OUTSIDE.get(error, ())]
    changed = Finding(iam_causes.PROPAGATION, facts)
    ordered = [changed, *outside] if created.recent else [*outside, changed]
    if error in {StsErrorKind.DENIED, StsErrorKind.TRUST_POLICY}:
        ordered = [*conditions, *ordered]
    return suspected(f"{evidence}; {created.text}", *ordered, Finding(UNEXPLAINED, facts))


def _possible(case: Case, error: StsErrorKind) -> list[Cause]:
    """Return the possible causes of an error; no fix of them makes the API server's own audience one of AWS."""
    if not case.for_api_server:
        return list(_POSSIBLE[error])
    of_audience = (iam_causes.CLIENT_ID, iam_causes.TOKEN_AUDIENCE, iam_causes.TRUST_AUDIENCE)
    return list(dict.fromkeys(API_AUDIENCE if cause in of_audience else cause for cause in _POSSIBLE[error]))


def _of_chain(case: Case, failure: Failure, evidence: str, facts: Mapping[str, str]) -> CheckResult:
    facts = {**facts, "chained_role": facts["role"], "chained_role_name": facts["role_name"]}
    if failure.kind in DENIALS:
        source = _source_of(case, case.exchange_result.profile) if case.exchange_result else None
        narrowed = source is not None and (source.policy or source.policy_arns)
        session = (SESSION,) if narrowed else ()
        causes = (exchange_causes.CHAIN, *session, *IN_A_CHAIN, iam_causes.PROPAGATION, UNEXPLAINED)
        return suspected(evidence, *(Finding(cause, facts) for cause in causes))
    return broken(evidence, Finding(_plain(failure), facts))


def _plain(failure: Failure) -> Cause:
    if failure == TOO_LARGE:
        return exchange_causes.POLICY
    other = exchange_causes.OTHER if failure.outcome is Outcome.OTHER_ERROR else exchange_causes.NO_ANSWER
    if failure.kind is StsErrorKind.SOURCE_CREDENTIALS:
        return exchange_causes.SOURCE
    return _EXACT.get(failure.kind, other) if failure.kind else other


def _of_keys(case: Case, evidence: str, facts: Mapping[str, str]) -> CheckResult:
    # AWS returns the same error for all of these; the doctor's own checks show which one it is.
    results = [check.run(case) for check in (discovery.CHECK, keys.CHECK)]
    found = [result for result in results if result.status is CheckStatus.BROKEN]
    if found:
        findings = [finding for result in found for finding in result.findings]
        exact = all(result.exact for result in found)
        return broken(evidence, *findings) if exact else suspected(evidence, *findings)
    return suspected(evidence, *(Finding(cause, facts) for cause in _NOT_SEEN))


def _why_not(case: Case) -> str:
    if case.options.no_exchange:
        return "--no-exchange is set"
    if not case.role_known:
        return "no role is set"
    if not isinstance(case.token, Token):
        return "only the sidecar has the token" if case.place is Place.APPLICATION else "no token available"
    return ""


CHECK: Final = Check(
    "exchange",
    "exchange at STS",
    "one AssumeRoleWithWebIdentity, and one AssumeRole for each chained role; if the error of AWS has several possible "
    "causes, all of them",
    (
        *_EXACT.values(),
        *dict.fromkeys((*(cause for causes in _POSSIBLE.values() for cause in causes), *BY_POLICY.values())),
        OTHER_CERTIFICATE,
        *_NOT_SEEN,
        exchange_causes.CHAIN,
        exchange_causes.SOURCE,
        exchange_causes.OTHER,
        exchange_causes.NO_ANSWER,
    ),
    _run,
)
