"""The checks of the cluster's half: the doctor's own, and what only the cluster shows."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from sidecar.bootstrap_cluster.anonymous import BEYOND, PUBLIC_INFO, is_inside
from sidecar.bootstrap_cluster.binding import NAME, Applied
from sidecar.bootstrap_cluster.look import Look, Server
from sidecar.doctor.checks import certificate, claims, discovery, keys, token_file
from sidecar.doctor.checks.discovery import ANONYMOUS_OFF, BINDING_MISSING
from sidecar.doctor.verdict import (
    Cause,
    Check,
    Exit,
    Finding,
    State,
    Verdict,
    advice,
    broken,
    good,
    skipped,
    unknown,
)
from sidecar.issuer.documents import DISCOVERY_PATH, Discovery
from sidecar.issuer.reader import Trouble, Unreadable

__all__ = ("CAUSES", "CHECKS", "TOO_WIDE", "may_come")

_DRIFT: Final = 7
_NO_ISSUER: Final = "no token here names the issuer"
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

# --- the binding ---

_RIGHTS: Final = Cause(
    "rights_missing",
    "this ServiceAccount may not apply the ClusterRoleBinding: {why}",
    f"somebody who may do it, once for the cluster: {BINDING_MISSING.mend}; or give the ServiceAccount the right to "
    f"get, create and patch clusterrolebindings with resourceNames [{NAME}]",
    exit_code=Exit.RIGHTS,
)
_BIND: Final = Cause(
    "bind_missing",
    "this ServiceAccount may not give away the right to read the two documents, for it does not have it itself",
    "somebody took system:service-account-issuer-discovery from system:serviceaccounts: give it back, or give the "
    "ServiceAccount the verb bind on this ClusterRole",
    exit_code=Exit.RIGHTS,
)
_DIFFERS: Final = Cause(
    "binding_differs",
    f"there is another ClusterRoleBinding {NAME}, and it says something else",
    f"look whose it is: kubectl get clusterrolebinding {NAME} -o yaml; if it is of use to nobody else, kubectl delete "
    f"clusterrolebinding {NAME}, and run this again",
    exit_code=_DRIFT,
)
_OLDER: Final = Cause(
    "binding_of_older_form",
    f"the ClusterRoleBinding {NAME} is another's, and says in other words what is needed",
    "nothing has to be done",
)
_NOT_APPLIED: Final = Cause(
    "binding_not_applied",
    "the ClusterRoleBinding could not be applied: {why}",
    "look at the API server, and run this again",
    exit_code=Exit.UNREACHABLE,
)
_NO_RBAC: Final = Cause(
    "no_rbac",
    "the API server knows no ClusterRoleBinding, or refuses this one: {why}",
    "add RBAC to its --authorization-mode, and open the API version rbac.authorization.k8s.io/v1",
    exit_code=Exit.ISSUER,
)
_CAUSE_OF: Final = {
    Applied.LACKS_PATCH: _RIGHTS,
    Applied.LACKS_CREATE: _RIGHTS,
    Applied.LACKS_GET: _RIGHTS,
    Applied.NO_LOGIN: _RIGHTS,
    Applied.FORBIDDEN: _RIGHTS,
    Applied.LACKS_BIND: _BIND,
    Applied.DIFFERS: _DIFFERS,
    Applied.NO_RBAC: _NO_RBAC,
    Applied.REFUSED: _NO_RBAC,
    Applied.BUSY: _NOT_APPLIED,
    Applied.UNREACHABLE: _NOT_APPLIED,
}


def _binding(look: Look) -> Verdict:
    applied = look.applied
    if applied is None:
        return skipped(_why_not(look))
    cause = _CAUSE_OF.get(applied)
    if cause is None:
        return good(f"ClusterRoleBinding {NAME}: {applied}")
    finding = Finding(cause, look.case.facts | {"why": str(applied)})
    if applied is Applied.DIFFERS and look.documents_open:
        return advice(str(applied), Finding(_OLDER, look.case.facts))
    return broken(str(applied), finding)


def _why_not(look: Look) -> str:
    if look.case.given.mode == "verify":
        return "not asked for: --mode verify changes nothing"
    if look.server is Server.ELSEWHERE:
        return "not applied: the issuer is not the API server, so nothing has to be done in the cluster"
    if look.anonymous_off:
        return "not applied: anonymous requests are off, and a binding alone would not let them in"
    return "not applied: something before it is broken"


# --- the issuer's server ---

_INSIDE: Final = Cause(
    "issuer_inside",
    "AWS cannot ask {url}: its name or address is known inside of this cluster or network alone",
    "set the API server's --service-account-issuer and --service-account-jwks-uri to its public name on port 443, or "
    "publish the documents elsewhere: `aws-oidc-sidecar publish-issuer`",
    exit_code=Exit.ISSUER,
)
_UNREACHABLE: Final = Cause(
    "issuer_unreachable_here",
    "{url} cannot be reached from this pod, so nobody here can tell what AWS gets",
    "let the pod resolve that name and reach port 443 (DNS, NetworkPolicy, proxy); for a trial, --connect-to",
    exit_code=Exit.UNREACHABLE,
)
_SERVERS: Final = {
    Server.API_SERVER: "the API server itself",
    Server.ELSEWHERE: "not the API server: nothing has to be done in the cluster",
    Server.UNKNOWN: "not known whether it is the API server",
}


def _server(look: Look) -> Verdict:
    case = look.case
    if not case.issuer:
        return skipped(_NO_ISSUER)
    who = f"{case.issuer} is {_SERVERS[look.server]}" if look.server is not Server.UNKNOWN else _SERVERS[look.server]
    urls = [case.issuer]
    if isinstance(case.discovery, Discovery):
        urls.append(case.discovery.jwks_uri)
    for url in urls:
        if is_inside(url):
            return broken(who, Finding(_INSIDE, case.facts | {"url": url}))
    answers = (case.issuer.removesuffix("/") + DISCOVERY_PATH, case.discovery_answer), (urls[-1], case.keys_answer)
    for url, answer in answers:
        # What is wrong with a certificate is told by the checks of the doctor.
        if isinstance(answer, Unreadable) and answer.trouble is not Trouble.TLS:
            return broken(f"{who}; {answer.detail}", Finding(_UNREACHABLE, case.facts | {"url": url}))
    return unknown(who) if look.server is Server.UNKNOWN else good(who)


# --- the documents ---

_CLOSED: Final = Cause(
    "published_closed",
    "the server that has the issuer's documents does not give them to everybody",
    "let everybody read both, as a public web server does (a bucket: a policy with s3:GetObject for * on these two)",
    exit_code=Exit.ISSUER,
)


def _documents(check: Check) -> Callable[[Look], Verdict]:
    """Return what a check of the doctor says, but that only an API server is mended as one."""

    def run(look: Look) -> Verdict:
        if not look.case.issuer:
            return skipped(_NO_ISSUER)
        verdict = check.run(look.case)
        if look.server is not Server.ELSEWHERE:
            return verdict
        findings = tuple(
            Finding(_CLOSED, finding.facts) if finding.cause in (ANONYMOUS_OFF, BINDING_MISSING) else finding
            for finding in verdict.findings
        )
        return replace(verdict, findings=findings)

    return run


# --- anonymous access ---

TOO_WIDE: Final = Cause(
    "anonymous_too_wide",
    "anonymous requests may read more of the API server than AWS needs: {paths}",
    "take system:unauthenticated and system:anonymous out of what lets them in (kubectl get clusterrolebindings -o "
    "wide), and since Kubernetes 1.32 limit anonymous requests to the two paths by an AuthenticationConfiguration",
)
_NARROW: Final = Cause(
    "anonymous_narrow",
    "anonymous requests may read less than Kubernetes opens by default, not {paths}: AWS needs none of these",
    "nothing, unless a load balancer or a probe asks one of them without a login",
)
_API_UNREACHABLE: Final = Cause(
    "api_server_unreachable",
    "the API server cannot be reached from this pod",
    "let the pod reach KUBERNETES_SERVICE_HOST (NetworkPolicy), or give --api-server",
    exit_code=Exit.UNREACHABLE,
)
_API_TLS: Final = Cause(
    "api_server_not_vouched_for",
    "no CA that is here vouches for the API server, so what it answers proves nothing",
    "mount the cluster's CA where ServiceAccounts have it (automountServiceAccountToken, or the ConfigMap "
    "kube-root-ca.crt), or give --api-ca-file",
    exit_code=Exit.ISSUER,
)


def _anonymous(look: Look) -> Verdict:
    facts = look.case.facts
    if look.api is None:
        return skipped("this is no pod, and no --api-server is given")
    if look.trouble is not None:
        cause = _API_TLS if look.trouble.trouble is Trouble.TLS else _API_UNREACHABLE
        return broken(str(look.trouble), Finding(cause, facts))
    found = [Finding(cause, facts) for cause in (_refusals(look) if look.server is Server.API_SERVER else ())]
    beyond = [path for path in BEYOND if look.statuses.get(path) == HTTPStatus.OK]
    if beyond:
        found.append(Finding(TOO_WIDE, facts | {"paths": ", ".join(beyond)}))
    evidence = f"open without a login: {', '.join(_open(look)) or 'nothing that was tried'}"
    if found:
        return broken(evidence, *found)
    closed = [path for path in PUBLIC_INFO if look.statuses.get(path) in _REFUSED]
    return advice(evidence, Finding(_NARROW, facts | {"paths": ", ".join(closed)})) if closed else good(evidence)


def _refusals(look: Look) -> Sequence[Cause]:
    causes = (discovery.refused(status) for status in look.documents.values())
    return list(dict.fromkeys(cause for cause in causes if cause is not None))


def _open(look: Look) -> list[str]:
    return [path for path, status in look.statuses.items() if status == HTTPStatus.OK]


# --- all of them ---


def _of_case(check: Check) -> Check:
    return replace(check, run=lambda look: check.run(look.case))


def _of_documents(check: Check) -> Check:
    return replace(check, causes=(*check.causes, _CLOSED), run=_documents(check))


CHECKS: Final[tuple[Check, ...]] = (
    _of_case(token_file.CHECK),
    _of_case(claims.CHECK),
    Check(
        "binding",
        "ClusterRoleBinding",
        "with --mode apply, what became of the one object",
        (_RIGHTS, _BIND, _DIFFERS, _OLDER, _NOT_APPLIED, _NO_RBAC),
        _binding,
    ),
    Check(
        "issuer_server",
        "issuer's server",
        "whether it is the API server, has a name that AWS can know, and can be reached",
        (_INSIDE, _UNREACHABLE),
        _server,
    ),
    _of_documents(discovery.CHECK),
    _of_documents(keys.CHECK),
    _of_case(certificate.CHECK),
    Check(
        "anonymous_access",
        "anonymous access",
        "what the API server answers without a login: the two documents, what Kubernetes opens itself, and a sample of "
        "the rest",
        (ANONYMOUS_OFF, BINDING_MISSING, TOO_WIDE, _NARROW, _API_UNREACHABLE, _API_TLS),
        _anonymous,
    ),
)

CAUSES: Final[tuple[Cause, ...]] = tuple(dict.fromkeys(cause for check in CHECKS for cause in check.causes))
"""Every cause that there is, each once."""

_COMES: Final = frozenset({BINDING_MISSING, _UNREACHABLE, _API_UNREACHABLE, _NOT_APPLIED})


def may_come(verdicts: Sequence[Verdict]) -> bool:
    """Return whether nothing is broken but what can come right by itself: RBAC takes a moment, a server comes up."""
    causes = [finding.cause for verdict in verdicts if verdict.state is State.BROKEN for finding in verdict.findings]
    return bool(causes) and all(cause in _COMES for cause in causes)
