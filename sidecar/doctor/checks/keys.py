"""The issuer's key set: reachable without a login, and with this token's key in it."""

from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.checks.discovery import ANONYMOUS_OFF, BINDING_MISSING, aws_found_no_keys, refused
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, Verdict, advice, broken, good, skipped, unknown
from sidecar.issuer.documents import DocumentError
from sidecar.issuer.reader import Unreadable
from sidecar.model import Token

__all__ = ("CHECK",)

_OK: Final = 200
_UNREACHABLE: Final = Cause(
    "jwks_unreachable",
    "the key set cannot be reached at the jwks_uri of the discovery document, and AWS did not get it either",
    "set the API server's --service-account-jwks-uri to https://{host}/openid/v1/jwks, and open it to the internet",
    "curl -sv {jwks_uri}   # from outside of your network",
    Exit.UNREACHABLE,
)
_MISSING: Final = Cause(
    "jwks_missing",
    "there is no key set at the jwks_uri of the discovery document",
    "set the API server's --service-account-jwks-uri to where it is, or publish it there",
    exit_code=Exit.ISSUER,
)
_KEY: Final = Cause(
    "key_not_published",
    "the token was signed by a key, {kid}, that is not in the issuer's key set: a rotation that was not published",
    "publish the new key before it signs: `aws-oidc-sidecar publish-issuer`, or for the API server itself list the new "
    "public key in --service-account-key-file of every instance; what caches {jwks_uri} has to be emptied",
    exit_code=Exit.ISSUER,
)


def _run(case: Case) -> Verdict:
    answer = case.keys_answer
    if answer is None:
        return skipped("no discovery document names it")
    url = case.facts.get("jwks_uri", "")
    if isinstance(answer, Unreadable):
        if case.accepted:
            return advice(f"{url}: {answer.detail}, from here; AWS has its keys")
        if aws_found_no_keys(case):
            return broken(f"{url}: {answer.detail}, and AWS got no keys", Finding(_UNREACHABLE, case.facts))
        return unknown(f"{url}: {answer.detail}, from here; AWS has to reach it from the internet")
    if answer.status != _OK:
        return broken(f"{url} answers {answer.status}", Finding(refused(answer.status) or _MISSING, case.facts))
    keys = case.keys
    if keys is None or isinstance(keys, DocumentError):
        return broken(f"{url} {keys}", Finding(_MISSING, case.facts))
    if not isinstance(case.token, Token):
        return good(f"{url} has {len(keys.kids)} keys")
    if case.token.key_id not in keys.kids:
        return broken(f"{url} has {len(keys.kids)} keys, not this token's", Finding(_KEY, case.facts))
    return good(f"{url} has {len(keys.kids)} keys, this token's too")


CHECK: Final = Check(
    "keys",
    "issuer's keys",
    "the key set at `jwks_uri`, without a login, and the token's `kid` in it",
    (_UNREACHABLE, _MISSING, _KEY, ANONYMOUS_OFF, BINDING_MISSING),
    _run,
)
