"""Compares the provider and the role in IAM with the token: each difference is a finding with what was compared."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sidecar.doctor.aws import IamFacts, IamUnknown
from sidecar.doctor.case import Case
from sidecar.doctor.checks.certificate import chains
from sidecar.doctor.checks.claims import API_AUDIENCE
from sidecar.doctor.checks.iam_causes import (
    ACCOUNT_NAME,
    ACTION,
    CA,
    CLIENT_ID,
    DENY,
    DURATION,
    KEY,
    LEAF,
    NAMESPACE,
    OTHER_ACCOUNT,
    PRINCIPAL,
    PROVIDER,
    PROVIDER_URL,
    ROLE,
    SUBJECT,
    TOKEN_AUDIENCE,
    TRUST_AUDIENCE,
    TRUST_CONDITION,
    WILDCARD,
)
from sidecar.doctor.result import Cause, Finding
from sidecar.errors import StsErrorKind
from sidecar.exchange.session_name import make_session_name
from sidecar.iam.account import Provider
from sidecar.iam.statements import Comparison, Mismatch
from sidecar.iam.trust import find_mismatches
from sidecar.model import Token, account_of

__all__ = ("Dates", "accepted_audience", "dates", "findings_of")

# A change takes up to about 15 s, clocks differ, and people run the doctor some minutes after they set something up.
_RECENT_SECONDS: Final = 300


def findings_of(case: Case) -> tuple[Finding, ...] | None:
    """Return every fault in IAM that makes AWS deny this token; None if what was read is not enough to decide."""
    if isinstance(case.iam, IamUnknown):
        return None
    if case.iam.account != account_of(case.role_chain[0].role_arn):
        return _of_other_account(case, case.iam)
    # The provider and the trust policy can differ from the token in the same audience.
    return tuple({finding.cause: finding for finding in reversed(tuple(_findings(case, case.iam)))}.values())[::-1]


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
    if not missing or not here:
        return None
    account = account_of(case.role_chain[0].role_arn)
    compared = Comparison("role and OIDC provider", "", "account", (account,), (iam.account,))
    return (Finding(OTHER_ACCOUNT, case.facts, (compared,)),)


def _findings(case: Case, iam: IamFacts) -> Iterator[Finding]:
    name = case.facts.get("provider", "")
    provider = next((provider for provider in iam.providers if provider.name == name), None)
    if name and provider is None:
        near = next((other.name for other in iam.providers if _normalized(other.name) == _normalized(name)), None)
        facts = case.facts if near is None else case.facts | {"registered": f"https://{near}"}
        listed = tuple(other.name for other in iam.providers) if near is None else (near,)
        compared = Comparison(f"OIDC providers of account {iam.account}", "", "Url", listed, (name,))
        yield Finding(PROVIDER if near is None else PROVIDER_URL, facts, (compared,))
    if provider is not None:
        yield from _of_provider(case, provider)
    yield from _of_role(case, iam, provider)


def _of_provider(case: Case, provider: Provider) -> Iterator[Finding]:
    token = case.token
    if isinstance(token, Token) and not set(token.audience) & set(provider.client_ids):
        expected = case.settings.audience in provider.client_ids and case.settings.audience not in token.audience
        compared = Comparison("OIDC provider", "", "ClientIDList", provider.client_ids, token.audience)
        cause = TOKEN_AUDIENCE if expected else CLIENT_ID
        # This audience must never become a client id: each token that AWS gets could log in to the cluster.
        yield Finding(API_AUDIENCE if case.for_api_server else cause, case.facts, (compared,))
    for chain in chains(case):
        served = tuple(certificate.thumbprint for certificate in chain.certificates)
        if chain.public or set(served) & set(provider.thumbprints):
            continue
        # A CA that is newer than the provider cannot be the one that was registered at the creation of the provider.
        newer = chain.last.not_before >= int(provider.created_at)  # certificates have whole seconds
        compared = Comparison("OIDC provider", "", "ThumbprintList", provider.thumbprints, served)
        yield Finding(CA if newer else LEAF, case.facts | {"thumbprint": chain.last.thumbprint}, (compared,))
        return


def _of_role(case: Case, iam: IamFacts, provider: Provider | None) -> Iterator[Finding]:
    if iam.role is None:
        arns = (iam.similar_role,) if iam.similar_role else ()
        compared = Comparison(f"roles of account {iam.account}", "", "Arn", arns, (case.role_chain[0].role_arn,))
        yield Finding(ROLE, case.facts, (compared,))
        return
    token = case.token
    if provider is not None and isinstance(token, Token):
        for mismatch in find_mismatches(
            iam.role.trust,
            provider_arn=provider.arn,
            audience=accepted_audience(token, provider),
            session_name=case.role_chain[0].session_name or make_session_name(token, case.settings.cluster),
            subject=case.facts["subject"],
        ):
            if mismatch.kind == "aud" and case.for_api_server:
                yield Finding(API_AUDIENCE, case.facts, mismatch.compared)
            else:
                yield _of_mismatch(case, mismatch)
    first = case.role_chain[0]
    if first.duration_seconds > iam.role.max_session_seconds:
        duration, maximum = str(first.duration_seconds), str(iam.role.max_session_seconds)
        compared = Comparison("role", "at most", "MaxSessionDuration", (maximum,), (duration,))
        yield Finding(DURATION, case.facts | {"duration": duration, "maximum": f"{maximum} s"}, (compared,))


def accepted_audience(token: Token, provider: Provider) -> list[str]:
    """Return the `aud` of a token that are client ids of the provider; all of them if none is."""
    return [audience for audience in token.audience if audience in provider.client_ids] or list(token.audience)


def _of_mismatch(case: Case, mismatch: Mismatch) -> Finding:
    cause, facts = _cause_of(case, mismatch)
    return Finding(cause, case.facts | facts, mismatch.compared)


def _cause_of(case: Case, mismatch: Mismatch) -> tuple[Cause, dict[str, str]]:
    match mismatch.kind:
        case "condition":
            return TRUST_CONDITION, {"condition": mismatch.found}
        case "session":
            # The daemon can use another name if the doctor does not run with its settings.
            return TRUST_CONDITION, {"condition": "sts:RoleSessionName"}
        case "wildcard":
            return WILDCARD, {"key": mismatch.found, "pattern": mismatch.wanted[0]}
        case "principal":
            return PRINCIPAL, {"principals": ", ".join(mismatch.wanted) or "no principal"}
        case "key":
            return KEY, {"key": mismatch.found, "token_keys": " and ".join(mismatch.wanted)}
        case "sub":
            return _of_subject(case.facts.get("subject", ""), mismatch.wanted), {}
    return {"action": ACTION, "aud": TRUST_AUDIENCE, "deny": DENY}[mismatch.kind], {}


def _of_subject(subject: str, wanted: Sequence[str]) -> Cause:
    *kind, namespace, name = subject.rsplit(":", 2)
    # Namespace or name is reported as the difference only if the rest matches in some value.
    prefix = f"{kind[0]}:" if kind else ""
    found = [value.removeprefix(prefix).split(":") for value in wanted if prefix and value.startswith(prefix)]
    pairs = [(value[0], value[1]) for value in found if len(value) == 2]  # noqa: PLR2004 - namespace and name
    if any(pair[1] == name for pair in pairs):
        return NAMESPACE
    return ACCOUNT_NAME if any(pair[0] == namespace for pair in pairs) else SUBJECT


def _normalized(name: str) -> str:
    host, slash, path = name.lower().rstrip("/").partition("/")
    return host.partition(":")[0] + slash + path
