"""Users of the cluster with few rights."""

from pathlib import Path

from tests.cluster.cluster import Cluster, CommandFailed
from tests.cluster.pki import Authority, write_kubeconfig
from tests.cluster.services import SERVER
from tests.cluster.waiting import wait_until

__all__ = ("user_kubeconfig",)


def user_kubeconfig(cluster: Cluster, name: str, namespace: str) -> Path:
    """Create a user and a namespace that this user can edit, and return the user's kubeconfig.

    The rights are those of the ClusterRole `edit`, without roles, bindings and cluster-scoped objects.
    """
    client = Authority(cluster.layout.pki).issue(f"user-{name}", common_name=name)
    path = cluster.layout.config / f"user-{name}.kubeconfig"
    write_kubeconfig(path, server=SERVER, ca=cluster.ca_file, client=client, namespace=namespace)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }
    cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, binding])

    def may() -> bool:
        try:
            return cluster.kubectl("auth", "can-i", "create", "configmaps", kubeconfig=path) == "yes\n"
        except CommandFailed:
            return False

    # The authorizer sees the binding a moment later.
    wait_until(may, what=f"the rights of {name}", seconds=30)
    return path
