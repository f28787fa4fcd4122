"""Tells the API server's own audience from an audience for AWS. Pure."""

import re
from typing import Final

from sidecar.model import Token

__all__ = ("for_api_server", "for_aws")

_OF_AWS: Final = "sts.amazonaws.com"
# --api-audiences of an API server; its default is the issuer. A token for it is a login to the cluster.
# https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/
_NAME: Final = re.compile(r"(https://)?kubernetes\.default(\.svc(\.[a-z0-9.-]+)?)?")
_DISTRIBUTIONS: Final = frozenset({"gardener", "k3s", "kubernetes", "kubernetes.svc.default", "rke2"})


def for_api_server(audience: str, issuer: str) -> bool:
    """Return whether an audience is the API server's own.

    Args:
        audience: one `aud`.
        issuer: the `iss` of the token; "" if it is not known.
    """
    of_issuer = bool(issuer) and audience.removesuffix("/") == issuer.removesuffix("/")
    return of_issuer or audience in _DISTRIBUTIONS or _NAME.fullmatch(audience) is not None


def for_aws(token: Token, setting: str) -> str:
    """Return the audience to register at AWS: the token's, else the setting, and never the API server's own."""
    usable = (one for one in (*token.audience, setting) if not for_api_server(one, token.issuer))
    return next(usable, _OF_AWS)
