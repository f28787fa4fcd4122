"""The test cluster: the properties that other tests depend on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.aws import LocalAws
from tests.cluster.build import PROBE_IMAGE
from tests.cluster.cluster import Cluster, CommandFailed
from tests.cluster.layout import API_HOST, ISSUER, SERVICE_ADDRESS
from tests.cluster.lines import RequestFailed
from tests.cluster.users import user_kubeconfig
from tests.cluster.waiting import wait_until

DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
JWKS = f"{ISSUER}/openid/v1/jwks"
BINDING = "allow-anon-openid"
TOKEN = "/var/run/secrets/test/token"

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes before the first test


def pod(name: str, account: str = "default") -> dict[str, object]:
    """Return a pod that resolves the API server's name, and has a token for AWS."""
    source = {"serviceAccountToken": {"path": "token", "audience": "sts.amazonaws.com", "expirationSeconds": 3600}}
    container = {
        "name": "probe",
        "image": PROBE_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "volumeMounts": [{"name": "token", "mountPath": str(Path(TOKEN).parent)}],
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "serviceAccountName": account,
            "terminationGracePeriodSeconds": 1,
            "hostAliases": [{"ip": Cluster.address, "hostnames": [API_HOST]}],
            "containers": [container],
            "volumes": [{"name": "token", "projected": {"sources": [source]}}],
        },
    }


def run_pod(cluster: Cluster, namespace: str, name: str = "probe") -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(pod(name)))
    cluster.wait(f"pod/{name}", "condition=Ready", namespace=namespace)


def ask(cluster: Cluster, namespace: str, url: str) -> tuple[int, str]:
    status, body = cluster.exec("probe", "probe", "/probe", "get", url, namespace=namespace).split("\n", 1)
    return int(status), body


def test_the_node_is_ready_and_has_the_chosen_version(cluster: Cluster) -> None:
    (node,) = cluster.get("nodes")["items"]
    assert node["status"]["nodeInfo"]["kubeletVersion"] == f"v{cluster.kubernetes.text}"
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"


def test_new_pods_do_not_change_the_mac_address_of_the_gateway(cluster: Cluster) -> None:
    def address() -> str:
        (link,) = json.loads(cluster.run(["ip", "-json", "link", "show", "cni0"]))
        return str(link["address"])

    before = address()
    lowest = ["lowest", "address", "02:00:00:00:00:01"]
    cluster.run(["ip", "link", "add", *lowest, "type", "veth", "peer", "name", "other"])
    try:
        cluster.run(["ip", "link", "set", "lowest", "master", "cni0", "up"])
        assert address() == before
    finally:
        cluster.run(["ip", "link", "delete", "lowest"])


