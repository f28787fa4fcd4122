"""The certificates that the issuer sends: what IAM's thumbprint has to be, if any."""

from datetime import UTC, datetime
from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, Verdict, advice, good, skipped
from sidecar.issuer.certificates import Chain
from sidecar.issuer.reader import Answer

__all__ = ("CHECK", "chains", "thumbprint_compared")

_LEAF_ONLY: Final = Cause(
    "leaf_only",
    "the issuer sends its leaf alone, so the thumbprint is the leaf's, and the next renewal of it breaks the trust",
    "have the server send its CA as well (API server: --tls-cert-file with leaf and CA, in this order)",
    exit_code=Exit.GOOD,
)
# A CA is renewed by people, and IAM has to know the new one before it serves.
_SOON_SECONDS: Final = 30 * 86_400
_SOON: Final = Cause(
    "ca_runs_out",
    "the CA of the issuer's certificate runs out within 30 days, and with it the thumbprint that IAM has",
    "register the new CA's thumbprint beside the old one before it serves: `aws-oidc-sidecar bootstrap aws`",
    exit_code=Exit.GOOD,
)


def chains(case: Case) -> list[Chain]:
    """Return the chains that the discovery document and the key set came by; one where both are one host's."""
    answers = [answer for answer in (case.discovery_answer, case.keys_answer) if isinstance(answer, Answer)]
    found: list[Chain] = []
    for answer in answers:
        if answer.chain not in found:
            found.append(answer.chain)
    return found


def thumbprint_compared(case: Case) -> bool:
    """Return whether a chain was seen that IAM needs a thumbprint for; where a root here vouches, AWS may differ."""
    return any(not chain.public for chain in chains(case))


def _run(case: Case) -> Verdict:
    served = chains(case) if case.issuer else []
    if not served:
        return skipped("no answer of the issuer came with any")
    now = case.now.wall
    lines = []
    for chain in served:
        last = chain.last
        until = datetime.fromtimestamp(last.not_after, UTC).date().isoformat()
        kind = "publicly trusted, IAM needs no thumbprint" if chain.public else f"thumbprint {last.thumbprint}"
        lines.append(f"{len(chain.certificates)} sent, the last for {last.subject or 'nobody'} until {until}, {kind}")
    evidence = "; ".join(lines)
    if any(chain.last.not_after < now + _SOON_SECONDS and not chain.public for chain in served):
        return advice(evidence, Finding(_SOON, case.facts))
    if any(chain.leaf_only and not chain.public for chain in served):
        return advice(evidence, Finding(_LEAF_ONLY, case.facts))
    return good(evidence)


CHECK: Final = Check(
    "certificate",
    "issuer's certificate",
    "the chain that is sent: publicly trusted or not, leaf alone or with its CA, how long that lives; its thumbprint",
    (_LEAF_ONLY, _SOON),
    _run,
)
