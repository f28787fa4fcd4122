"""The Job of `bootstrap cluster` from docs/bootstrap-cluster.md on this cluster, and its result."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from tests.cluster.cluster import Cluster, CommandFailed
from tests.cluster.layout import API_HOST, CHECKOUT
from tests.cluster.tutorial import Json
from tests.cluster.waiting import wait_until

__all__ = (
    "BIND", "BINDING", "DISCOVERY_ROLE", "LABEL", "RBAC", "RULE", "Ended", "create_binding", "ended", "give_rights",
    "kept_binding", "remove_binding", "run", "start",
)  # fmt: skip

BINDING, RIGHTS, DISCOVERY_ROLE = "allow-anon-openid", "test-rights", "system:service-account-issuer-discovery"
RBAC = "rbac.authorization.k8s.io"
PAGE = (CHECKOUT / "docs" / "bootstrap-cluster.md").read_text()
BLOCKS = [YAML(typ="safe").load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
# The page's examples: the Job, the rights that `--mode apply` needs, and the right that it does not need.
JOB = next(block for block in BLOCKS if isinstance(block, dict) and block["kind"] == "Job")
(RULE,) = next(block["rules"] for block in BLOCKS if isinstance(block, dict) and block["kind"] == "ClusterRole")
(BIND,) = next(block for block in BLOCKS if isinstance(block, list))
NAME, ACCOUNT = JOB["metadata"]["name"], JOB["spec"]["template"]["spec"]["serviceAccountName"]

LABEL = "test=bootstrap-cluster"


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of a Job: the command's exit code, and its JSON."""

    code: int
    json: Any

    @property
    def causes(self) -> dict[str, list[str]]:
        """Return {check: names of its causes} of the broken checks."""
        return {
            check["name"]: [cause["name"] for cause in check["causes"]]
            for check in self.json["checks"]
            if check["status"] == "broken"
        }

    def of(self, name: str) -> Any:  # noqa: ANN401 - of the JSON
        """Return one check."""
        return next(check for check in self.json["checks"] if check["name"] == name)


def kept_binding(cluster: Cluster) -> Json | None:
    """Return the binding, to be applied again; None if there is none."""
    try:
        binding: Json = cluster.get("clusterrolebinding", BINDING)
    except CommandFailed:
        return None
    binding["metadata"] = {"name": BINDING}
    return binding


def remove_binding(cluster: Cluster) -> None:
    """Remove the binding, if there is one."""
    cluster.kubectl("delete", "clusterrolebinding", BINDING, "--ignore-not-found")


def job(namespace: str, image: str, arguments: Sequence[str]) -> Json:
    """Return the page's Job, with this machine's image and the API server's name in /etc/hosts."""
    made: Json = json.loads(json.dumps(JOB))
    made["metadata"]["namespace"] = namespace
    made["spec"]["backoffLimit"] = 0
    pod = made["spec"]["template"]["spec"]
    pod["hostAliases"] = [{"ip": Cluster.address, "hostnames": [API_HOST]}]
    (container,) = pod["containers"]
    container |= {"image": image, "imagePullPolicy": "IfNotPresent"}
    container["args"] += ["--json", *arguments]
    return made


def start(cluster: Cluster, namespace: str, image: str, *arguments: str) -> None:
    """Start a new Job in a namespace with Pod Security "restricted"; `arguments` are added to the page's."""
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": namespace}}
    cluster.kubectl("delete", "job", NAME, "-n", namespace, "--ignore-not-found", "--cascade=foreground")
    cluster.apply([account, job(namespace, image, arguments)])


def ended(cluster: Cluster, namespace: str) -> Ended:
    """Wait for the end of the Job, and return its result."""

    def terminated() -> Any:  # noqa: ANN401 - of the JSON
        for pod in cluster.get("pods", "-n", namespace, "-l", f"job-name={NAME}")["items"]:
            for status in pod["status"].get("containerStatuses", []):
                if "terminated" in status["state"]:
                    return pod["metadata"]["name"], status["state"]["terminated"]
        return None

    name, state = wait_until(terminated, what="the end of the Job's pod", seconds=90, log=cluster.log("kubelet"))
    text = cluster.kubectl("logs", name, "-n", namespace)
    assert "eyJ" not in text, "the log has the beginning of a token"
    return Ended(state["exitCode"], json.loads(text))


def run(cluster: Cluster, namespace: str, image: str, *arguments: str) -> Ended:
    """Run the Job to its end."""
    start(cluster, namespace, image, *arguments)
    return ended(cluster, namespace)


def give_rights(cluster: Cluster, namespaces: Sequence[str], *rules: Json) -> None:
    """Grant the ServiceAccounts of these namespaces exactly these rights."""
    metadata = {"name": RIGHTS, "labels": dict([LABEL.split("=")])}
    subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace} for namespace in namespaces]
    role = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}
    bound = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": RIGHTS},
        "subjects": subjects,
    }
    cluster.apply([role, bound])
    for namespace in namespaces:
        await_right(cluster, namespace, rules[0]["verbs"][-1])


def await_right(cluster: Cluster, namespace: str, verb: str) -> None:
    """Wait until the right is in effect: the authorizer sees a change a moment later."""
    user = f"--as=system:serviceaccount:{namespace}:{ACCOUNT}"

    def may() -> bool:
        try:
            return cluster.kubectl("auth", "can-i", verb, f"clusterrolebindings.{RBAC}/{BINDING}", user) == "yes\n"
        except CommandFailed:
            return False

    wait_until(may, what=f"the right to {verb}", seconds=10)


def create_binding(cluster: Cluster) -> None:
    """Create the binding as an administrator does."""
    role, group = f"--clusterrole={DISCOVERY_ROLE}", "--group=system:unauthenticated"
    cluster.kubectl("create", "clusterrolebinding", BINDING, role, group)
