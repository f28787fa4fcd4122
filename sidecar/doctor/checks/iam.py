"""What IAM has, compared with what the token says: the exact word on a refusal, for whoever may read IAM."""

from collections.abc import Iterator
from typing import Final

from sidecar.bootstrap.trust import Mismatch, refusals
from sidecar.doctor.aws import IamFacts, IamUnknown, Provider
from sidecar.doctor.case import Case
from sidecar.doctor.checks.certificate import chains, thumbprint_compared
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, Verdict, advice, broken, good, skipped, unknown
from sidecar.errors import Refusal
from sidecar.model import Token, account_of

__all__ = (
    "AUDIENCES",
    "CHECK",
    "DENIED",
    "DURATION",
    "PROPAGATION",
    "PROVIDERS",
    "THUMBPRINTS",
    "TRUST_CONDITION",
    "findings_of",
)

_READ_TRUST: Final = "aws iam get-role --role-name {role_name} --query Role.AssumeRolePolicyDocument"
_READ_PROVIDER: Final = (
    "aws iam get-open-id-connect-provider "
    "--open-id-connect-provider-arn arn:{partition}:iam::{account}:oidc-provider/{provider}"
)
_BOOTSTRAP: Final = (
    "aws-oidc-sidecar bootstrap aws --issuer {issuer} --role {role_name} "
    "--service-account {namespace}/{service_account} --audience {audience}"
)


def _cause(name: str, what: str, mend: str, decide: str, exit_code: int = Exit.REFUSED) -> Cause:
    return Cause(name, what, mend, decide, exit_code)


_ROLE: Final = _cause(
    "role_missing",
    "the account {account} has no role {role}",
    "correct the role's ARN in the sidecar's settings, or make the role: " + _BOOTSTRAP,
    "aws iam get-role --role-name {role_name} --query Role.Arn",
)
_NAMESPACE: Final = _cause(
    "trust_namespace",
    "the role's trust policy allows the ServiceAccount of another namespace than {namespace}",
    "put {subject} into the policy's sub condition: " + _BOOTSTRAP,
    _READ_TRUST,
)
_ACCOUNT_NAME: Final = _cause(
    "trust_service_account",
    "the role's trust policy allows another ServiceAccount than {service_account}",
    "set serviceAccountName in the pod to the one that is meant, or put {subject} into the policy: " + _BOOTSTRAP,
    _READ_TRUST,
)
_SUBJECT: Final = _cause(
    "trust_subject",
    "the role's trust policy asks for another sub than {subject}",
    "put {subject} into the policy's sub condition: " + _BOOTSTRAP,
    _READ_TRUST,
)
_TRUST_AUDIENCE: Final = _cause(
    "trust_audience",
    "the role's trust policy asks for another aud than {audience}",
    "put {audience} into the policy's aud condition: " + _BOOTSTRAP,
    _READ_TRUST,
)
_PRINCIPAL: Final = _cause(
    "trust_principal",
    "no statement of the role's trust policy names the provider of this issuer, {provider}",
    "make the provider the policy's Federated principal: " + _BOOTSTRAP,
    _READ_TRUST,
)
_ACTION: Final = _cause(
    "trust_action",
    "the role's trust policy names the provider, and allows it another action than sts:AssumeRoleWithWebIdentity",
    "put sts:AssumeRoleWithWebIdentity into the statement's Action: " + _BOOTSTRAP,
    _READ_TRUST,
)
_DENY: Final = _cause(
    "trust_denied",
    "a Deny statement of the role's trust policy matches this token",
    "take the statement out of the policy, or exempt {subject} in it",
    _READ_TRUST,
)
TRUST_CONDITION: Final = _cause(
    "trust_condition",
    "the role's trust policy has a condition that the doctor cannot judge, {condition}",
    "read that condition; none but aud and sub is needed: " + _BOOTSTRAP,
    _READ_TRUST,
)
PROPAGATION: Final = _cause(
    "propagation",
    "IAM was changed just now: until a change has taken effect everywhere AWS refuses as before, some seconds",
    "wait 15 seconds and ask again",
    "aws-oidc-sidecar doctor   # once more, in 15 seconds",
)
_PROVIDER: Final = _cause(
    "provider_missing",
    "the account {account} has no OIDC provider for {issuer}",
    "make it: " + _BOOTSTRAP,
    "aws iam list-open-id-connect-providers",
)
_PROVIDER_URL: Final = _cause(
    "provider_url",
    "the account's provider has a URL that differs from the token's iss, {issuer}, in a slash, a port or letters",
    "make one whose URL is the iss to the last character, and delete the other: " + _BOOTSTRAP,
    "aws iam list-open-id-connect-providers",
)
_OTHER_ACCOUNT: Final = _cause(
    "role_in_other_account",
    "the role is in account {account}, and the provider is in another: AWS looks for it in the role's account",
    "make the provider in {account} too, or use a role of the provider's account",
    "aws iam list-open-id-connect-providers   # with credentials of account {account}",
)
_CLIENT_ID: Final = _cause(
    "client_id_missing",
    "the token's aud, {audience}, is not among the provider's client ids",
    "aws iam add-client-id-to-open-id-connect-provider --client-id {audience} "
    "--open-id-connect-provider-arn arn:{partition}:iam::{account}:oidc-provider/{provider}",
    _READ_PROVIDER,
)
_TOKEN_AUDIENCE: Final = _cause(
    "token_audience",
    "the token has aud {audience}, where the provider expects another",
    "set audience: {audience_setting} in the projected volume of the pod",
    _READ_PROVIDER,
)
_LEAF: Final = _cause(
    "thumbprint_of_leaf",
    "the provider has the thumbprint of a certificate that is no longer served, most likely an earlier leaf",
    "register the last certificate's, {thumbprint}, which outlives every leaf: " + _BOOTSTRAP,
    _READ_PROVIDER,
    Exit.ISSUER,
)
_CA: Final = _cause(
    "ca_rotated",
    "the issuer has a new CA, and the provider only the old one's thumbprint",
    "register the new CA's, {thumbprint}, beside the old one: " + _BOOTSTRAP,
    _READ_PROVIDER,
    Exit.ISSUER,
)
DURATION: Final = _cause(
    "duration_over_maximum",
    "the duration of {duration} s is longer than the role's MaxSessionDuration, {maximum}",
    "aws iam update-role --role-name {role_name} --max-session-duration {duration}   # or lower --duration",
    "aws iam get-role --role-name {role_name} --query Role.MaxSessionDuration",
)
_SOON: Final = Cause(
    "thumbprint_is_leaf",
    "the provider knows the issuer by its leaf alone: the next renewal of it breaks the trust",
    "register the last certificate's thumbprint, {thumbprint}: " + _BOOTSTRAP,
    exit_code=Exit.GOOD,
)

