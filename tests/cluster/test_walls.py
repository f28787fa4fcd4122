"""The isolation of a role to its container: auth tokens, mounts and the network, as the real kubelet sets them up."""

import json
import re
import socket
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.application import APPLICATION_IMAGE
from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster, CommandFailed
from tests.cluster.tutorial import APPLICATION, SIDECAR, Json, application_of, apply, example, sidecar_of
from tests.cluster.waiting import wait_until

PROFILES = {"reader": "ReaderRole", "writer": "WriterRole"}
PROFILES_DIRECTORY = "/etc/aws-oidc-sidecar"
HERE = "/var/run/aws-oidc-sidecar"
CREDENTIALS_PORT, ADMIN_PORT = 9841, 9842
LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp

# Arguments: pairs of a URL and an Authorization; prints the status of each.
ASK = """
import sys, urllib.error, urllib.request
for url, authorization in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        print(urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": authorization})).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""
# Arguments: an address and ports; prints the errno of connect for each port, 0 if it is open.
CONNECT = """
import socket, sys
for port in sys.argv[2:]:
    with socket.socket() as connection:
        connection.settimeout(2)
        print(connection.connect_ex((sys.argv[1], int(port))))
"""
# Prints what this process can read of the daemon.
READ = """
import glob
for file in glob.glob("/proc/[0-9]*/cmdline"):
    words = open(file, "rb").read().split(b"\\0")
    if b"run" in words and any(word.endswith(b"/aws-oidc-sidecar") for word in words):
        here = file.rpartition("/")[0]
        for path in "environ", "maps", "root/var/run/secrets/aws-oidc-sidecar/token":
            try:
                print(path, bool(open(f"{here}/{path}", "rb").read(1)))
            except PermissionError:
                print(path, "denied")
"""
DENIED = ["environ denied", "maps denied", "root/var/run/secrets/aws-oidc-sidecar/token denied"]
READABLE = ["environ True", "maps True", "root/var/run/secrets/aws-oidc-sidecar/token True"]
SIDECAR_USER = 19841
REFUSED = "111"  # ECONNREFUSED: a RST came back; a dropped packet ends as EAGAIN

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes and the images


def run(cluster: Cluster, pod: Json, *objects: Json) -> str:
    """Apply the pod with its ServiceAccount and `objects`, wait until it is ready, and return its address."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    apply(cluster, example(namespace)[0], *objects, pod)
    cluster.wait(f"pod/{name}", "condition=Ready", namespace=namespace)
    address: str = cluster.get("pod", name, "-n", namespace)["status"]["podIP"]
    return address


def neighbour(namespace: str, name: str = "neighbour") -> Json:
    """Return a pod without the sidecar, which has Python."""
    container = {
        "name": APPLICATION,
        "image": APPLICATION_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
    }
    spec = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def for_profile(container: Json, profile: str) -> Json:
    """Return a copy of the example's application with the name, the variables and the volume of a profile."""
    copy: Json = json.loads(json.dumps(container))
    copy["name"] = profile
    for variable in copy["env"]:
        if variable["name"] == "AWS_CONTAINER_CREDENTIALS_FULL_URI":
            variable["value"] = uri(profile)
    copy["volumeMounts"][0]["name"] = f"aws-oidc-profile-{profile}"
    return copy


def with_profiles(pod: Json, arns: dict[str, str]) -> list[Json]:
    """Return the ConfigMap of the profiles, and the pod with an application container for each."""
    text = "".join(f"[profile {name}]\nrole_arn = {arn}\n" for name, arn in arns.items())
    metadata = {"name": "aws-oidc-sidecar-profiles", "namespace": pod["metadata"]["namespace"]}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"profiles": text}}
    sidecar, application, volumes = sidecar_of(pod), application_of(pod), pod["spec"]["volumes"]
    sidecar["env"] = [variable for variable in sidecar["env"] if variable["name"] != "AWS_ROLE_ARN"]
    file = f"{PROFILES_DIRECTORY}/profiles"
    sidecar["env"].append({"name": "AWS_OIDC_SIDECAR_PROFILES_FILE", "value": file})
    volumes.append({"name": "profiles", "configMap": {"name": metadata["name"]}})
    sidecar["volumeMounts"].append({"name": "profiles", "mountPath": PROFILES_DIRECTORY, "readOnly": True})
    pod["spec"]["containers"] = [for_profile(application, profile) for profile in arns]
    default = next(volume for volume in volumes if volume["name"] == "aws-oidc-profile-default")
    volumes.remove(default)
    mounts = [mount for mount in sidecar["volumeMounts"] if mount["name"] != default["name"]]
    for profile in arns:
        volumes.append({**default, "name": f"aws-oidc-profile-{profile}"})
        mounts.append({"name": f"aws-oidc-profile-{profile}", "mountPath": f"{HERE}/profiles/{profile}"})
    sidecar["volumeMounts"] = mounts
    return [config, pod]


