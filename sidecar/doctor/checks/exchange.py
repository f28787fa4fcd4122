"""Checks one exchange at STS, done as the daemon does it, and names the possible causes if it fails."""

from collections.abc import Mapping
from typing import Final

from sidecar.doctor.case import Case, facts_of
from sidecar.doctor.checks import discovery, iam, iam_causes, keys
from sidecar.doctor.checks.certificate import thumbprint_compared
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
from sidecar.exits import Exit
from sidecar.model import Profile, Token

__all__ = ("CHECK",)

_REGION: Final = Cause(
    "region_disabled",
    "STS is not active in {region} for the role's account",
    "activate STS in this region (IAM console, Account settings, Security Token Service), or set another region",
    "aws account get-region-opt-status --region-name {region}",
    Exit.REFUSED,
)
_POLICY: Final = Cause(
    "session_policy_too_large",
    "the profile's session policy, policy ARNs and tags are together larger than STS accepts, or the credentials with "
    "them are larger than SDKs can read",
    "shorten `policy` in the profile, or move it into a managed policy and list that in `policy_arns`",
    exit_code=Exit.REFUSED,
)
_BAD_POLICY: Final = Cause(
    "session_policy_malformed",
    "the profile's session policy is not a valid IAM policy",
    "correct `policy` in the profile",
    "aws accessanalyzer validate-policy --policy-type RESOURCE_POLICY --policy-document file://policy.json",
    Exit.REFUSED,
)
_PARAMETER: Final = Cause(
    "parameter_refused",
    "AWS rejects a parameter: role ARN, session name, duration or policy",
    "check the profile's settings: aws-oidc-sidecar run --check-config",
    exit_code=Exit.REFUSED,
)
_CHAIN: Final = Cause(
    "chain_refused",
    "role {chained_role} does not trust the role before it in the chain, the role before it is not allowed to assume "
    "it, or session tags are not allowed",
    "allow sts:AssumeRole (with session_tags also sts:TagSession) in the trust policy of this role and in a policy of "
    "the role before it: `assumed_by` in `bootstrap aws --file`",
    "aws iam get-role --role-name {chained_role_name} --query Role.AssumeRolePolicyDocument",
    Exit.REFUSED,
)
_EXPIRED: Final = Cause(
    "token_expired_at_aws",
    "the token has expired by the clock of AWS",
    "see the checks `token file` and `clock`: the token is not rotated, or the clock of this node is behind",
    exit_code=Exit.REFUSED,
)
_TOKEN: Final = Cause(
    "token_refused",
    "AWS does not accept the token: its signature does not match the published key, a claim is missing, or the token "
    "is not valid yet",
    "compare the key sets of all API server instances; see the check `clock`",
    "kubectl get --raw /openid/v1/jwks",
    Exit.ISSUER,
)
_REJECTED: Final = Cause(
    "claim_rejected",
    "the identity provider rejected the token",
    "compare the token's claims with what the identity provider expects",
    exit_code=Exit.REFUSED,
)
_THROTTLED: Final = Cause(
    "throttled",
    "AWS throttles the requests",
    "run the doctor again in a minute; the daemon retries by itself",
    exit_code=Exit.REFUSED,
)
_NO_ANSWER: Final = Cause(
    "sts_no_answer",
    "STS sent no usable response: {hint}",
    "see the check `path to STS`",
    exit_code=Exit.UNREACHABLE,
)
_CACHED: Final = Cause(
    "keys_not_seen_by_aws",
    "the documents and the key are right from here, but AWS does not have them: the issuer is not open to the "
    "internet, responds in more than 5 seconds, or is behind a cache",
    "open port 443 of {host} to the internet; after a rotation of keys empty each cache in front of it",
    "curl -sv {discovery_url}   # from outside your network",
    Exit.ISSUER,
)

_OTHER: Final = Cause(
    "sts_error",
    "STS returned the error {code}, which the doctor does not know",
    "look up the code in the STS API Reference, Common Errors, and the request id in CloudTrail",
    exit_code=Exit.REFUSED,
)
_OPT_IN: Final = Cause(
    "not_opted_in",
    "account {account} is not subscribed to the service or region that was called",
    "enable the region for the account, or set another region",
    "aws account get-region-opt-status --region-name {region}",
    Exit.REFUSED,
)
_SOURCE: Final = Cause(
    "source_credentials_refused",
    "STS does not accept the credentials of the role before {role} in the chain",
    "run the doctor again, which gets new ones; if it stays, create the role before it again with `bootstrap aws`",
    exit_code=Exit.REFUSED,
)
_SIGNATURE: Final = Cause(
    "signature_refused",
    "STS rejects the signature of the request for {role}: a proxy changes the request, or this node's clock is wrong",
    "compare the check `clock`; call STS without the proxy",
    exit_code=Exit.REFUSED,
)

_EXACT: Final[Mapping[StsErrorKind, Cause]] = {
    StsErrorKind.OPT_IN: _OPT_IN,
    StsErrorKind.SIGNATURE: _SIGNATURE,
    StsErrorKind.REGION_DISABLED: _REGION,
    StsErrorKind.POLICY_TOO_LARGE: _POLICY,
    StsErrorKind.BAD_POLICY: _BAD_POLICY,
    StsErrorKind.BAD_PARAMETER: _PARAMETER,
    StsErrorKind.EXPIRED: _EXPIRED,
    StsErrorKind.BAD_TOKEN: _TOKEN,
    StsErrorKind.REJECTED_CLAIM: _REJECTED,
    StsErrorKind.THROTTLED: _THROTTLED,
    StsErrorKind.DURATION: iam_causes.DURATION,
}
"""The errors of AWS that have one cause."""