DENIED: Final = (_ROLE, _NAMESPACE, _ACCOUNT_NAME, _TRUST_AUDIENCE, _PRINCIPAL, _DENY, PROPAGATION)
"""What one AccessDenied of AssumeRoleWithWebIdentity can mean; AWS tells none of these apart."""
PROVIDERS: Final = (_PROVIDER, _OTHER_ACCOUNT, _PROVIDER_URL, PROPAGATION)
AUDIENCES: Final = (_CLIENT_ID, _TOKEN_AUDIENCE, PROPAGATION)
THUMBPRINTS: Final = (_LEAF, _CA, PROPAGATION)


def findings_of(case: Case) -> tuple[Finding, ...] | None:
    """Return everything of IAM that keeps this token out; None where what was read does not decide it."""
    if isinstance(case.iam, IamUnknown):
        return None
    if case.iam.account != account_of(case.hops[0].role_arn):
        return _of_other_account(case, case.iam)
    return tuple(_findings(case, case.iam))


def _of_other_account(case: Case, iam: IamFacts) -> tuple[Finding, ...] | None:
    # What the role's own account has cannot be read from another one, and both may have the provider. AWS says in one
    # case that it has none; that it is here then says enough.
    done = case.exchanged
    told = done is not None and done.failure is not None and done.failure.refusal is Refusal.NO_PROVIDER
    here = any(provider.name == case.facts.get("provider") for provider in iam.providers)
    return (Finding(_OTHER_ACCOUNT, case.facts),) if told and here else None


def _findings(case: Case, iam: IamFacts) -> Iterator[Finding]:
    name = case.facts.get("provider", "")
    provider = next((provider for provider in iam.providers if provider.name == name), None)
    if name and provider is None:
        near = any(_loosely(other.name) == _loosely(name) for other in iam.providers)
        yield Finding(_PROVIDER_URL if near else _PROVIDER, case.facts)
    if provider is not None:
        yield from _of_provider(case, provider)
    yield from _of_role(case, iam, provider)


