"""One exchange at STS, as the daemon does it, and what a refusal can mean."""

from collections.abc import Mapping
from typing import Final

from sidecar.doctor.case import Case, Place, facts_of
from sidecar.doctor.checks import discovery, iam, keys
from sidecar.doctor.checks.certificate import thumbprint_compared
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, State, Verdict, broken, good, skipped, suspected
from sidecar.errors import Failure, Outcome, Refusal
from sidecar.exchange.answers import TOO_LARGE
from sidecar.model import Token

__all__ = ("CHECK",)

_REGION: Final = Cause(
    "region_disabled",
    "STS is not active in {region} for the role's account",
    "activate it: IAM console, account settings, security token service; or set another region",
    "aws account get-region-opt-status --region-name {region}",
    Exit.REFUSED,
)
_POLICY: Final = Cause(
    "session_policy_too_large",
    "the profile's session policy, its ARNs and the tags are together larger than STS takes, or make a set that is "
    "larger than SDKs read",
    "shorten `policy` in the profile, or move it into a managed policy and name that in `policy_arns`",
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
    "AWS refuses a parameter: role ARN, session name, duration or policy",
    "check the profile's settings: aws-oidc-sidecar run --check-config",
    exit_code=Exit.REFUSED,
)
_CHAIN: Final = Cause(
    "chain_refused",
    "role {chained_role} does not trust the role before it in the chain, that one may not assume it, or tags are not "
    "allowed",
    "allow sts:AssumeRole (with session_tags sts:TagSession) on both sides: `assumed_by` in `bootstrap aws --file`",
    "aws iam get-role --role-name {chained_role_name} --query Role.AssumeRolePolicyDocument",
    Exit.REFUSED,
)
_EXPIRED: Final = Cause(
    "token_expired_at_aws",
    "the token is past its exp by AWS's clock",
    "see the links `token file` and `clock`: it is not rotated, or this node's clock is behind",
    exit_code=Exit.REFUSED,
)
_TOKEN: Final = Cause(
    "token_refused",
    "AWS does not take the token itself: its signature does not fit the published key, a claim lacks, or it is not "
    "valid yet",
    "compare the key sets of all API server instances; look at the link `clock`",
    "kubectl get --raw /openid/v1/jwks",
    Exit.ISSUER,
)
_REJECTED: Final = Cause(
    "claim_rejected",
    "the identity provider rejected the token",
    "compare its claims with what the provider expects",
    exit_code=Exit.REFUSED,
)
_THROTTLED: Final = Cause(
    "throttled",
    "AWS asks for fewer requests",
    "ask again in a minute; the daemon does so by itself",
    exit_code=Exit.REFUSED,
)
_NO_ANSWER: Final = Cause(
    "sts_no_answer",
    "STS gave no usable answer: {hint}",
    "see the link `way to STS`",
    exit_code=Exit.UNREACHABLE,
)
_CACHED: Final = Cause(
    "keys_not_seen_by_aws",
    "from here the documents and the key are right, and AWS has not got them: the issuer is closed to the internet, "
    "answers slower than 5 seconds, or sits behind a cache",
    "open {host} port 443 to the internet; after a rotation of keys empty every cache in front of it",
    "curl -sv {issuer}/.well-known/openid-configuration   # from outside of your network",
    Exit.ISSUER,
)

_PLAIN: Final[Mapping[Refusal, Cause]] = {
    Refusal.REGION_DISABLED: _REGION,
    Refusal.POLICY_TOO_LARGE: _POLICY,
    Refusal.BAD_POLICY: _BAD_POLICY,
    Refusal.BAD_PARAMETER: _PARAMETER,
    Refusal.EXPIRED: _EXPIRED,
    Refusal.BAD_TOKEN: _TOKEN,
    Refusal.REJECTED_CLAIM: _REJECTED,
    Refusal.THROTTLED: _THROTTLED,
    Refusal.DURATION: iam.DURATION,
}
"""What AWS says so that it can mean one thing alone."""

