"""What anonymous requests may read of an API server, and how one says so. Pure."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from sidecar.issuer.documents import DISCOVERY_PATH
from sidecar.issuer.publish import KEYS_PATH

__all__ = ("BEYOND", "DOCUMENTS", "PUBLIC_INFO", "authentication_configuration", "is_inside", "limits_paths")

DOCUMENTS: Final = (DISCOVERY_PATH, KEYS_PATH)
"""What AWS reads."""

PUBLIC_INFO: Final = ("/healthz", "/livez", "/readyz", "/version", "/version/")
"""What Kubernetes itself opens to everybody: system:public-info-viewer.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles
"""

BEYOND: Final = (
    "/api",
    "/apis",
    "/openapi/v2",
    "/openapi/v3",
    "/metrics",
    "/api/v1/namespaces",
    "/logs",
    "/debug/pprof/",
)
"""Some of what nobody without a login has to read: a sample, one of each kind."""

# Structured authentication limits anonymous requests by path since 1.32 (beta) and as v1 since 1.34.
# https://kubernetes.io/docs/reference/access-authn-authz/authentication/#anonymous-authenticator-configuration
_V1_MINOR: Final = 34
_BETA_MINOR: Final = 32
_INSIDE: Final = (".svc", ".cluster.local", ".local", ".localhost", ".internal")
_IN_CLUSTER: Final = "kubernetes.default.svc."


def limits_paths(minor: int | None) -> bool:
    """Return whether Kubernetes of this minor version can limit anonymous requests by path; yes where it is None."""
    return minor is None or minor >= _BETA_MINOR


def authentication_configuration(minor: int | None) -> str:
    """Return what lets anonymous requests through to the two documents alone: YAML with comments, ends in a line feed.

    Args:
        minor: of the Kubernetes version, such as 36; None where it is not known.
    """
    if not limits_paths(minor):
        return (
            "# Kubernetes before 1.32 cannot limit anonymous requests by path: start each API server with\n"
            "#   --anonymous-auth=true\n"
            "# and RBAC alone decides what they may read. The binding is needed as well.\n"
        )
    version = "v1" if minor is None or minor >= _V1_MINOR else "v1beta1"
    other = "# v1beta1 before 1.34; before 1.32 there is --anonymous-auth=true alone.\n" if minor is None else ""
    return (
        "# For --authentication-config of each API server, in place of --anonymous-auth; keep what is in the file.\n"
        "# Gardener: key config.yaml of a ConfigMap in the project's namespace, which the shoot names by\n"
        "# spec.kubernetes.kubeAPIServer.structuredAuthentication.configMapName. The binding is needed as well.\n"
        f"{other}"
        f"apiVersion: apiserver.config.k8s.io/{version}\n"
        "kind: AuthenticationConfiguration\n"
        "anonymous:\n"
        "  enabled: true\n"
        "  conditions:\n" + "".join(f"    - path: {path}\n" for path in DOCUMENTS)
    )


def is_inside(url: str) -> bool:
    """Return whether a URL's host is one that only this cluster or network knows, so that AWS cannot ask it.

    Those are names without a dot, names that public DNS does not have (RFC 6762, RFC 6761, and `internal`, which ICANN
    keeps for private use), the API server's own name in a cluster, and addresses that are not global.
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_INSIDE) or host.startswith(_IN_CLUSTER)
