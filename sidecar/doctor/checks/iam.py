"""Compares the provider and the role in IAM with the token: gives the exact cause of a denial, with IAM read access."""

from typing import Final

from sidecar.doctor.aws import IamFacts, IamUnknown
from sidecar.doctor.case import Case
from sidecar.doctor.checks.certificate import chains, thumbprint_compared
from sidecar.doctor.checks.claims import API_AUDIENCE
from sidecar.doctor.checks.iam_causes import (
    AUDIENCES,
    DURATION,
    OPEN,
    PROPAGATION,
    PROVIDERS,
    ROLE,
    SOON,
    THUMBPRINTS,
    TRUST,
    TRUST_CONDITION,
)
from sidecar.doctor.checks.iam_findings import accepted_audience, findings_of
from sidecar.doctor.result import Check, CheckResult, Finding, advice, broken, good, skipped, unknown
from sidecar.iam.trust import is_open
from sidecar.model import Token, account_of

__all__ = ("CHECK",)


def _run(case: Case) -> CheckResult:
    iam = case.iam
    if isinstance(iam, IamUnknown):
        return skipped(iam.why)
    found = findings_of(case) or ()
    role_account = account_of(case.role_chain[0].role_arn)
    if iam.account != role_account:
        evidence = f"IAM of account {iam.account} was read; the role is in account {role_account}"
        return broken(evidence, *found) if found else unknown(evidence)
    if found:
        evidence = ", ".join(finding.cause.name for finding in found)
        if case.accepted:
            accepted = advice(f"{evidence}; but AWS accepted the token in this run", *found)
            return _advised(case, iam, accepted)
        certain = [finding for finding in found if finding.cause is not TRUST_CONDITION]
        if not certain:
            return unknown(
                f"the trust policy has a condition that the doctor cannot evaluate: {found[0].facts['condition']}"
            )
        return broken(evidence, *certain)
    return _advised(case, iam, _of_fitting(case, iam))


def _advised(case: Case, iam: IamFacts, result: CheckResult) -> CheckResult:
    if not _is_open(case, iam):
        return result
    return advice(f"{result.evidence}; the policy does not limit sub", *result.findings, Finding(OPEN, case.facts))


def _is_open(case: Case, iam: IamFacts) -> bool:
    provider = next((one for one in iam.providers if one.name == case.facts.get("provider")), None)
    if iam.role is None or provider is None:
        return False
    # Without a token: of any audience that the provider accepts.
    wanted = (
        [accepted_audience(case.token, provider)]
        if isinstance(case.token, Token)
        else [[one] for one in provider.client_ids]
    )
    return any(is_open(iam.role.trust, provider_arn=provider.arn, audience=audience) for audience in wanted)


def _of_fitting(case: Case, iam: IamFacts) -> CheckResult:
    with_token = isinstance(case.token, Token)
    for chain in chains(case) if case.issuer else ():
        leaf = chain.certificates[0].thumbprint
        known = {each for provider in iam.providers for each in provider.thumbprints}
        if not chain.public and not chain.leaf_only and leaf in known and chain.last.thumbprint not in known:
            facts = case.facts | {"thumbprint": chain.last.thumbprint}
            evidence = "provider, client id and trust policy fit; " if with_token else ""
            return advice(f"{evidence}the thumbprint is that of the leaf", Finding(SOON, facts))
    if not with_token:
        return unknown(f"IAM of account {iam.account} was read, but without a token it cannot be compared")
    thumbprint = ", thumbprint" if thumbprint_compared(case) else ""
    return good(f"provider, client id{thumbprint} and trust policy of account {iam.account} fit this token")


CHECK: Final = Check(
    "iam",
    "IAM provider and role",
    "with IAM read access: the provider's URL, client ids and thumbprints, and the role's trust policy, compared with "
    "the token",
    (
        # A change in IAM that has not taken effect is no fault in IAM: the check `exchange` names it.
        *(cause for cause in (ROLE, *TRUST, *PROVIDERS, *AUDIENCES, *THUMBPRINTS) if cause is not PROPAGATION),
        API_AUDIENCE,
        DURATION,
        SOON,
        OPEN,
    ),
    _run,
)