_POSSIBLE: Final[Mapping[StsErrorKind, tuple[Cause, ...]]] = {
    StsErrorKind.DENIED: iam_causes.DENIED,
    StsErrorKind.TRUST_POLICY: iam_causes.TRUST,
    StsErrorKind.NO_PROVIDER: iam_causes.PROVIDERS,
    StsErrorKind.AUDIENCE: iam_causes.AUDIENCES,
    StsErrorKind.THUMBPRINT: iam_causes.THUMBPRINTS,
}
"""The errors of AWS that have several possible causes, the most likely first."""

_OUTSIDE: Final[Mapping[StsErrorKind, tuple[Cause, ...]]] = {
    StsErrorKind.DENIED: OUTSIDE_IAM,
    StsErrorKind.THUMBPRINT: (OTHER_CERTIFICATE,),
}
"""The possible causes if the provider and the role in IAM fit, the most likely first; besides a very recent change."""


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
        return _of_keys(case, evidence)
    if failure.kind in _EXACT:
        return broken(evidence, Finding(_EXACT[failure.kind], facts))
    if failure.kind is StsErrorKind.SOURCE_CREDENTIALS:
        return broken(evidence, Finding(_OTHER, facts))  # this request is not signed
    return _of_iam(case, failure.kind, evidence, facts)


def _source_of(case: Case, profile: Profile) -> Profile | None:
    """Return the profile before this one in the chain, whose role is the calling role; None for the first profile."""
    return next((other for other in case.role_chain if other.name == profile.source), None)


def _facts(case: Case, profile: Profile) -> dict[str, str]:
    # The CloudTrail events of the global endpoint are in us-east-1.
    facts = case.facts | facts_of(profile) | {"trail_region": profile.region or "us-east-1"}
    source = _source_of(case, profile)
    if source is None:
        return facts | {"event": "AssumeRoleWithWebIdentity"}
    calling = {"calling_role": source.role_arn, "calling_role_name": source.role_arn.rpartition("/")[2]}
    return facts | calling | {"event": "AssumeRole"}


def _of_iam(case: Case, error: StsErrorKind, evidence: str, facts: Mapping[str, str]) -> CheckResult:
    possible = [Finding(cause, {**facts, **iam_causes.NOT_READ}) for cause in _POSSIBLE[error]]
    read = iam.findings_of(case)
    if read is None:
        return suspected(evidence, *possible)
    conditions = [finding for finding in read if finding.cause is iam_causes.TRUST_CONDITION]
    # AWS returns another error for the duration.
    certain = [finding for finding in read if finding.cause not in {iam_causes.TRUST_CONDITION, iam_causes.DURATION}]
    if error is StsErrorKind.THUMBPRINT and not thumbprint_compared(case):
        return suspected(evidence, *possible)
    if certain:
        return broken(evidence, *certain)
    # Provider and role fit. That a change has not taken effect is likely only if role or provider is minutes old.
    created = iam.dates(case)
    outside = [Finding(cause, facts) for cause in _OUTSIDE.get(error, ())]
    changed = Finding(iam_causes.PROPAGATION, facts)
    ordered = [changed, *outside] if created.recent else [*outside, changed]
    if error in {StsErrorKind.DENIED, StsErrorKind.TRUST_POLICY}:
        ordered = [*conditions, *ordered]
    return suspected(f"{evidence}; {created.text}", *ordered, Finding(UNEXPLAINED, facts))


def _of_chain(case: Case, failure: Failure, evidence: str, facts: Mapping[str, str]) -> CheckResult:
    facts = {**facts, "chained_role": facts["role"], "chained_role_name": facts["role_name"]}
    if failure.kind in DENIALS:
        source = _source_of(case, case.exchange_result.profile) if case.exchange_result else None
        narrowed = source is not None and (source.policy or source.policy_arns)
        causes = (_CHAIN, *((SESSION,) if narrowed else ()), *IN_A_CHAIN, iam_causes.PROPAGATION)
        return suspected(evidence, *(Finding(cause, facts) for cause in causes))
    return broken(evidence, Finding(_plain(failure), facts))


def _plain(failure: Failure) -> Cause:
    if failure == TOO_LARGE:
        return _POLICY
    other = _OTHER if failure.outcome is Outcome.OTHER_ERROR else _NO_ANSWER
    if failure.kind is StsErrorKind.SOURCE_CREDENTIALS:
        return _SOURCE
    return _EXACT.get(failure.kind, other) if failure.kind else other


def _of_keys(case: Case, evidence: str) -> CheckResult:
    # AWS returns the same error for all of these; the doctor's own checks show which one it is.
    results = [check.run(case) for check in (discovery.CHECK, keys.CHECK)]
    found = [result for result in results if result.status is CheckStatus.BROKEN]
    if found:
        findings = [finding for result in found for finding in result.findings]
        exact = all(result.exact for result in found)
        return broken(evidence, *findings) if exact else suspected(evidence, *findings)
    return suspected(evidence, Finding(_CACHED, case.facts))


def _why_not(case: Case) -> str:
    if case.options.no_exchange:
        return "--no-exchange is set"
    if not case.role_known:
        return "no role is set"
    if not case.partition_fits:
        return "STS of this region cannot find a role of another partition"
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
        iam_causes.TRUST_CONDITION,
        OTHER_CERTIFICATE,
        UNEXPLAINED,
        _CHAIN,
        _SOURCE,
        _OTHER,
        _NO_ANSWER,
        _CACHED,
    ),
    _run,
)
