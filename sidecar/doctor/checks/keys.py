"""Checks the issuer's key set: AWS can reach it, without a login, and it has the key of this token."""

from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.checks.discovery import cause_of, result_of
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, broken, good, skipped
from sidecar.exits import Exit
from sidecar.issuer import faults
from sidecar.issuer.answers import Verdict, judge_jwks_uri, judge_seconds, keys_of
from sidecar.issuer.documents import Discovery
from sidecar.issuer.reader import IssuerResponse
from sidecar.model import Token

__all__ = ("CHECK",)

_KEY: Final = Cause(
    "key_not_published",
    "the key that signed the token, {kid}, is not in the issuer's key set: the keys were rotated and not published",
    "publish the new key before it signs tokens: `aws-oidc-sidecar publish-issuer`, or for the API server itself add "
    "the new public key as --service-account-key-file of every instance; then empty each cache of {jwks_uri}",
    exit_code=Exit.ISSUER,
)
_OF_DISCOVERY: Final = (faults.UNREACHABLE, faults.NO_DOCUMENT, faults.DIFFERS)


def _run(case: Case) -> CheckResult:
    document = case.discovery
    if not isinstance(document, Discovery):
        return skipped("no discovery document, so the URL of the key set is not known")
    url = document.jwks_uri
    verdict = judge_jwks_uri(document)
    if verdict is not None:
        return result_of(case, verdict, faults.KEYS_UNREACHABLE)
    response = case.keys_response
    if response is None:
        return skipped("no discovery document, so the URL of the key set is not known")
    keys = keys_of(case.issuer, url, response)
    if isinstance(keys, Verdict):
        return result_of(case, keys, faults.KEYS_UNREACHABLE)
    if isinstance(case.token, Token) and case.token.key_id not in keys.kids:
        return broken(f"{url} has {len(keys.kids)} keys, none of them this token's", Finding(_KEY, case.facts))
    if isinstance(case.discovery_response, IssuerResponse) and isinstance(response, IssuerResponse):
        slow = judge_seconds(case.discovery_response, response)
        if slow is not None:
            return result_of(case, slow)
    this = ", one of them this token's" if isinstance(case.token, Token) else ""
    return good(f"{url} has {len(keys.kids)} keys{this}")


CHECK: Final = Check(
    "keys",
    "issuer's keys",
    "AWS can reach the host of `jwks_uri`; the key set there: HTTP 200 without a login, a key with the token's `kid`, "
    "and both documents within five seconds",
    (_KEY, *(cause_of(fault) for fault in faults.FAULTS if fault not in _OF_DISCOVERY)),
    _run,
)
