"""Checks the certificates that the issuer sends, and shows the thumbprint that IAM needs, if any."""

from datetime import UTC, datetime
from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, advice, good, skipped
from sidecar.exits import Exit
from sidecar.issuer.certificates import Chain
from sidecar.issuer.reader import IssuerResponse

__all__ = ("CHECK", "chains", "thumbprint_compared")

_LEAF_ONLY: Final = Cause(
    "leaf_only",
    "the issuer sends only its leaf certificate, so IAM has the thumbprint of the leaf, and the next leaf breaks the "
    "trust",
    "configure the server to send its CA certificate too (API server: --tls-cert-file with leaf and CA, in this order)",
    exit_code=Exit.GOOD,
)
# People replace a CA, and IAM needs the thumbprint of the new CA before the issuer uses it.
_SOON_SECONDS: Final = 30 * 86_400
_SOON: Final = Cause(
    "ca_runs_out",
    "the CA certificate of the issuer expires within 30 days, and IAM has the thumbprint of this CA",
    "before the issuer uses the new CA, add its thumbprint to the provider: `aws-oidc-sidecar bootstrap aws`",
    exit_code=Exit.GOOD,
)


def chains(case: Case) -> list[Chain]:
    """Return the certificate chains of the discovery document and of the key set; one if both are the same."""
    responses = [
        response for response in (case.discovery_response, case.keys_response) if isinstance(response, IssuerResponse)
    ]
    found: list[Chain] = []
    for response in responses:
        if response.chain not in found:
            found.append(response.chain)
    return found


def thumbprint_compared(case: Case) -> bool:
    """Return whether the thumbprint of a certificate chain could be compared.

    A chain that a root CA of this machine verifies is not compared: AWS may trust other root CAs.
    """
    return any(not chain.public for chain in chains(case))


def _run(case: Case) -> CheckResult:
    served = chains(case) if case.issuer else []
    if not served:
        return skipped("no response from the issuer")
    now = case.now.wall
    lines = []
    for chain in served:
        last = chain.last
        until = datetime.fromtimestamp(last.not_after, UTC).date().isoformat()
        kind = "publicly trusted, IAM needs no thumbprint" if chain.public else f"thumbprint {last.thumbprint}"
        lines.append(
            f"{len(chain.certificates)} sent; the last: {last.subject or 'no subject'}, expires {until}, {kind}"
        )
    evidence = "; ".join(lines)
    if any(chain.last.not_after < now + _SOON_SECONDS and not chain.public for chain in served):
        return advice(evidence, Finding(_SOON, case.facts))
    if any(chain.leaf_only and not chain.public for chain in served):
        return advice(evidence, Finding(_LEAF_ONLY, case.facts))
    return good(evidence)


CHECK: Final = Check(
    "certificate",
    "issuer's certificate",
    "the certificates that the issuer sends: publicly trusted or not, with or without the CA, expiration, thumbprint",
    (_LEAF_ONLY, _SOON),
    _run,
)
