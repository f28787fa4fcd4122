"""What anonymous requests can read from an API server, and the configuration for it. Pure."""

from typing import Final

from sidecar.issuer.documents import DISCOVERY_PATH
from sidecar.issuer.publish import KEYS_PATH

__all__ = ("BEYOND", "DOCUMENTS", "PUBLIC_INFO", "authentication_configuration", "limits_paths")

DOCUMENTS: Final = (DISCOVERY_PATH, KEYS_PATH)
"""The paths that AWS reads."""

PUBLIC_INFO: Final = ("/healthz", "/livez", "/readyz", "/version", "/version/")
"""The paths that Kubernetes opens to all clients by default: system:public-info-viewer.

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
"""A sample of the paths that anonymous requests must not read, one of each kind."""

# The AuthenticationConfiguration can limit anonymous requests by path since 1.32 (beta) and as v1 since 1.34.
# https://kubernetes.io/docs/reference/access-authn-authz/authentication/#anonymous-authenticator-configuration
_V1_MINOR: Final = 34
_BETA_MINOR: Final = 32


def limits_paths(minor: int | None) -> bool:
    """Return whether Kubernetes of this minor version can limit anonymous requests by path; True for None."""
    return minor is None or minor >= _BETA_MINOR


def authentication_configuration(minor: int | None) -> str:
    """Return the configuration that allows anonymous requests for only the two documents: YAML with comments.

    Args:
        minor: of the Kubernetes version, such as 36; None if it is not known.
    """
    if not limits_paths(minor):
        return (
            "# Kubernetes before 1.32 cannot limit anonymous requests by path: start each API server with\n"
            "#   --anonymous-auth=true\n"
            "# and only RBAC decides what they can read. The binding is needed as well.\n"
        )
    version = "v1" if minor is None or minor >= _V1_MINOR else "v1beta1"
    other = "# v1beta1 before 1.34; before 1.32 there is only --anonymous-auth=true.\n" if minor is None else ""
    return (
        "# For --authentication-config of each API server, instead of --anonymous-auth; keep the rest of the file.\n"
        "# Gardener: key config.yaml of a ConfigMap in the project's namespace, which the shoot references in\n"
        "# spec.kubernetes.kubeAPIServer.structuredAuthentication.configMapName. The binding is needed as well.\n"
        f"{other}"
        f"apiVersion: apiserver.config.k8s.io/{version}\n"
        "kind: AuthenticationConfiguration\n"
        "anonymous:\n"
        "  enabled: true\n"
        "  conditions:\n" + "".join(f"    - path: {path}\n" for path in DOCUMENTS)
    )
