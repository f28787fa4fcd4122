"""NetworkPolicies as packet filter rules in one pod's network, for a cluster without a policy engine.

It supports the parts of the API that ``examples/network-policy.yaml`` uses. It uses the addresses of this moment; an
engine updates them. It is stricter than an engine: with an engine a pod can always connect to its node (Kubernetes,
"Network Policies"), here it cannot.
"""

import re
from collections.abc import Iterator
from typing import Any

from tests.cluster.cluster import Cluster

__all__ = ("dropped", "enforce")

_PACKETS = re.compile(r"^:OUTPUT DROP \[([0-9]+):", re.MULTILINE)

# Allowed by each engine: the pod's loopback, responses, and packets from its node, such as probes.
_FRAME = """*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT DROP
-A INPUT -i lo -j ACCEPT
-A OUTPUT -o lo -j ACCEPT
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -s {node} -j ACCEPT
{rules}
COMMIT
"""


def enforce(cluster: Cluster, namespace: str, pod: str, container: str) -> list[str]:
    """Apply the policies that select a pod, and return the rules that they add to `_FRAME`.

    Args:
        cluster: the cluster of the pod.
        namespace: the namespace of the pod and of the policies.
        pod: the pod's name.
        container: one of its running containers.

    Raises:
        LookupError: no policies of both types select the pod.
        NotImplementedError: a policy has a part that is not supported here.
    """
    rules = []
    closed = set()
    for policy in cluster.get("networkpolicies", "-n", namespace)["items"]:
        spec = policy["spec"]
        selected = cluster.get("pods", "-n", namespace, f"--selector={_selector(spec['podSelector'])}")["items"]
        if pod in [one["metadata"]["name"] for one in selected]:
            closed |= set(spec["policyTypes"])
            rules += [
                *_rules(cluster, spec.get("egress", []), "to", "-A OUTPUT -d"),
                *_rules(cluster, spec.get("ingress", []), "from", "-A INPUT -s"),
            ]
    if closed != {"Ingress", "Egress"}:
        raise LookupError(f"the policies in {namespace} that select {pod} have only the types {sorted(closed)}")
    text = _FRAME.format(node=cluster.address, rules="\n".join(rules))
    cluster.run([*_inside(cluster, namespace, pod, container), "iptables-restore"], input=text)
    return rules


def dropped(cluster: Cluster, namespace: str, pod: str, container: str) -> int:
    """Return the number of outgoing packets of the pod that were dropped."""
    saved = cluster.run([*_inside(cluster, namespace, pod, container), "iptables-save", "-c", "-t", "filter"])
    found = _PACKETS.search(saved)
    assert found, saved
    return int(found[1])


def _inside(cluster: Cluster, namespace: str, pod: str, container: str) -> list[str]:
    uid = cluster.get("pod", pod, "-n", namespace)["metadata"]["uid"]
    process = (cluster.pod_cgroup(uid, container)[0] / "cgroup.procs").read_text().split()[0]
    return ["nsenter", f"--target={process}", "--net", "--"]


def _rules(cluster: Cluster, policy_rules: list[dict[str, Any]], peers: str, chain: str) -> Iterator[str]:
    for rule in policy_rules:
        if set(rule) != {peers, "ports"} or any(set(port) != {"protocol", "port"} for port in rule["ports"]):
            raise NotImplementedError(f"unsupported rule: {rule}")
        for peer in rule[peers]:
            for address in _addresses(cluster, peer):
                for port in rule["ports"]:
                    yield f"{chain} {address} -p {port['protocol'].lower()} --dport {port['port']} -j ACCEPT"


def _addresses(cluster: Cluster, peer: dict[str, Any]) -> list[str]:
    if list(peer) == ["ipBlock"] and list(peer["ipBlock"]) == ["cidr"]:
        return [peer["ipBlock"]["cidr"]]
    if "namespaceSelector" not in peer or set(peer) - {"namespaceSelector", "podSelector"}:
        raise NotImplementedError(f"unsupported peer: {peer}")
    namespaces = cluster.get("namespaces", f"--selector={_selector(peer['namespaceSelector'])}")["items"]
    pods = f"--selector={_selector(peer.get('podSelector', {}))}"
    return [
        pod["status"]["podIP"]
        for namespace in namespaces
        for pod in cluster.get("pods", "-n", namespace["metadata"]["name"], pods)["items"]
    ]


def _selector(selector: dict[str, Any]) -> str:
    """Return a selector in kubectl's syntax, so that the API server evaluates it."""
    expressions = selector.get("matchExpressions", [])
    if any(expression["operator"] != "Exists" for expression in expressions):
        raise NotImplementedError(f"unsupported selector: {expressions}")
    labels = [f"{name}={value}" for name, value in selector.get("matchLabels", {}).items()]
    return ",".join([*labels, *(expression["key"] for expression in expressions)])
