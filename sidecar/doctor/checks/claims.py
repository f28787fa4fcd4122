"""Checks the claims of the token: issuer, audience, subject."""

from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.options import Place
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, advice, broken, good, skipped
from sidecar.errors import InvalidValueError
from sidecar.exits import Exit
from sidecar.issuer.documents import check_issuer
from sidecar.model import Token

__all__ = ("API_AUDIENCE", "CHECK", "ISSUER_FORM")

ISSUER_FORM: Final = Cause(
    "issuer_form",
    "IAM cannot have an OIDC provider for this issuer: its URL {why}",
    "set the API server's --service-account-issuer to https://<public name>, without port, query and fragment; keep "
    "the old value as a second --service-account-issuer until all pods have new tokens",
    exit_code=Exit.ISSUER,
)
API_AUDIENCE: Final = Cause(
    "audience_of_api_server",
    "the token's aud, {audience}, is the API server's own: the token is a login to this cluster, and not for AWS",
    "mount a projected serviceAccountToken volume with audience: {aws_audience}, and set --token-file to its file",
    exit_code=Exit.USAGE,
)
_AUDIENCE: Final = Cause(
    "audience_unusual",
    "the token's aud is not the expected token audience, {audience_setting}",
    "set audience: {audience_setting} in the projected volume, or set --audience to a client id of the OIDC provider",
    exit_code=Exit.GOOD,
)


def _run(case: Case) -> CheckResult:
    token = case.token
    if not isinstance(token, Token):
        return skipped("only the sidecar has the token" if case.place is Place.APPLICATION else "no token available")
    evidence = f"iss {token.issuer}, aud {', '.join(token.audience)}, sub {token.subject}"
    try:
        check_issuer(token.issuer)
    except InvalidValueError as error:
        return broken(evidence, Finding(ISSUER_FORM, case.facts | {"why": error.what}))
    if case.for_api_server:
        finding = Finding(API_AUDIENCE, case.facts)
        return advice(f"{evidence}; AWS accepted it", finding) if case.accepted else broken(evidence, finding)
    if case.settings.audience not in token.audience:
        # No fault for certain: another audience can be a client id of the provider too.
        return advice(evidence, Finding(_AUDIENCE, case.facts))
    return good(evidence)


CHECK: Final = Check(
    "token_claims",
    "token's claims",
    "issuer, audience and subject: the values that IAM compares",
    (ISSUER_FORM, API_AUDIENCE, _AUDIENCE),
    _run,
)