def uri(profile: str) -> str:
    return f"http://127.0.0.1:{CREDENTIALS_PORT}/v1/credentials/{profile}"


def test_two_containers_have_two_roles_and_neither_gets_the_other_role(
    cluster: Cluster, aws: LocalAws, namespace: str, pod: Json
) -> None:
    arns = {name: aws.set_up_trust(role=role, namespace=namespace) for name, role in PROFILES.items()}
    config, pod = with_profiles(pod, arns)
    run(cluster, pod, config)

    def inside(container: str, *command: str) -> str:
        return cluster.exec("aws-test", container, *command, namespace=namespace)

    tokens = {profile: inside(profile, "cat", f"{HERE}/auth-token") for profile in PROFILES}
    for own, other in (("reader", "writer"), ("writer", "reader")):
        arn = inside(own, "aws", "sts", "get-caller-identity", "--query=Arn", "--output=text").strip()
        assert arn == f"arn:aws:sts::{aws.about['account_id']}:assumed-role/{PROFILES[own]}/{namespace}-aws-test"
        # By environment: a container that uses the other profile's URL still has only its own auth token.
        with pytest.raises(CommandFailed, match="403"):
            inside(own, "env", f"AWS_CONTAINER_CREDENTIALS_FULL_URI={uri(other)}", "aws", "sts", "get-caller-identity")
        # By path or guess. The last request shows that only the auth token decides.
        requests = [
            (uri(own), tokens[own], "200"),
            (uri(other), tokens[own], "403"),
            (f"{uri(own)}/../{other}", tokens[own], "403"),
            (uri("unknown"), tokens[own], "403"),
            (uri(""), tokens[own], "403"),
            (uri(other), "", "403"),
            (uri(other), tokens[other], "200"),
        ]
        given = [word for url, token, _ in requests for word in (url, token)]
        assert inside(own, "/usr/bin/python3", "-c", ASK, *given).split() == [status for _, _, status in requests]
        # By file: one mount of the sidecar, and in it only the files of the container's profile.
        mounts = [line.split()[4] for line in inside(own, "cat", "/proc/self/mountinfo").splitlines()]
        assert [mount for mount in mounts if "aws-oidc" in mount or "serviceaccount" in mount] == [
            HERE.replace("/var/run", "/run")
        ]
        assert set(inside(own, "ls", "-A", HERE).split()) == {"auth-token", "credentials.json"}
        key_in_file = json.loads(inside(own, "cat", f"{HERE}/credentials.json"))["AccessKeyId"]
        assert [one["role_arn"] for one in aws.exchanges() if one["access_key_id"] == key_in_file] == [arns[own]]


