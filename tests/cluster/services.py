"""The six services of the node: their commands and their files."""

import json
import os
import string
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.build import PAUSE_IMAGE
from tests.cluster.groups import Group
from tests.cluster.layout import (
    API_HOST,
    BRIDGE_ADDRESS,
    ISSUER,
    POD_NETWORK,
    SERVICE_ADDRESS,
    SERVICE_NETWORK,
    Layout,
)
from tests.cluster.pki import Authority, new_signing_key, write_kubeconfig
from tests.cluster.versions import Kubernetes

__all__ = ("SERVER", "api_server_flags", "commands", "with_flags", "write_files")

SERVER = f"https://{BRIDGE_ADDRESS}"
"""The API server's URL for clients without name resolution."""

_TEMPLATES = Path(__file__).parent / "config"


def write_files(layout: Layout, kubernetes: Kubernetes) -> None:
    """Write the keys, certificates and configuration files of a new cluster."""
    for directory in (layout.pki, layout.config / "cni", layout.logs, layout.home):
        directory.mkdir(parents=True)
    authority = Authority(layout.pki)
    new_signing_key(layout.pki / "service-account-1.key", layout.public_keys)
    kubernetes_names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    authority.issue("api", sans=[API_HOST, *kubernetes_names, SERVICE_ADDRESS, BRIDGE_ADDRESS, "127.0.0.1"])
    authority.issue("kubelet", sans=[layout.node, BRIDGE_ADDRESS])
    # The API server's client certificate for the kubelet.
    authority.issue("kubelet-client", common_name="kube-apiserver", groups=["system:masters"])
    users = {
        "admin": ("admin", ["system:masters"]),
        "kube-controller-manager": ("system:kube-controller-manager", []),
        "kube-scheduler": ("system:kube-scheduler", []),
        "node": (f"system:node:{layout.node}", ["system:nodes"]),
    }
    for name, (user, groups) in users.items():
        client = authority.issue(name, common_name=user, groups=groups)
        path = layout.config / f"{name}.kubeconfig"
        write_kubeconfig(path, server=SERVER, ca=authority.certificate, client=client, namespace="default")
    values = {
        "address": BRIDGE_ADDRESS,
        "api": kubernetes.authentication_api,
        "group": Group(layout.name).name,
        "pause": PAUSE_IMAGE,
        "pods": POD_NETWORK,
        "state": str(layout.root),
        "sync": os.environ.get("KUBELET_SYNC_FREQUENCY", "10s"),
    }
    for template, place in (("containerd.toml", "."), ("cni.conflist", "cni"), ("authentication.yaml", ".")):
        _render(_TEMPLATES / template, layout.config / place / template, values)
    _render(_TEMPLATES / "kubelet.yaml", layout.config / "kubelet.yaml", values)
    if kubernetes.refuses_cgroup_v1:
        with (layout.config / "kubelet.yaml").open("a") as file:
            file.write("failCgroupV1: false\n")
    if kubernetes.feature_gates:
        with (layout.config / "kubelet.yaml").open("a") as file:
            file.write(f"featureGates: {json.dumps(kubernetes.feature_gates)}\n")


def commands(layout: Layout, kubernetes: Kubernetes) -> dict[str, list[str]]:
    """Return {service: command}, in an order in which they can be started."""
    config, pki = layout.config, layout.pki
    return {
        "etcd": [
            "etcd",
            f"--data-dir={layout.root / 'etcd'}",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--log-level=warn",
            "--unsafe-no-fsync",  # the data is not needed after a crash
        ],
        "containerd": ["containerd", f"--config={config / 'containerd.toml'}"],
        "kube-apiserver": with_flags("kube-apiserver", api_server_flags(layout, kubernetes)),
        "kube-controller-manager": with_flags(
            "kube-controller-manager",
            {
                "bind-address": "127.0.0.1",
                "kubeconfig": f"{config / 'kube-controller-manager.kubeconfig'}",
                "leader-elect": "false",
                "use-service-account-credentials": "true",
                "root-ca-file": f"{pki / 'ca.pem'}",
                "cluster-signing-cert-file": f"{pki / 'ca.pem'}",
                "cluster-signing-key-file": f"{pki / 'ca.key'}",
                "service-account-private-key-file": f"{layout.signing_keys[-1]}",
                "flex-volume-plugin-dir": f"{layout.root / 'volume-plugins'}",
            },
        ),
        "kube-scheduler": with_flags(
            "kube-scheduler",
            {
                "bind-address": "127.0.0.1",
                "kubeconfig": f"{config / 'kube-scheduler.kubeconfig'}",
                "leader-elect": "false",
            },
        ),
        "kubelet": with_flags(
            "kubelet",
            {
                "config": f"{config / 'kubelet.yaml'}",
                "kubeconfig": f"{config / 'node.kubeconfig'}",
                "hostname-override": layout.node,
                "node-ip": BRIDGE_ADDRESS,
                "root-dir": f"{layout.root / 'kubelet'}",
            },
        ),
    }


def api_server_flags(layout: Layout, kubernetes: Kubernetes) -> dict[str, str]:
    """Return the flags of an API server that is the issuer of its tokens, with a host name and port 443.

    All signing keys are public; the newest one signs.
    """
    pki = layout.pki
    if kubernetes.restricts_anonymous_paths:
        anonymous = {"authentication-config": f"{layout.config / 'authentication.yaml'}"}
    else:
        anonymous = {"anonymous-auth": "true"}
    gates = ",".join(f"{name}={str(on).lower()}" for name, on in kubernetes.feature_gates.items())
    return {
        "advertise-address": BRIDGE_ADDRESS,
        "secure-port": "443",
        "etcd-servers": "http://127.0.0.1:2379",
        "cert-dir": f"{layout.root / 'api-certificates'}",
        "tls-cert-file": f"{pki / 'api.pem'}",
        "tls-private-key-file": f"{pki / 'api.key'}",
        "client-ca-file": f"{pki / 'ca.pem'}",
        "kubelet-certificate-authority": f"{pki / 'ca.pem'}",
        "kubelet-client-certificate": f"{pki / 'kubelet-client.pem'}",
        "kubelet-client-key": f"{pki / 'kubelet-client.key'}",
        "kubelet-preferred-address-types": "InternalIP",  # else logs and exec resolve the node's name
        "service-account-issuer": ISSUER,
        "service-account-jwks-uri": f"{ISSUER}/openid/v1/jwks",
        "service-account-signing-key-file": f"{layout.signing_keys[-1]}",
        "service-account-key-file": f"{layout.public_keys}",
        "service-cluster-ip-range": SERVICE_NETWORK,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        **({"feature-gates": gates} if gates else {}),
        **anonymous,
    }


def with_flags(program: str, flags: Mapping[str, str]) -> list[str]:
    """Return a command line."""
    return [program, *(f"--{name}={value}" for name, value in flags.items())]


def _render(template: Path, target: Path, values: Mapping[str, str]) -> None:
    target.write_text(string.Template(template.read_text()).substitute(values))
