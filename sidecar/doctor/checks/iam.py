"""Compares the provider and the role in IAM with the token: gives the exact cause of a denial, with IAM read access."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sidecar.doctor.aws import IamFacts, IamUnknown
from sidecar.doctor.case import Case
from sidecar.doctor.checks.certificate import chains, thumbprint_compared
from sidecar.doctor.checks.iam_causes import (
    ACCOUNT_NAME,
    ACTION,
    AUDIENCES,
    CA,
    CLIENT_ID,
    DENY,
    DURATION,
    KEY,
    LEAF,
    NAMESPACE,
    OPEN,
    OTHER_ACCOUNT,
    PRINCIPAL,
    PROPAGATION,
    PROVIDER,
    PROVIDER_URL,
    PROVIDERS,
    ROLE,
    SOON,
    SUBJECT,
    THUMBPRINTS,
    TOKEN_AUDIENCE,
    TRUST,
    TRUST_AUDIENCE,
    TRUST_CONDITION,
    WILDCARD,
)
from sidecar.doctor.result import Check, CheckResult, Finding, advice, broken, good, skipped, unknown
from sidecar.errors import StsErrorKind
from sidecar.exchange.session_name import make_session_name
from sidecar.iam.account import Provider
from sidecar.iam.trust import Mismatch, find_mismatches, is_open
from sidecar.model import Token, account_of

__all__ = ("CHECK", "Dates", "dates", "findings_of")

# A change takes up to about 15 s, clocks differ, and people run the doctor some minutes after they set something up.
_RECENT_SECONDS: Final = 300


def findings_of(case: Case) -> tuple[Finding, ...] | None:
    """Return every fault in IAM that makes AWS deny this token; None if what was read is not enough to decide."""
    if isinstance(case.iam, IamUnknown):
        return None
    if case.iam.account != account_of(case.role_chain[0].role_arn):
        return _of_other_account(case, case.iam)
    return tuple(_findings(case, case.iam))


class Dates(NamedTuple):
    """The creation dates of the role and of the provider.

    Attributes:
        recent: whether one of them was created some minutes ago, so that STS may not have it yet.
        text: both dates, and what they do not tell.
    """

    recent: bool
    text: str


def dates(case: Case) -> Dates:
    """Return the creation dates of the role and of the provider, as far as IAM was read.

    IAM has only dates of creation: neither GetRole nor GetOpenIDConnectProvider returns when a trust policy, a client
    id or a thumbprint was changed.
    """
    if isinstance(case.iam, IamUnknown):
        return Dates(recent=False, text="IAM was not read")
    provider = next((one for one in case.iam.providers if one.name == case.facts.get("provider")), None)
    resources = {"role": case.iam.role, "provider": provider}
    created = {name: each.created_at for name, each in resources.items() if each is not None}
    now = case.now.wall
    if case.sts is not None and case.sts.date is not None:
        now += case.sts.date - case.sts.requested_at  # the dates are by the clock of AWS
    text = ", ".join(
        f"{name} created {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC" for name, at in created.items()
    )
    return Dates(
        recent=any(now - at < _RECENT_SECONDS for at in created.values()),
        text=f"{text}; IAM has no date of later changes",
    )


def _of_other_account(case: Case, iam: IamFacts) -> tuple[Finding, ...] | None:
    # The role's account cannot be read from another account, and both can have the provider. If AWS returns that the
    # role's account has no provider, and this account has it, then the cause is certain.
    done = case.exchange_result
    missing = done is not None and done.failure is not None and done.failure.kind is StsErrorKind.NO_PROVIDER
    here = any(provider.name == case.facts.get("provider") for provider in iam.providers)
    return (Finding(OTHER_ACCOUNT, case.facts),) if missing and here else None


def _findings(case: Case, iam: IamFacts) -> Iterator[Finding]:
    name = case.facts.get("provider", "")
    provider = next((provider for provider in iam.providers if provider.name == name), None)
    if name and provider is None:
        near = next((other.name for other in iam.providers if _normalized(other.name) == _normalized(name)), None)
        facts = case.facts if near is None else case.facts | {"registered": f"https://{near}"}
        yield Finding(PROVIDER if near is None else PROVIDER_URL, facts)
    if provider is not None:
        yield from _of_provider(case, provider)
    yield from _of_role(case, iam, provider)


def _of_provider(case: Case, provider: Provider) -> Iterator[Finding]:
    token = case.token
    if isinstance(token, Token) and not set(token.audience) & set(provider.client_ids):
        expected = case.settings.audience in provider.client_ids and case.settings.audience not in token.audience
        yield Finding(TOKEN_AUDIENCE if expected else CLIENT_ID, case.facts)
    for chain in chains(case):
        served = {certificate.thumbprint for certificate in chain.certificates}
        if chain.public or served & set(provider.thumbprints):
            continue
        # A CA that is newer than the provider cannot be the one that was registered at the creation of the provider.
        newer = chain.last.not_before >= int(provider.created_at)  # certificates have whole seconds
        yield Finding(CA if newer else LEAF, case.facts | {"thumbprint": chain.last.thumbprint})
        return


def _of_role(case: Case, iam: IamFacts, provider: Provider | None) -> Iterator[Finding]:
    if iam.role is None:
        yield Finding(ROLE, case.facts)
        return
    token = case.token
    if provider is not None and isinstance(token, Token):
        for mismatch in find_mismatches(
            iam.role.trust,
            provider_arn=provider.arn,
            audience=_audience(token, provider),
            session_name=case.role_chain[0].session_name or make_session_name(token, case.settings.cluster),
            subject=case.facts["subject"],
        ):
            yield _of_mismatch(case, mismatch)
    first = case.role_chain[0]
    if first.duration_seconds > iam.role.max_session_seconds:
        maximum = f"{iam.role.max_session_seconds} s"
        yield Finding(DURATION, case.facts | {"duration": str(first.duration_seconds), "maximum": maximum})


def _audience(token: Token, provider: Provider) -> list[str]:
    return [audience for audience in token.audience if audience in provider.client_ids] or list(token.audience)


def _of_mismatch(case: Case, mismatch: Mismatch) -> Finding:
    if mismatch.kind == "condition":
        return Finding(TRUST_CONDITION, case.facts | {"condition": mismatch.found})
    if mismatch.kind == "session":
        # The daemon can use another name if the doctor does not run with its settings.
        return Finding(TRUST_CONDITION, case.facts | {"condition": "sts:RoleSessionName"})
    if mismatch.kind == "wildcard":
        return Finding(WILDCARD, case.facts | {"key": mismatch.found, "pattern": mismatch.wanted[0]})
    if mismatch.kind == "principal":
        return Finding(PRINCIPAL, case.facts | {"principals": ", ".join(mismatch.wanted) or "no principal"})
    if mismatch.kind == "key":
        return Finding(KEY, case.facts | {"key": mismatch.found, "token_keys": " and ".join(mismatch.wanted)})
    if mismatch.kind != "sub":
        causes = {"action": ACTION, "aud": TRUST_AUDIENCE, "deny": DENY}
        return Finding(causes[mismatch.kind], case.facts)
    *kind, namespace, name = case.facts.get("subject", "").rsplit(":", 2)
    # Namespace or name is reported as the difference only if the rest matches in some value.
    prefix = f"{kind[0]}:" if kind else ""
    found = [value.removeprefix(prefix).split(":") for value in mismatch.wanted if prefix and value.startswith(prefix)]
    wanted = [(value[0], value[1]) for value in found if len(value) == 2]  # noqa: PLR2004 - namespace and name
    if any(value[1] == name for value in wanted):
        return Finding(NAMESPACE, case.facts)
    if any(value[0] == namespace for value in wanted):
        return Finding(ACCOUNT_NAME, case.facts)
    return Finding(SUBJECT, case.facts)


def _normalized(name: str) -> str:
    host, slash, path = name.lower().rstrip("/").partition("/")
    return host.partition(":")[0] + slash + path


def _run(case: Case) -> CheckResult:
    if not case.partition_fits:
        return skipped("the role is in another partition")
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
        [_audience(case.token, provider)] if isinstance(case.token, Token) else [[one] for one in provider.client_ids]
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
        SUBJECT,
        ACTION,
        KEY,
        WILDCARD,
        TRUST_CONDITION,
        DURATION,
        SOON,
        OPEN,
    ),
    _run,
)