_SETS: Final[Mapping[Refusal, tuple[Cause, ...]]] = {
    Refusal.DENIED: iam.DENIED,
    Refusal.NO_PROVIDER: iam.PROVIDERS,
    Refusal.AUDIENCE: iam.AUDIENCES,
    Refusal.THUMBPRINT: iam.THUMBPRINTS,
}
"""What AWS says of several faults alike."""


def _run(case: Case) -> Verdict:
    done = case.exchanged
    if done is None:
        return skipped(_why_not(case))
    if done.failure is None:
        return good(f"STS gave a set of {done.profile.role_arn}")
    failure = done.failure
    evidence = f"STS: {failure.code or failure.outcome}, for {done.profile.role_arn}"
    facts = case.facts | facts_of(done.profile) | {"hint": failure.hint}
    if done.profile.source:
        return _of_chain(failure, evidence, facts)
    if failure.refusal is None:
        return broken(evidence, Finding(_plain(failure), facts))
    if failure.refusal in {Refusal.NO_KEYS, Refusal.UNREACHABLE_ISSUER}:
        return _of_keys(case, evidence)
    if failure.refusal in _PLAIN:
        return broken(evidence, Finding(_PLAIN[failure.refusal], facts))
    return _of_iam(case, failure.refusal, evidence)


def _of_iam(case: Case, refusal: Refusal, evidence: str) -> Verdict:
    possible = [Finding(cause, case.facts) for cause in _SETS[refusal]]
    read = iam.findings_of(case)
    if read is None:
        return suspected(evidence, *possible)
    conditions = [finding for finding in read if finding.cause is iam.TRUST_CONDITION]
    # The duration is refused in other words.
    certain = [finding for finding in read if finding.cause not in {iam.TRUST_CONDITION, iam.DURATION}]
    if refusal is Refusal.THUMBPRINT and not thumbprint_compared(case):
        return suspected(evidence, *possible)
    if certain:
        return broken(evidence, *certain)
    propagation = Finding(iam.PROPAGATION, case.facts)
    if refusal is Refusal.DENIED and conditions:
        return suspected(evidence, *conditions, propagation)
    # IAM has it as it should be, so STS has not heard of it yet.
    return broken(evidence, propagation)


def _of_chain(failure: Failure, evidence: str, facts: Mapping[str, str]) -> Verdict:
    facts = {**facts, "chained_role": facts["role"], "chained_role_name": facts["role_name"]}
    if failure.outcome is Outcome.ACCESS_DENIED:
        return suspected(evidence, Finding(_CHAIN, facts), Finding(iam.PROPAGATION, facts))
    return broken(evidence, Finding(_plain(failure), facts))


def _plain(failure: Failure) -> Cause:
    if failure == TOO_LARGE:
        return _POLICY
    return _PLAIN.get(failure.refusal, _NO_ANSWER) if failure.refusal else _NO_ANSWER


def _of_keys(case: Case, evidence: str) -> Verdict:
    # AWS has one text for all of these, and the doctor has looked itself.
    seen = [check.run(case) for check in (discovery.CHECK, keys.CHECK)]
    found = [finding for verdict in seen if verdict.state is State.BROKEN for finding in verdict.findings]
    if found:
        return broken(evidence, *found)
    return suspected(evidence, Finding(_CACHED, case.facts))


def _why_not(case: Case) -> str:
    if case.given.no_exchange:
        return "--no-exchange was given"
    if not case.role_known:
        return "no role is known here"
    if not case.partition_fits:
        return "STS of this region knows no role of another partition"
    if not isinstance(case.token, Token):
        return (
            "the token is in the sidecar only" if case.place is Place.APPLICATION else "there is no token to exchange"
        )
    return "STS's answer was of no known form"


CHECK: Final = Check(
    "exchange",
    "exchange at STS",
    "one AssumeRoleWithWebIdentity, and the AssumeRole of each chained role; what AWS refuses alike is told as a set",
    (
        *_PLAIN.values(),
        *dict.fromkeys(cause for causes in _SETS.values() for cause in causes),
        iam.TRUST_CONDITION,
        _CHAIN,
        _NO_ANSWER,
        _CACHED,
    ),
    _run,
)
