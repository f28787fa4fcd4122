"""Checks the issuer's discovery document: AWS can reach it, without a login, and it has the right issuer."""

from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, advice, broken, good, skipped, suspected, unknown
from sidecar.errors import StsErrorKind
from sidecar.issuer import faults
from sidecar.issuer.answers import Verdict, discovery_of, judge_addresses, judge_issuer, judge_url
from sidecar.issuer.documents import DISCOVERY_PATH, below
from sidecar.issuer.faults import IssuerFault
from sidecar.issuer.reader import IssuerResponse

__all__ = ("CHECK", "cause_of", "result_of")


def cause_of(fault: IssuerFault) -> Cause:
    """Return the doctor's cause for a fault of an issuer."""
    return Cause(fault.name, fault.what, fault.fix, fault.to_confirm, fault.exit_code)


# What was seen from here need not be what AWS sees.
_FROM_HERE: Final = (faults.UNREACHABLE, faults.KEYS_UNREACHABLE, faults.PROXY, faults.PRIVATE)
# If AWS accepts the token, these are of this network, such as a proxy that replaces certificates.
_OF_CONNECTION: Final = (faults.INSIDE, faults.PLAINTEXT, faults.TLS, faults.CERTIFICATE)
_OF_KEYS: Final = (faults.KEYS_UNREACHABLE, faults.NO_KEYS, faults.NOT_HTTPS, faults.SLOW)


def result_of(case: Case, verdict: Verdict, unreachable: IssuerFault = faults.UNREACHABLE) -> CheckResult:
    """Return the result for a fault of one of the two documents.

    Args:
        case: what the exchange of this run returned decides whether AWS has the fault too.
        verdict: the fault.
        unreachable: the fault that is possible too if another fault is seen from here only.
    """
    finding = Finding(cause_of(verdict.fault), {**case.facts, **verdict.facts})
    if verdict.fault in _FROM_HERE:
        if case.accepted:
            return advice(f"{verdict.evidence}; AWS has the keys")
        if not _aws_found_no_keys(case):
            return unknown(f"{verdict.evidence}; AWS must reach it from the internet")
        evidence = f"{verdict.evidence}; AWS got no keys"
        if verdict.fault is unreachable:
            return broken(evidence, finding)
        return suspected(evidence, finding, Finding(cause_of(unreachable), finding.facts))
    if case.accepted and (verdict.fault.temporary or verdict.fault in _OF_CONNECTION):
        return advice(f"{verdict.evidence}; AWS accepted the token in this run", finding)
    # Also if AWS accepted the token: AWS caches the keys of an earlier read, and the cache expires.
    return broken(verdict.evidence, finding)


def _aws_found_no_keys(case: Case) -> bool:
    """Return whether the exchange of this run failed because AWS could not read the issuer's documents."""
    failure = case.exchange_result.failure if case.exchange_result else None
    return failure is not None and failure.kind in {StsErrorKind.NO_KEYS, StsErrorKind.UNREACHABLE_ISSUER}


def _run(case: Case) -> CheckResult:
    if not case.issuer:
        return skipped("the issuer is not known without a token; name it with --issuer")
    url = below(case.issuer, DISCOVERY_PATH)
    inside = judge_url(url)
    if inside is not None:
        return result_of(case, inside)
    document = discovery_of(case.issuer, case.discovery_response)
    verdict = document if isinstance(document, Verdict) else judge_issuer(document, case.issuer)
    response = case.discovery_response
    if verdict is None and isinstance(response, IssuerResponse) and _aws_found_no_keys(case):
        verdict = judge_addresses(url, response)
    return good(f"{url} has this issuer") if verdict is None else result_of(case, verdict)


CHECK: Final = Check(
    "discovery",
    "issuer's discovery document",
    "AWS can reach its host; one request without a login, as AWS sends it: HTTP 200, and `issuer` equal to the token's "
    "`iss`",
    tuple(cause_of(fault) for fault in faults.FAULTS if fault not in _OF_KEYS),
    _run,
)
