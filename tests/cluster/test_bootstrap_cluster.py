"""``bootstrap cluster`` as a Job of a real cluster, from the shipped image, with real ServiceAccount tokens."""

from collections.abc import Iterator

import pytest

from tests.cluster.bootstrap_job import (
    BIND,
    BINDING,
    DISCOVERY_ROLE,
    LABEL,
    RBAC,
    RULE,
    create_binding,
    ended,
    give_rights,
    kept_binding,
    remove_binding,
    run,
    start,
)
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes and the images


@pytest.fixture(autouse=True)
def without_binding(cluster: Cluster, sidecar_image: str) -> Iterator[None]:  # noqa: ARG001 - the image is loaded
    """Delete the binding before a test, and restore that of the other tests afterwards."""
    saved = kept_binding(cluster)
    remove_binding(cluster)
    yield
    cluster.kubectl("delete", "clusterrole,clusterrolebinding", "-l", LABEL)
    remove_binding(cluster)
    if saved is not None:
        cluster.apply(saved)


@pytest.fixture
def second(cluster: Cluster, namespace: str) -> Iterator[str]:
    """One more namespace."""
    name = f"{namespace[:48]}-2"
    cluster.new_namespace(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


# --- verify ---


def test_a_healthy_cluster_is_0_by_a_serviceaccount_without_any_right(
    cluster: Cluster, namespace: str, sidecar_image: str
) -> None:
    create_binding(cluster)
    done = run(cluster, namespace, sidecar_image, "--mode", "verify", "--wait", "10")
    assert (done.code, done.causes, done.json["issuer_server"]) == (0, {}, "api-server")
    limited = cluster.kubernetes.restricts_anonymous_paths
    assert done.of("anonymous_access")["status"] == ("advice" if limited else "ok")
    if limited:
        assert "/healthz, /version, /version/" in done.of("anonymous_access")["causes"][0]["what"]
    assert "thumbprint" in done.of("certificate")["evidence"]


def test_a_missing_binding_is_5_and_the_printed_command_fixes_it(
    cluster: Cluster, namespace: str, sidecar_image: str
) -> None:
    done = run(cluster, namespace, sidecar_image)
    assert (done.code, done.causes["discovery"]) == (5, ["discovery_forbidden"])
    line = done.of("discovery")["causes"][0]["fix"]
    cluster.kubectl(*line.removeprefix("kubectl ").split())
    assert run(cluster, namespace, sidecar_image, "--wait", "10").code == 0


@pytest.fixture
def anonymous_off(cluster: Cluster) -> Iterator[None]:
    cluster.restart_apiserver({"authentication-config": None, "anonymous-auth": "false"})
    yield
    cluster.restart_apiserver()


@pytest.mark.usefixtures("anonymous_off")
def test_anonymous_requests_that_are_off_are_5_and_nothing_is_applied(
    cluster: Cluster, namespace: str, sidecar_image: str
) -> None:
    give_rights(cluster, [namespace], RULE)
    for mode in ("verify", "apply"):
        done = run(cluster, namespace, sidecar_image, "--mode", mode)
        assert (done.code, done.causes["discovery"]) == (5, ["anonymous_off"])
        configuration = done.json["authentication_configuration"]
        if cluster.kubernetes.restricts_anonymous_paths:
            assert f"apiVersion: {cluster.kubernetes.authentication_api}\n" in configuration
        else:
            assert "--anonymous-auth=true" in configuration
    assert kept_binding(cluster) is None


def test_the_configuration_that_is_printed_is_all_that_is_missing(
    cluster: Cluster, namespace: str, sidecar_image: str
) -> None:
    if not cluster.kubernetes.restricts_anonymous_paths:
        pytest.skip("this configuration does not exist before 1.32")
    give_rights(cluster, [namespace], RULE)
    cluster.restart_apiserver({"authentication-config": None, "anonymous-auth": "false"})
    try:
        printed = run(cluster, namespace, sidecar_image).json["authentication_configuration"]
        file = cluster.layout.config / "printed.yaml"
        file.write_text(printed)
        cluster.restart_apiserver({"authentication-config": str(file)})
        done = run(cluster, namespace, sidecar_image, "--mode", "apply")
    finally:
        cluster.restart_apiserver()
    assert (done.code, done.causes) == (0, {})
    assert done.of("anonymous_access")["evidence"] == (
        "open without a login: /.well-known/openid-configuration, /openid/v1/jwks"
    )


@pytest.fixture
def too_wide(cluster: Cluster) -> Iterator[None]:
    """Anonymous requests are accepted for every path, and can discover the API."""
    cluster.restart_apiserver({"authentication-config": None, "anonymous-auth": "true"})
    cluster.kubectl("create", "clusterrolebinding", "too-wide", "--clusterrole=system:discovery",
                    "--group=system:unauthenticated")  # fmt: skip
    cluster.kubectl("label", "clusterrolebinding", "too-wide", LABEL)
    yield
    cluster.restart_apiserver()


@pytest.mark.usefixtures("too_wide")
def test_anonymous_requests_that_may_discover_the_api_are_1(
    cluster: Cluster, namespace: str, sidecar_image: str
) -> None:
    create_binding(cluster)
    done = run(cluster, namespace, sidecar_image, "--wait", "10")
    assert (done.code, done.causes) == (1, {"anonymous_access": ["anonymous_too_wide"]})
    what = done.of("anonymous_access")["causes"][0]["what"]
    assert what.endswith(": /api, /apis, /openapi/v2, /openapi/v3")


# --- apply ---


def test_apply_from_two_namespaces_at_once_creates_one_binding_with_rights_to_only_this_one(
    cluster: Cluster, namespace: str, second: str, sidecar_image: str
) -> None:
    give_rights(cluster, [namespace, second], RULE)
    for each in (namespace, second):
        start(cluster, each, sidecar_image, "--mode", "apply")
    both = [ended(cluster, each) for each in (namespace, second)]
    assert [(done.code, done.causes) for done in both] == [(0, {})] * 2
    found = cluster.get("clusterrolebinding", BINDING, "--show-managed-fields")
    assert found["roleRef"]["name"] == DISCOVERY_ROLE
    assert [subject["name"] for subject in found["subjects"]] == ["system:unauthenticated"]
    managers = [(field["manager"], field["operation"]) for field in found["metadata"]["managedFields"]]
    assert managers == [("aws-oidc-sidecar", "Apply")]
    assert run(cluster, namespace, sidecar_image, "--mode", "apply").code == 0
    again = cluster.get("clusterrolebinding", BINDING)["metadata"]
    assert again["resourceVersion"] == found["metadata"]["resourceVersion"], "nothing was written"


def test_the_documented_removal_closes_discovery_again(cluster: Cluster, namespace: str, sidecar_image: str) -> None:
    give_rights(cluster, [namespace], RULE)
    assert run(cluster, namespace, sidecar_image, "--mode", "apply").code == 0
    cluster.kubectl("delete", "clusterrolebinding", BINDING)
    wait_until(lambda: run(cluster, namespace, sidecar_image).code == 5, what="closed discovery", seconds=30)


def test_without_rights_it_is_6_and_names_the_right(cluster: Cluster, namespace: str, sidecar_image: str) -> None:
    done = run(cluster, namespace, sidecar_image, "--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["rights_missing"])
    cause = done.of("binding")["causes"][0]
    assert "the right to patch it is missing" in cause["what"]
    assert f"kubectl create clusterrolebinding {BINDING} " in cause["fix"]
    assert kept_binding(cluster) is None


def test_creating_the_binding_needs_create_and_patch(cluster: Cluster, namespace: str, sidecar_image: str) -> None:
    give_rights(cluster, [namespace], RULE | {"verbs": ["patch"]})
    done = run(cluster, namespace, sidecar_image, "--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["rights_missing"])
    assert "the right to create it is missing" in done.of("binding")["causes"][0]["what"]
    give_rights(cluster, [namespace], RULE | {"verbs": ["patch", "create"]})
    assert run(cluster, namespace, sidecar_image, "--mode", "apply").code == 0


def test_an_existing_binding_needs_only_patch(cluster: Cluster, namespace: str, sidecar_image: str) -> None:
    create_binding(cluster)
    give_rights(cluster, [namespace], RULE | {"verbs": ["patch"]})
    assert run(cluster, namespace, sidecar_image, "--mode", "apply").code == 0


@pytest.fixture
def without_discovery_rights(cluster: Cluster) -> Iterator[None]:
    """Remove the default right of ServiceAccounts to read the documents."""
    saved = cluster.get("clusterrolebinding", DISCOVERY_ROLE)
    saved["metadata"] = {name: saved["metadata"][name] for name in ("name", "labels", "annotations")}
    cluster.kubectl("delete", "clusterrolebinding", DISCOVERY_ROLE)
    yield
    cluster.apply(saved)


@pytest.mark.usefixtures("without_discovery_rights")
def test_the_right_to_bind_is_needed_only_where_serviceaccounts_may_not_discover(
    cluster: Cluster, namespace: str, sidecar_image: str
) -> None:
    give_rights(cluster, [namespace], RULE)
    done = run(cluster, namespace, sidecar_image, "--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["bind_missing"])
    give_rights(cluster, [namespace], RULE, BIND)
    wait_until(
        lambda: run(cluster, namespace, sidecar_image, "--mode", "apply").code == 0,
        what="the right to bind",
        seconds=30,
    )


# --- a binding of another manager ---


def test_a_binding_created_by_kubectl_is_shared_and_stays(cluster: Cluster, namespace: str, sidecar_image: str) -> None:
    create_binding(cluster)
    give_rights(cluster, [namespace], RULE)
    done = run(cluster, namespace, sidecar_image, "--mode", "apply")
    assert (done.code, done.causes) == (0, {})
    found = cluster.get("clusterrolebinding", BINDING, "--show-managed-fields")
    managers = sorted(field["manager"] for field in found["metadata"]["managedFields"])
    assert managers == ["aws-oidc-sidecar", "kubectl-create"]


def test_the_tutorials_binding_works_and_stays(cluster: Cluster, namespace: str, sidecar_image: str) -> None:
    labels = dict([LABEL.split("=")])
    paths = ["/.well-known/openid-configuration", "/openid/v1/jwks"]
    role = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": BINDING, "labels": labels},
        "rules": [{"nonResourceURLs": paths, "verbs": ["get"]}],
    }
    bound = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": BINDING},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": BINDING},
        "subjects": [{"kind": "User", "name": "system:anonymous", "apiGroup": RBAC}],
    }
    cluster.apply([role, bound])
    give_rights(cluster, [namespace], RULE)
    done = run(cluster, namespace, sidecar_image, "--mode", "apply")
    assert (done.code, done.causes) == (0, {})
    assert done.of("binding")["causes"][0]["name"] == "binding_of_older_form"
    assert cluster.get("clusterrolebinding", BINDING)["roleRef"]["name"] == BINDING


def test_a_binding_of_another_manager_with_another_role_is_7_and_stays(
    cluster: Cluster, namespace: str, sidecar_image: str
) -> None:
    cluster.kubectl("create", "clusterrolebinding", BINDING, "--clusterrole=view", "--user=jane")
    give_rights(cluster, [namespace], RULE)
    done = run(cluster, namespace, sidecar_image, "--mode", "apply")
    assert (done.code, done.causes["binding"]) == (7, ["binding_differs"])
    assert cluster.get("clusterrolebinding", BINDING)["roleRef"]["name"] == "view"
