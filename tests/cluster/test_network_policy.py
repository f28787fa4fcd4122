"""``examples/network-policy.yaml`` allows the connections that the example's pod needs, and no others."""

from collections.abc import Iterator

import pytest

from sidecar import __version__
from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster
from tests.cluster.layout import CHECKOUT
from tests.cluster.packet_filter import dropped, enforce
from tests.cluster.test_walls import ADMIN_PORT, ASK, CONNECT, neighbour
from tests.cluster.tutorial import APPLICATION, Json, application_of, apply, example, sidecar_of, with_aws
from tests.cluster.waiting import wait_until

POLICY_FILE = CHECKOUT / "examples" / "network-policy.yaml"
AWS_ADDRESS = "198.51.100.1"  # TEST-NET-2: the node forwards its packets to the local AWS
AWS_URL = "http://aws.test:443"
METADATA_ADDRESS = "169.254.169.254"
KUBELET_PORT = 10250
OPEN, DROPPED = "0", "11"  # EAGAIN: no packet came back

# Argument: the address of all names.
DNS = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
while True:
    query, sender = server.recvfrom(512)
    end = query.index(0, 12) + 5
    known = query[end - 4:end - 2] == bytes([0, 1])  # type A
    record = bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]) + socket.inet_aton(sys.argv[1]) if known else b""
    head = query[:2] + bytes([0x81, 0x80, 0, 1, 0, known, 0, 0, 0, 0])
    server.sendto(head + query[12:end] + record, sender)
"""
GATE = "until test -e /gate/open; do sleep 0.1; done"

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes and the images


@pytest.fixture
def aws_at_443(cluster: Cluster, aws: LocalAws) -> Iterator[None]:
    """The AWS at an address that is not the node's, and at port 443, as the real AWS."""
    to = aws.url.removeprefix("http://")
    rule = ["PREROUTING", "-d", AWS_ADDRESS, "-p", "tcp", "--dport", "443", "-j", "DNAT", "--to-destination", to]
    cluster.run(["iptables", "-t", "nat", "-A", *rule])
    yield
    cluster.run(["iptables", "-t", "nat", "-D", *rule])


@pytest.fixture
def name_server(cluster: Cluster) -> Iterator[str]:
    """The address of a pod with the labels of the cluster's DNS, which returns one address for all names."""
    pod = neighbour("kube-system", "dns")
    pod["metadata"]["labels"] = {"k8s-app": "kube-dns"}
    pod["spec"]["containers"][0]["command"] = ["/usr/bin/python3", "-c", DNS, AWS_ADDRESS]
    yield run(cluster, pod)
    cluster.kubectl("delete", "pod", "dns", "-n", "kube-system", "--wait=false")


@pytest.fixture
def monitoring(cluster: Cluster) -> Iterator[str]:
    cluster.new_namespace("monitoring")
    yield "monitoring"
    cluster.kubectl("delete", "namespace", "monitoring")


def run(cluster: Cluster, pod: Json) -> str:
    """Apply a pod, wait until it is ready, and return its address."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    apply(cluster, pod)
    cluster.wait(f"pod/{name}", "condition=Ready", namespace=namespace)
    address: str = cluster.get("pod", name, "-n", namespace)["status"]["podIP"]
    return address


def behind_a_gate(pod: Json, name_server: str, aws: LocalAws) -> Json:
    """Return the pod with AWS's host name, and with a first init container that waits for /gate/open."""
    for container in (sidecar_of(pod), application_of(pod)):
        for variable in container["env"]:
            if variable.get("value") == aws.url:
                variable["value"] = AWS_URL
    gate = neighbour("")["spec"]["containers"][0]
    gate |= {"name": "gate", "command": ["sh", "-c", GATE], "volumeMounts": [{"name": "gate", "mountPath": "/gate"}]}
    pod["metadata"]["labels"] = {"aws-oidc-sidecar/version": __version__}
    pod["spec"] |= {"dnsPolicy": "None", "dnsConfig": {"nameservers": [name_server]}}
    pod["spec"]["initContainers"].insert(0, gate)
    pod["spec"]["volumes"].append({"name": "gate", "emptyDir": {}})
    return pod


@pytest.mark.usefixtures("aws_at_443", "open_discovery")
def test_the_policy_allows_the_pods_connections_and_no_others(
    cluster: Cluster, aws: LocalAws, namespace: str, name_server: str, monitoring: str, sidecar_image: str
) -> None:
    def connect(pod: str, inside: str, address: str, *ports: int) -> list[str]:
        command = ["/usr/bin/python3", "-c", CONNECT, address, *map(str, ports)]
        return cluster.exec(pod, APPLICATION, *command, namespace=inside).split()

    other_address = run(cluster, neighbour(namespace))
    run(cluster, neighbour(monitoring))
    pod = with_aws(example(namespace)[1], aws, aws.set_up_trust(namespace=namespace), sidecar_image=sidecar_image)
    pod = behind_a_gate(pod, name_server, aws)
    apply(cluster, *example(namespace, POLICY_FILE), example(namespace)[0], pod)

    def at_the_gate() -> bool:
        statuses = cluster.get("pod", "aws-test", "-n", namespace)["status"].get("initContainerStatuses", [])
        return any(status["name"] == "gate" and "running" in status["state"] for status in statuses)

    wait_until(at_the_gate, what="the gate", seconds=60, log=cluster.log("kubelet"))
    rules = enforce(cluster, namespace, "aws-test", "gate")
    assert len(rules) == 4, "DNS twice, AWS, and the scraper"
    cluster.exec("aws-test", "gate", "touch", "/gate/open", namespace=namespace)
    cluster.wait("pod/aws-test", "condition=Ready", namespace=namespace)

    identity = cluster.exec("aws-test", APPLICATION, "aws", "sts", "get-caller-identity", namespace=namespace)
    assert f"{namespace}-aws-test" in identity
    assert [one["status"] for one in aws.exchanges()] == [200]
    # No packet that the pod sent by itself was dropped.
    assert dropped(cluster, namespace, "aws-test", APPLICATION) == 0

    # In: from the monitoring namespace only, and to one port.
    address = cluster.get("pod", "aws-test", "-n", namespace)["status"]["podIP"]
    scrape = ["/usr/bin/python3", "-c", ASK, f"http://{address}:{ADMIN_PORT}/metrics", ""]
    assert cluster.exec("neighbour", APPLICATION, *scrape, namespace=monitoring).split() == ["200"]
    assert connect("neighbour", monitoring, address, ADMIN_PORT, 80) == [OPEN, DROPPED]
    assert connect("neighbour", namespace, address, ADMIN_PORT) == [DROPPED]
    # Out: ports that other pods can use are closed for this pod, and the filter drops a packet of each try.
    aws_port = int(aws.url.rpartition(":")[2])
    assert connect("neighbour", namespace, cluster.address, aws_port, KUBELET_PORT) == [OPEN, OPEN]
    assert connect("aws-test", namespace, cluster.address, aws_port, KUBELET_PORT) == [DROPPED, DROPPED]
    assert connect("aws-test", namespace, other_address, 80) == [DROPPED]
    assert connect("aws-test", namespace, METADATA_ADDRESS, 80) == [DROPPED]
    assert dropped(cluster, namespace, "aws-test", APPLICATION) >= 4
