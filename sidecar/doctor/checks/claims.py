"""What the token says: issuer, audience, subject."""

from typing import Final

from sidecar.doctor.case import Case, Place
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, Verdict, advice, broken, good, skipped
from sidecar.issuer.documents import check_issuer
from sidecar.model import Token

__all__ = ("CHECK", "ISSUER_FORM")

ISSUER_FORM: Final = Cause(
    "issuer_form",
    "IAM cannot have a provider for this issuer: its URL {why}",
    "set the API server's --service-account-issuer to https://<public name>, without port and trailing slash; keep the "
    "old value as a second flag until every pod has a new token",
    exit_code=Exit.ISSUER,
)
_AUDIENCE: Final = Cause(
    "audience_unusual",
    "the token's audience is not the one that is set here, {audience_setting}",
    "set audience: {audience_setting} in the projected volume, or --audience to the one that the provider knows",
    exit_code=Exit.GOOD,
)


def _run(case: Case) -> Verdict:
    token = case.token
    if not isinstance(token, Token):
        where = "in the sidecar only" if case.place is Place.APPLICATION else "for want of a token"
        return skipped(f"seen {where}" if case.place is Place.APPLICATION else f"not seen, {where}")
    evidence = f"iss {token.issuer}, aud {', '.join(token.audience)}, sub {token.subject}"
    try:
        check_issuer(token.issuer)
    except ValueError as error:
        return broken(evidence, Finding(ISSUER_FORM, case.facts | {"why": str(error).partition("; ")[0]}))
    if case.settings.audience not in token.audience:
        # AWS decides whether that is wrong: another audience can be a client id too.
        return advice(evidence, Finding(_AUDIENCE, case.facts))
    return good(evidence)


CHECK: Final = Check(
    "token_claims",
    "token's claims",
    "issuer, audience and subject, as IAM compares them",
    (ISSUER_FORM, _AUDIENCE),
    _run,
)