def _of_provider(case: Case, provider: Provider) -> Iterator[Finding]:
    token = case.token
    if isinstance(token, Token) and not set(token.audience) & set(provider.client_ids):
        meant = case.settings.audience not in token.audience and case.settings.audience in provider.client_ids
        yield Finding(_TOKEN_AUDIENCE if meant else _CLIENT_ID, case.facts)
    for chain in chains(case):
        served = {certificate.thumbprint for certificate in chain.certificates}
        if chain.public or served & set(provider.thumbprints):
            continue
        # A CA that is younger than the provider cannot be the one that was registered with it.
        newer = chain.last.not_before >= int(provider.created_at)  # certificates have whole seconds
        yield Finding(_CA if newer else _LEAF, case.facts | {"thumbprint": chain.last.thumbprint})
        return


def _of_role(case: Case, iam: IamFacts, provider: Provider | None) -> Iterator[Finding]:
    if iam.role is None:
        yield Finding(_ROLE, case.facts)
        return
    token = case.token
    if provider is not None and isinstance(token, Token):
        known = [audience for audience in token.audience if audience in provider.client_ids] or list(token.audience)
        for mismatch in refusals(iam.role.trust, provider_arn=provider.arn, audience=known, subject=token.subject):
            yield _of_mismatch(case, mismatch)
    first = case.hops[0]
    if first.duration_seconds > iam.role.max_session_seconds:
        maximum = f"{iam.role.max_session_seconds} s"
        yield Finding(DURATION, case.facts | {"duration": str(first.duration_seconds), "maximum": maximum})


def _of_mismatch(case: Case, mismatch: Mismatch) -> Finding:
    if mismatch.kind == "condition":
        return Finding(TRUST_CONDITION, case.facts | {"condition": mismatch.found})
    if mismatch.kind != "sub":
        causes = {"principal": _PRINCIPAL, "action": _ACTION, "aud": _TRUST_AUDIENCE, "deny": _DENY}
        return Finding(causes[mismatch.kind], case.facts)
    wanted = [value.split(":") for value in mismatch.wanted]
    *kind, namespace, name = case.facts.get("subject", "").rsplit(":", 2)
    # Which half differs is said only where the other half, in some value, is right.
    if kind and any(value[-1] == name and value[-2:-1] != [namespace] for value in wanted):
        return Finding(_NAMESPACE, case.facts)
    if kind and any(value[-2:-1] == [namespace] for value in wanted):
        return Finding(_ACCOUNT_NAME, case.facts)
    return Finding(_SUBJECT, case.facts)


def _loosely(name: str) -> str:
    host, slash, path = name.lower().rstrip("/").partition("/")
    return host.partition(":")[0] + slash + path


def _run(case: Case) -> Verdict:
    if not case.partition_fits:
        return skipped("the role is of another partition")
    iam = case.iam
    if isinstance(iam, IamUnknown):
        return skipped(iam.why)
    found = findings_of(case) or ()
    role_account = account_of(case.hops[0].role_arn)
    if iam.account != role_account:
        evidence = f"read in account {iam.account}; the role is of account {role_account}"
        return broken(evidence, *found) if found else unknown(evidence)
    if found:
        evidence = ", ".join(finding.cause.name for finding in found)
        if case.accepted:
            return advice(f"{evidence}; AWS accepted the token just now all the same", *found)
        certain = [finding for finding in found if finding.cause is not TRUST_CONDITION]
        if not certain:
            return unknown(f"the trust policy has a condition of its own: {found[0].facts['condition']}")
        return broken(evidence, *certain)
    return _of_fitting(case, iam)


def _of_fitting(case: Case, iam: IamFacts) -> Verdict:
    with_token = isinstance(case.token, Token)
    for chain in chains(case) if case.issuer else ():
        leaf = chain.certificates[0].thumbprint
        known = {each for provider in iam.providers for each in provider.thumbprints}
        if not chain.public and not chain.leaf_only and leaf in known and chain.last.thumbprint not in known:
            facts = case.facts | {"thumbprint": chain.last.thumbprint}
            evidence = "provider, client id and trust policy fit; " if with_token else ""
            return advice(f"{evidence}the thumbprint is the leaf's", Finding(_SOON, facts))
    if not with_token:
        return unknown(f"read in account {iam.account}; without a token there is nothing to compare it with")
    thumbprint = ", thumbprint" if thumbprint_compared(case) else ""
    return good(f"provider, client id{thumbprint} and trust policy of account {iam.account} fit this token")


CHECK: Final = Check(
    "iam",
    "IAM provider and role",
    "with rights to read IAM: the provider's URL, client ids and thumbprints, and the role's trust policy, against the "
    "token",
    (
        *dict.fromkeys((*DENIED, *PROVIDERS, *AUDIENCES, *THUMBPRINTS)),
        _SUBJECT,
        _ACTION,
        TRUST_CONDITION,
        DURATION,
        _SOON,
    ),
    _run,
)