def test_only_containers_with_the_right_to_trace_can_read_the_sidecar_in_a_shared_process_namespace(
    cluster: Cluster, aws: LocalAws, namespace: str, pod: Json
) -> None:
    aws.set_up_trust(namespace=namespace)
    pod["spec"]["shareProcessNamespace"] = True
    users: dict[str, Json] = {
        "same-user": {"runAsUser": SIDECAR_USER, "runAsGroup": SIDECAR_USER},
        "other-user": {"runAsUser": 1_000, "runAsGroup": 1_000},
        "root": {"runAsUser": 0, "capabilities": {"drop": ["ALL"]}},
        "tracer": {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE", "DAC_OVERRIDE"]}},
    }
    for name, context in users.items():
        container = neighbour(namespace, name)["spec"]["containers"][0]
        pod["spec"]["containers"].append({**container, "name": name, "securityContext": context})
    run(cluster, pod)
    found = {
        name: cluster.exec("aws-test", name, "/usr/bin/python3", "-c", READ, namespace=namespace).splitlines()
        for name in users
    }
    assert found == {"same-user": DENIED, "other-user": DENIED, "root": DENIED, "tracer": READABLE}


def test_debug_containers_read_the_sidecar_only_as_root_with_the_right_to_trace(
    cluster: Cluster, aws: LocalAws, namespace: str, pod: Json, tmp_path: Path
) -> None:
    """The table of docs/threat-model.md; `kubectl debug` adds SYS_PTRACE with the profile general.

    The profile sysadmin makes a privileged container, which this cluster does not admit.
    """
    aws.set_up_trust(namespace=namespace)
    run(cluster, pod)
    expected, found = {}, {}
    for profile in ("restricted", "baseline", "general", "netadmin"):
        for user in (SIDECAR_USER, 0):
            if (profile, user) == ("restricted", 0):
                continue  # it requires a user other than root
            name = f"{profile}-{user}"
            custom = tmp_path / f"{name}.json"
            custom.write_text(json.dumps({"securityContext": {"runAsUser": user}}))
            options = ["--image", APPLICATION_IMAGE, "--image-pull-policy", "IfNotPresent", "--target", SIDECAR]
            cluster.kubectl(
                "debug", "pod/aws-test", "-n", namespace, "--profile", profile, "--custom", str(custom), "-c", name,
                *options, "--", "/usr/bin/python3", "-c", READ,
            )  # fmt: skip
            wait_until(partial(_ended, cluster, namespace, name), what=f"the end of {name}", seconds=60)
            found[name] = cluster.kubectl("logs", "aws-test", "-n", namespace, "-c", name).splitlines()
            expected[name] = READABLE if user == 0 and profile == "general" else DENIED
    assert found == expected


def _ended(cluster: Cluster, namespace: str, name: str) -> bool:
    statuses = cluster.get("pod", "aws-test", "-n", namespace)["status"].get("ephemeralContainerStatuses", [])
    return any(one["name"] == name and "terminated" in one["state"] for one in statuses)


def test_restricted_pod_security_admits_the_example(cluster: Cluster, namespace: str, pod: Json) -> None:
    account, as_it_is = example(namespace)
    apply(cluster, account)
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    loose = json.loads(json.dumps(pod))
    del sidecar_of(loose)["securityContext"]["capabilities"]

    def rejected() -> bool:
        try:
            cluster.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(loose))
        except CommandFailed as failed:
            return re.search(r"violates PodSecurity.*aws-oidc-sidecar", str(failed)) is not None
        return False

    # Pod Security sees the label a moment later.
    wait_until(rejected, what="the rejection of the pod with capabilities", seconds=30)
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(as_it_is))
    run(cluster, pod)  # with this machine's images it is admitted and becomes ready


def test_the_admin_port_is_open_to_the_cluster_and_the_credentials_port_only_to_the_pod(
    cluster: Cluster, namespace: str, pod: Json
) -> None:
    apply(cluster, neighbour(namespace))
    address = run(cluster, pod)  # ready: the kubelet's startup probe has succeeded at this address
    cluster.wait("pod/neighbour", "condition=Ready", namespace=namespace)
    status = cluster.get("pod", "aws-test", "-n", namespace)["status"]
    (sidecar,) = status["initContainerStatuses"]
    assert (sidecar["name"], sidecar["started"], sidecar["restartCount"]) == (SIDECAR, True, 0)
    ask = ["-c", ASK, f"http://{address}:{ADMIN_PORT}/livez", ""]
    assert cluster.exec("neighbour", APPLICATION, "/usr/bin/python3", *ask, namespace=namespace).split() == ["200"]

    connect = ["-c", CONNECT, address, str(CREDENTIALS_PORT), str(ADMIN_PORT)]
    from_a_pod = cluster.exec("neighbour", APPLICATION, "/usr/bin/python3", *connect, namespace=namespace)
    from_the_node = cluster.run([sys.executable, *connect])
    assert from_a_pod.split() == from_the_node.split() == [REFUSED, "0"]

    # And the kernel's list, which has the addresses that the test did not try.
    tables = cluster.exec("aws-test", APPLICATION, "cat", "/proc/net/tcp", "/proc/net/tcp6", namespace=namespace)
    listening = {(family, local, int(port, 16)) for family, local, port in _listeners(tables)}
    assert {(family, local) for family, local, port in listening if port == CREDENTIALS_PORT} == {
        (socket.AF_INET, socket.inet_aton("127.0.0.1"))
    }
    assert {port for _, _, port in listening} == {CREDENTIALS_PORT, ADMIN_PORT}


def _listeners(tables: str) -> list[tuple[socket.AddressFamily, bytes, str]]:
    """Return family, address and port of the listening sockets; the address in network byte order."""
    found = []
    for line in tables.splitlines():
        match = re.match(r"\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) ", line)
        if match and match[3] == LISTENING:
            # Words of 32 bits in the machine's order.
            words = bytes.fromhex(match[1])
            address = b"".join(
                words[at : at + 4][:: -1 if sys.byteorder == "little" else 1] for at in range(0, len(words), 4)
            )
            found.append((socket.AF_INET if len(words) == 4 else socket.AF_INET6, address, match[2]))
    return found
