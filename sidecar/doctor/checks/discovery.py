"""The issuer's discovery document: reachable without a login, and its own."""

from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, Verdict, advice, broken, good, skipped, unknown
from sidecar.errors import Refusal
from sidecar.issuer.documents import DISCOVERY_PATH, DocumentError
from sidecar.issuer.reader import Trouble, Unreadable

__all__ = ("ANONYMOUS_OFF", "BINDING_MISSING", "CHECK", "ISSUER_DIFFERS", "UNREACHABLE", "aws_found_no_keys", "refused")

_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
UNREACHABLE: Final = Cause(
    "issuer_unreachable",
    "the issuer cannot be reached, and AWS, which has to reach it from the internet, did not get its keys either",
    "give {host} a public name and open port 443 to the internet; an issuer that is to stay inside: "
    "`aws-oidc-sidecar publish-issuer`",
    "curl -sv {issuer}/.well-known/openid-configuration   # from outside of your network",
    Exit.UNREACHABLE,
)
ANONYMOUS_OFF: Final = Cause(
    "anonymous_off",
    "the issuer answers 401: anonymous requests are off at the API server, and AWS has no login",
    "allow them for the discovery paths alone: an AuthenticationConfiguration with anonymous.conditions for "
    "/.well-known/openid-configuration and /openid/v1/jwks (Gardener: structuredAuthentication, or the managed "
    "issuer)",
    exit_code=Exit.ISSUER,
)
BINDING_MISSING: Final = Cause(
    "discovery_forbidden",
    "the issuer answers 403: anonymous requests arrive, and RBAC does not let them read the discovery paths",
    "kubectl create clusterrolebinding allow-anon-openid "
    "--clusterrole=system:service-account-issuer-discovery --group=system:unauthenticated",
    exit_code=Exit.ISSUER,
)
_NO_DOCUMENT: Final = Cause(
    "discovery_missing",
    "there is no discovery document at the issuer's URL",
    "check that {issuer} is the API server, or where the documents were published, and that nothing in between changes "
    "paths",
    exit_code=Exit.ISSUER,
)
ISSUER_DIFFERS: Final = Cause(
    "issuer_differs",
    "the discovery document names another issuer than the token's iss, and AWS refuses such a document",
    "set the API server's --service-account-issuer to the URL at which it is served, or correct the published document",
    exit_code=Exit.ISSUER,
)
_TLS: Final = Cause(
    "issuer_tls",
    "the issuer's certificate is not valid for its name and time: AWS refuses it whatever the thumbprint",
    "issue it for {host}, and renew it before it runs out",
    "openssl s_client -connect {host}:443 -servername {host} </dev/null | "
    "openssl x509 -noout -dates -ext subjectAltName",
    Exit.ISSUER,
)


def aws_found_no_keys(case: Case) -> bool:
    """Return whether AWS refused just now because it could not read the issuer's documents."""
    failure = case.exchanged.failure if case.exchanged else None
    return failure is not None and failure.refusal in {Refusal.NO_KEYS, Refusal.UNREACHABLE_ISSUER}


def refused(status: int) -> Cause | None:
    """Return the cause of an HTTP status of a discovery path; None for a status that is neither 401 nor 403."""
    return {_UNAUTHORIZED: ANONYMOUS_OFF, _FORBIDDEN: BINDING_MISSING}.get(status)


def _run(case: Case) -> Verdict:
    if not case.issuer:
        return skipped("no token here names the issuer; --issuer does")
    answer = case.discovery_answer
    url = case.issuer.removesuffix("/") + DISCOVERY_PATH
    if isinstance(answer, Unreadable):
        if case.accepted:
            return advice(f"{url}: {answer.detail}, from here; AWS has its keys")
        if answer.trouble is Trouble.TLS:
            return broken(f"{url}: {answer.detail}", Finding(_TLS, case.facts))
        if aws_found_no_keys(case):
            return broken(f"{url}: {answer.detail}, and AWS got no keys", Finding(UNREACHABLE, case.facts))
        return unknown(f"{url}: {answer.detail}, from here; AWS has to reach it from the internet")
    # Also where AWS accepted the token: it has the keys from an earlier reading, and they run out.
    return _judge(case, url, answer.status)


def _judge(case: Case, url: str, status: int) -> Verdict:
    if status != _OK:
        return broken(f"{url} answers {status}", Finding(refused(status) or _NO_DOCUMENT, case.facts))
    document = case.discovery
    if document is None or isinstance(document, DocumentError):
        return broken(f"{url} {document}", Finding(_NO_DOCUMENT, case.facts))
    if document.issuer != case.issuer:
        return broken(f"{url} names {document.issuer}", Finding(ISSUER_DIFFERS, case.facts))
    return good(f"{url} names itself")


CHECK: Final = Check(
    "discovery",
    "issuer's discovery document",
    "one request without a login, as AWS makes it: 200, and `issuer` equal to the token's `iss`",
    (UNREACHABLE, ANONYMOUS_OFF, BINDING_MISSING, _NO_DOCUMENT, ISSUER_DIFFERS, _TLS),
    _run,
)