def test_a_pod_reaches_the_api_server_by_name_and_by_the_service_address(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    run_pod(cluster, namespace)
    assert ask(cluster, namespace, f"https://{SERVICE_ADDRESS}/readyz") == (200, "ok")
    assert ask(cluster, namespace, f"{ISSUER}/readyz") == (200, "ok")
    uid = cluster.get("pod", "probe", "-n", namespace)["metadata"]["uid"]
    folders = cluster.pod_cgroup(uid, "probe")
    assert all((folder / "cgroup.procs").read_text().split() for folder in folders)


def test_anonymous_requests_for_discovery_are_denied_until_the_binding_exists(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("delete", "clusterrolebinding", BINDING, "--ignore-not-found")
    run_pod(cluster, namespace)
    elsewhere = 401 if cluster.kubernetes.restricts_anonymous_paths else 403

    def statuses() -> list[int]:
        return [ask(cluster, namespace, url)[0] for url in (DISCOVERY, JWKS, f"{ISSUER}/api")]

    assert statuses() == [403, 403, elsewhere]
    open_discovery(cluster)
    # The authorizer watches bindings, and sees the new one a moment later.
    wait_until(lambda: statuses() == [200, 200, elsewhere], what="discovery for anonymous requests", seconds=10)
    document = json.loads(ask(cluster, namespace, DISCOVERY)[1])
    assert (document["issuer"], document["jwks_uri"]) == (ISSUER, JWKS)


def open_discovery(cluster: Cluster) -> None:
    role, group = "system:service-account-issuer-discovery", "system:unauthenticated"
    made = cluster.kubectl(
        "create", "clusterrolebinding", BINDING, f"--clusterrole={role}", f"--group={group}",
        "--dry-run=client", "-o", "json",
    )  # fmt: skip
    cluster.kubectl("apply", "-f", "-", input=made)


def exchange(aws: LocalAws, role: str, token: str) -> dict[str, str]:
    answer = aws.call(
        "sts", "assume_role_with_web_identity", RoleArn=role, RoleSessionName="smoke", WebIdentityToken=token
    )
    credentials: dict[str, str] = answer["Credentials"]
    return credentials


def test_the_local_aws_exchanges_tokens_of_one_service_account_of_this_api_server(
    cluster: Cluster, aws: LocalAws, namespace: str
) -> None:
    open_discovery(cluster)
    role = aws.set_up_trust(namespace=namespace, service_account="reader")
    for account in ("reader", "other"):
        cluster.kubectl("create", "serviceaccount", account, "-n", namespace)

    def token(account: str) -> str:
        return cluster.kubectl("create", "token", account, "-n", namespace, "--audience=sts.amazonaws.com")

    wait_until(lambda: can_read(cluster), what="discovery for anonymous requests", seconds=10)
    credentials = exchange(aws, role, token("reader"))
    with pytest.raises(RequestFailed, match="AccessDenied"):
        exchange(aws, role, token("other"))

    cluster.rotate_signing_key()
    exchange(aws, role, token("reader"))
    subjects = [entry["sub"].rsplit(":", 1)[1] for entry in aws.exchanges()]
    assert subjects == ["reader", "other", "reader"]
    assert [entry["access_key_id"] is None for entry in aws.exchanges()] == [False, True, False]
    assert aws.exchanges()[0]["access_key_id"] == credentials["AccessKeyId"]
    assert len({entry["jti"] for entry in aws.exchanges()}) == (3 if cluster.kubernetes.numbers_tokens else 1)


def test_the_local_aws_verifies_the_api_servers_certificate_and_reads_its_discovery(
    cluster: Cluster, aws: LocalAws, namespace: str
) -> None:
    open_discovery(cluster)
    wait_until(lambda: can_read(cluster), what="discovery for anonymous requests", seconds=10)
    role = aws.set_up_trust(namespace=namespace, service_account="default")
    token = cluster.kubectl("create", "token", "default", "-n", namespace, "--audience=sts.amazonaws.com")
    arn, name = aws.about["provider_arn"], "update_open_id_connect_provider_thumbprint"
    aws.call("iam", name, OpenIDConnectProviderArn=arn, ThumbprintList=["0" * 40])
    with pytest.raises(RequestFailed, match="thumbprint"):
        exchange(aws, role, token)
    aws.set_up_trust(namespace=namespace, service_account="default")
    exchange(aws, role, token)
    cluster.kubectl("delete", "clusterrolebinding", BINDING)
    wait_until(lambda: not can_read(cluster), what="discovery closed to anonymous requests", seconds=10)
    with pytest.raises(RequestFailed, match="retrieve verification key"):
        exchange(aws, role, token)


def can_read(cluster: Cluster) -> bool:
    try:
        cluster.kubectl("get", "--raw", "/openid/v1/jwks", "--as=system:anonymous", "--as-group=system:unauthenticated")
    except CommandFailed:
        return False
    return True


def test_a_projected_token_names_the_issuer_and_is_exchanged(cluster: Cluster, aws: LocalAws, namespace: str) -> None:
    open_discovery(cluster)
    role = aws.set_up_trust(namespace=namespace, service_account="default")
    run_pod(cluster, namespace)
    wait_until(lambda: can_read(cluster), what="discovery for anonymous requests", seconds=10)
    exchange(aws, role, cluster.exec("probe", "probe", "/probe", "cat", TOKEN, namespace=namespace))
    assert ask(cluster, namespace, f"{aws.url}/_local/calls")[0] == 200, "pods can connect to the local AWS"
    # The exchange succeeded with this issuer's provider, so the token's `iss` is the issuer.
    assert aws.exchanges(good=True)[0]["sub"] == f"system:serviceaccount:{namespace}:default"


def test_a_fault_of_the_local_aws_is_activated_and_cleared(cluster: Cluster, aws: LocalAws, namespace: str) -> None:
    run_pod(cluster, namespace)
    aws.faults({"kind": "service_unavailable", "scope": "all"})
    with pytest.raises(RequestFailed, match="ServiceUnavailable"):
        aws.call("sts", "get_caller_identity")
    aws.faults()
    assert aws.call("sts", "get_caller_identity")["Account"] == aws.about["account_id"]


def test_a_namespace_owner_cannot_change_or_read_the_rest_of_the_cluster(cluster: Cluster, namespace: str) -> None:
    kubeconfig = user_kubeconfig(cluster, "owner", namespace)
    cluster.kubectl("create", "configmap", "made", kubeconfig=kubeconfig)
    for command in (
        ("create", "clusterrolebinding", "grab", "--clusterrole=cluster-admin", "--user=owner"),
        ("create", "rolebinding", "grab", "--clusterrole=admin", "--user=owner"),
        ("get", "pods", "-n", "kube-system"),
    ):
        with pytest.raises(CommandFailed, match="cannot"):
            cluster.kubectl(*command, kubeconfig=kubeconfig)


def test_helm_installs_a_chart(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 1.0.0\n")
    (tmp_path / "templates" / "made.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\n")
    kubeconfig = user_kubeconfig(cluster, "installer", namespace)
    cluster.helm("install", "small", str(tmp_path), kubeconfig=kubeconfig)
    assert cluster.get("configmap", "made", "-n", namespace)["metadata"]["annotations"]["meta.helm.sh/release-name"]


def test_a_process_in_the_cluster_resolves_the_api_server_and_ends_with_its_parent(cluster: Cluster) -> None:
    name = ["getent", "hosts", API_HOST]
    assert subprocess.run(cluster.enter(name), capture_output=True, text=True, check=True).stdout.split()[0] == (
        cluster.address
    )
    sleeper = subprocess.Popen(
        cluster.enter(["sh", "-c", "echo $$; exec sleep 1234"]), stdout=subprocess.PIPE, text=True
    )
    assert sleeper.stdout is not None
    pid = sleeper.stdout.readline().strip()

    def command() -> str:
        shown = subprocess.run(
            cluster.enter(["cat", f"/proc/{pid}/cmdline"]), capture_output=True, text=True, check=False
        )
        return shown.stdout.replace("\0", " ").strip()

    assert command() == "sleep 1234"
    sleeper.kill()
    sleeper.wait()
    sleeper.stdout.close()
    wait_until(lambda: command() == "", what="the end of the process", seconds=5)


def test_the_api_server_can_be_restarted_with_other_flags(cluster: Cluster) -> None:
    cluster.stop_apiserver()
    with pytest.raises(CommandFailed, match="refused"):
        cluster.get("nodes")
    cluster.start_apiserver({"authentication-config": None, "anonymous-auth": "false"})
    assert anonymous_status(cluster, "/readyz") == 401
    cluster.restart_apiserver()
    assert anonymous_status(cluster, "/readyz") == 200


def anonymous_status(cluster: Cluster, path: str) -> int:
    lines = (
        "import http.client, ssl, sys",
        "context = ssl.create_default_context(cafile=sys.argv[1])",
        "connection = http.client.HTTPSConnection(sys.argv[2], context=context)",
        "connection.request('GET', sys.argv[3])",
        "print(connection.getresponse().status)",
    )
    return int(cluster.run([sys.executable, "-c", "\n".join(lines), str(cluster.ca_file), cluster.address, path]))
