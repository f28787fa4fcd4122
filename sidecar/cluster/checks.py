"""The checks of ``bootstrap cluster``: some of the doctor's, and those of the API server."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from sidecar.cluster.anonymous import BEYOND, PUBLIC_INFO
from sidecar.cluster.binding import NAME, Applied
from sidecar.cluster.probe import ClusterProbe, Server
from sidecar.doctor.case import Case
from sidecar.doctor.checks import certificate, claims, discovery, keys, token_file
from sidecar.doctor.result import (
    Cause,
    Check,
    CheckResult,
    CheckStatus,
    Finding,
    advice,
    broken,
    good,
    skipped,
    unknown,
)
from sidecar.exits import Exit
from sidecar.https.failures import FailureKind, FetchError
from sidecar.issuer import faults
from sidecar.issuer.documents import DISCOVERY_PATH, Discovery, below
from sidecar.issuer.reach import why_inside

__all__ = ("CLUSTER_CAUSES", "CLUSTER_CHECKS", "TOO_WIDE", "may_appear_later")

_ANONYMOUS_OFF: Final = discovery.cause_of(faults.ANONYMOUS_OFF)
_BINDING_MISSING: Final = discovery.cause_of(faults.BINDING_MISSING)
_NO_ISSUER: Final = "the issuer is not known without a token"
_REJECTED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

# --- the binding ---

_RIGHTS: Final = Cause(
    "rights_missing",
    "this ServiceAccount cannot apply the ClusterRoleBinding: {why}",
    f"as an administrator, once for the cluster: {_BINDING_MISSING.fix}; or allow the ServiceAccount to get, create "
    f"and patch clusterrolebindings with resourceNames [{NAME}]",
    exit_code=Exit.RIGHTS,
)
_BIND: Final = Cause(
    "bind_missing",
    "this ServiceAccount cannot grant the right to read the two documents, because it does not have that right itself",
    "bind system:service-account-issuer-discovery to system:serviceaccounts again, as Kubernetes does by default, or "
    "allow the ServiceAccount the verb bind on this ClusterRole",
    exit_code=Exit.RIGHTS,
)
_DIFFERS: Final = Cause(
    "binding_differs",
    f"another ClusterRoleBinding {NAME} exists with another role or other subjects",
    f"find its owner: kubectl get clusterrolebinding {NAME} -o yaml; if it is not used, kubectl delete "
    f"clusterrolebinding {NAME}, and run this command again",
    exit_code=Exit.DRIFT,
)
_OLDER: Final = Cause(
    "binding_of_older_form",
    f"the ClusterRoleBinding {NAME} exists with another role or other subjects, and both documents are open",
    "no action is needed",
)
_NOT_APPLIED: Final = Cause(
    "binding_not_applied",
    "the ClusterRoleBinding could not be applied: {why}",
    "check the API server, and run this command again",
    exit_code=Exit.UNREACHABLE,
)
_NO_RBAC: Final = Cause(
    "no_rbac",
    "the API server has no ClusterRoleBindings, or rejects this one: {why}",
    "add RBAC to --authorization-mode of the API server, and enable the API version rbac.authorization.k8s.io/v1",
    exit_code=Exit.ISSUER,
)
_CAUSE_OF: Final = {
    Applied.MISSING_PATCH: _RIGHTS,
    Applied.MISSING_CREATE: _RIGHTS,
    Applied.MISSING_GET: _RIGHTS,
    Applied.NO_LOGIN: _RIGHTS,
    Applied.FORBIDDEN: _RIGHTS,
    Applied.MISSING_BIND: _BIND,
    Applied.DIFFERS: _DIFFERS,
    Applied.NO_RBAC: _NO_RBAC,
    Applied.REJECTED: _NO_RBAC,
    Applied.BUSY: _NOT_APPLIED,
    Applied.UNREACHABLE: _NOT_APPLIED,
}


def _binding(probe: ClusterProbe) -> CheckResult:
    applied = probe.applied
    if applied is None:
        return skipped(_why_not(probe))
    cause = _CAUSE_OF.get(applied)
    if cause is None:
        return good(f"ClusterRoleBinding {NAME}: {applied}")
    finding = Finding(cause, probe.case.facts | {"why": str(applied)})
    if applied is Applied.DIFFERS and probe.documents_open:
        return advice(str(applied), Finding(_OLDER, probe.case.facts))
    return broken(str(applied), finding)


def _why_not(probe: ClusterProbe) -> str:
    if not probe.to_apply:
        return "--mode verify applies nothing"
    if probe.server is Server.ELSEWHERE:
        return "not applied: the issuer is not the API server, so the cluster needs no change"
    if probe.anonymous_off:
        return "not applied: anonymous requests are off, and a binding alone does not enable them"
    return "not applied: another check is broken"


# --- the issuer's server ---

_UNREACHABLE: Final = Cause(
    "issuer_unreachable_here",
    "{url} cannot be reached from this pod, so it is not known what AWS gets",
    "allow the pod to resolve that name and to reach port 443 (DNS, NetworkPolicy, proxy); for a test use --connect-to",
    exit_code=Exit.UNREACHABLE,
)
_SERVERS: Final = {
    Server.API_SERVER: "the API server itself",
    Server.ELSEWHERE: "not the API server: the cluster needs no change",
    Server.UNKNOWN: "it is not known whether the issuer is the API server",
}


def _server(probe: ClusterProbe) -> CheckResult:
    case = probe.case
    if not case.issuer:
        return skipped(_NO_ISSUER)
    evidence = (
        f"{case.issuer} is {_SERVERS[probe.server]}" if probe.server is not Server.UNKNOWN else _SERVERS[probe.server]
    )
    urls = [case.issuer]
    if isinstance(case.discovery, Discovery):
        urls.append(case.discovery.jwks_uri)
    if any(map(why_inside, urls)):
        # The checks of the two documents report it.
        return good(evidence)
    responses = (below(case.issuer, DISCOVERY_PATH), case.discovery_response), (urls[-1], case.keys_response)
    for url, response in responses:
        # The checks of the doctor report a wrong certificate.
        if isinstance(response, FetchError) and not response.kind.of_tls:
            return broken(f"{evidence}; {response.detail}", Finding(_UNREACHABLE, case.facts | {"url": url}))
    return unknown(evidence) if probe.server is Server.UNKNOWN else good(evidence)


# --- anonymous access ---

TOO_WIDE: Final = Cause(
    "anonymous_too_wide",
    "anonymous requests can read more of the API server than AWS needs: {paths}",
    "remove system:unauthenticated and system:anonymous from the bindings that allow this (kubectl get "
    "clusterrolebindings -o wide), and since Kubernetes 1.32 limit anonymous requests to the two paths with an "
    "AuthenticationConfiguration",
)
_NARROW: Final = Cause(
    "anonymous_narrow",
    "anonymous requests can read less than Kubernetes opens by default, not {paths}: AWS needs none of these",
    "no action is needed, unless a load balancer or a probe requests one of them without a login",
)
_API_UNREACHABLE: Final = Cause(
    "api_server_unreachable",
    "the API server cannot be reached from this pod",
    "allow the pod to reach KUBERNETES_SERVICE_HOST (NetworkPolicy), or set --api-server",
    exit_code=Exit.UNREACHABLE,
)
_API_TLS: Final = Cause(
    "api_server_not_vouched_for",
    "no CA certificate here verifies the API server, so its responses prove nothing",
    "mount the cluster's CA certificate where ServiceAccounts have it (automountServiceAccountToken, or the ConfigMap "
    "kube-root-ca.crt), or set --api-ca-file",
    exit_code=Exit.ISSUER,
)


def _anonymous(probe: ClusterProbe) -> CheckResult:
    facts = probe.case.facts
    if probe.api is None:
        return skipped("not in a pod, and --api-server is not set")
    if probe.error is not None:
        cause = _API_TLS if probe.error.kind is FailureKind.CERTIFICATE else _API_UNREACHABLE
        return broken(str(probe.error), Finding(cause, facts))
    found = [
        Finding(cause, facts) for cause in (_causes_of_statuses(probe) if probe.server is Server.API_SERVER else ())
    ]
    beyond = [path for path in BEYOND if probe.statuses.get(path) == HTTPStatus.OK]
    if beyond:
        found.append(Finding(TOO_WIDE, facts | {"paths": ", ".join(beyond)}))
    evidence = f"open without a login: {', '.join(_open(probe)) or 'none of the paths that were tried'}"
    if found:
        return broken(evidence, *found)
    closed = [path for path in PUBLIC_INFO if probe.statuses.get(path) in _REJECTED]
    return advice(evidence, Finding(_NARROW, facts | {"paths": ", ".join(closed)})) if closed else good(evidence)


def _causes_of_statuses(probe: ClusterProbe) -> Sequence[Cause]:
    causes: dict[int, Cause] = {HTTPStatus.UNAUTHORIZED: _ANONYMOUS_OFF, HTTPStatus.FORBIDDEN: _BINDING_MISSING}
    return list(dict.fromkeys(causes[status] for status in probe.documents.values() if status in causes))


def _open(probe: ClusterProbe) -> list[str]:
    return [path for path, status in probe.statuses.items() if status == HTTPStatus.OK]


# --- all of them ---


def _of_case(check: Check[Case]) -> Check[ClusterProbe]:
    return Check(check.name, check.title, check.description, check.causes, lambda probe: check.run(probe.case))


CLUSTER_CHECKS: Final[tuple[Check[ClusterProbe], ...]] = (
    _of_case(token_file.CHECK),
    _of_case(claims.CHECK),
    Check(
        "binding",
        "ClusterRoleBinding",
        "with --mode apply, the result of applying the ClusterRoleBinding",
        (_RIGHTS, _BIND, _DIFFERS, _OLDER, _NOT_APPLIED, _NO_RBAC),
        _binding,
    ),
    Check(
        "issuer_server",
        "issuer's server",
        "whether it is the API server, and can be reached from the pod",
        (_UNREACHABLE,),
        _server,
    ),
    _of_case(discovery.CHECK),
    _of_case(keys.CHECK),
    _of_case(certificate.CHECK),
    Check(
        "anonymous_access",
        "anonymous access",
        "what the API server returns without a login: the two documents, the paths that Kubernetes opens by default, "
        "and a sample of the rest",
        (_ANONYMOUS_OFF, _BINDING_MISSING, TOO_WIDE, _NARROW, _API_UNREACHABLE, _API_TLS),
        _anonymous,
    ),
)

CLUSTER_CAUSES: Final[tuple[Cause, ...]] = tuple(
    dict.fromkeys(cause for check in CLUSTER_CHECKS for cause in check.causes)
)
"""Every cause, each once."""

_TEMPORARY: Final = frozenset({
    _BINDING_MISSING, _UNREACHABLE, _API_UNREACHABLE, _NOT_APPLIED,
    *(discovery.cause_of(fault) for fault in faults.FAULTS if fault.temporary),
})  # fmt: skip


def may_appear_later(results: Sequence[CheckResult]) -> bool:
    """Return whether every cause can disappear without a change: RBAC takes effect, a server starts."""
    causes = [finding.cause for result in results if result.status is CheckStatus.BROKEN for finding in result.findings]
    return bool(causes) and all(cause in _TEMPORARY for cause in causes)
