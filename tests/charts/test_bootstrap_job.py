"""The bootstrap Job: its command, its permissions, and its name, which changes because a Job cannot be changed."""

import argparse

import pytest

from sidecar.cluster.checks import CLUSTER_CAUSES, may_appear_later
from sidecar.commands.bootstrap import add_options
from sidecar.doctor.result import Finding, broken
from tests.charts.helm import Json, render
from tests.charts.manifests import CLUSTER_KINDS, one

ROLE = "arn:aws:iam::123456789012:role/Reader"
TOKEN = "/var/run/secrets/aws-oidc-sidecar/token"


def objects(namespace: str = "team", release: str = "aws", *flags: str, **bootstrap: object) -> list[Json]:
    return render({"roleArn": ROLE, "bootstrap": bootstrap}, *flags, namespace=namespace, release=release)


def pod_of(job: Json) -> Json:
    spec: Json = job["spec"]["template"]["spec"]
    return spec


def sources(job: Json, volume: str) -> list[Json]:
    found: list[Json] = next(each for each in pod_of(job)["volumes"] if each["name"] == volume)["projected"]["sources"]
    return found


CA = {"configMap": {"name": "kube-root-ca.crt", "optional": True, "items": [{"key": "ca.crt", "path": "ca.crt"}]}}


def test_verify_has_a_token_for_aws_and_no_permission() -> None:
    made = objects()
    job = one(made, "Job")
    (container,) = pod_of(job)["containers"]
    assert container["args"] == ["bootstrap", "cluster", "--mode", "verify", "--token-file", TOKEN]
    assert [volume["name"] for volume in pod_of(job)["volumes"]] == ["aws-oidc-token", "kube-api-access"]
    assert sources(job, "kube-api-access") == [CA], "it verifies the API server and has no token for it"
    token = {"audience": "sts.amazonaws.com", "expirationSeconds": 3600, "path": "token"}
    assert sources(job, "aws-oidc-token") == [{"serviceAccountToken": token}]
    assert pod_of(job)["automountServiceAccountToken"] is False
    account = one(made, "ServiceAccount", pod_of(job)["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False
    assert not [each for each in made if "rbac" in each["apiVersion"]]


def test_apply_has_permission_for_one_binding_and_nothing_else() -> None:
    made = objects(mode="apply")
    job = one(made, "Job")
    role, binding = one(made, "ClusterRole"), one(made, "ClusterRoleBinding")
    assert role["rules"] == [
        {
            "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["clusterrolebindings"],
            "resourceNames": ["allow-anon-openid"],
            "verbs": ["get", "create", "patch"],
        }
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    account = pod_of(job)["serviceAccountName"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "team"}]
    token = {"serviceAccountToken": {"expirationSeconds": 3600, "path": "token"}}
    assert sources(job, "kube-api-access") == [CA, token]


def test_cluster_objects_have_a_different_name_in_each_release() -> None:
    releases = [("a", "b-c"), ("a-b", "c"), ("b", "a")]
    names = [
        each["metadata"]["name"]
        for namespace, release in releases
        for each in objects(namespace, release, mode="apply")
        if each["kind"] in CLUSTER_KINDS
    ]
    assert len(set(names)) == len(releases)
    assert "aws-oidc-sidecar:a-b:c:bootstrap" in names


def test_mode_none_makes_no_job_and_no_service_account_for_it() -> None:
    assert sorted(each["kind"] for each in objects(mode="none")) == ["ConfigMap", "Pod", "ServiceAccount"]


def test_the_name_changes_with_the_revision_and_with_the_spec() -> None:
    names = [
        one(made, "Job")["metadata"]["name"]
        for made in (objects(), objects(extraArgs=["--json"]), objects("team", "aws", "--is-upgrade"))
    ]
    assert names[0].startswith("aws-aws-oidc-sidecar-bootstrap-1-")
    assert names[0] != names[1]
    assert len({*names, one(objects(), "Job")["metadata"]["name"]}) == len(set(names)), (
        "two renderings of the same values differ"
    )


def test_the_job_name_of_the_longest_release_name_fits() -> None:
    name = one(objects("team", "r" * 53), "Job")["metadata"]["name"]
    assert len(name) <= 63
    assert name != one(objects("team", "r" * 52 + "s"), "Job")["metadata"]["name"]


@pytest.mark.parametrize(("seconds", "found"), [(60, 60), (0, 0), (None, None)], ids=str)
def test_a_finished_job_stays_for_the_seconds_of_the_values(seconds: int | None, found: int | None) -> None:
    assert one(objects(ttlSecondsAfterFinished=seconds), "Job")["spec"].get("ttlSecondsAfterFinished") == found


def test_a_failure_that_a_person_must_fix_is_not_retried() -> None:
    job = one(objects(), "Job")
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"] == {"containerName": "bootstrap", "operator": "In", "values": [1, 2, 6, 7]}
    assert pod_of(job)["restartPolicy"] == "Never", "podFailurePolicy requires it"


def test_every_exit_code_of_a_temporary_failure_is_retried() -> None:
    (rule,) = one(objects(), "Job")["spec"]["podFailurePolicy"]["rules"]
    temporary = {int(cause.exit_code) for cause in CLUSTER_CAUSES if may_appear_later([broken("", Finding(cause, {}))])}
    assert temporary
    assert temporary.isdisjoint(rule["onExitCodes"]["values"])


def test_the_issuers_ca_comes_from_a_config_map() -> None:
    job = one(objects(issuerCAConfigMap="kube-root-ca.crt"), "Job")
    (container,) = pod_of(job)["containers"]
    path = container["args"][container["args"].index("--issuer-ca") + 1]
    mount = next(mount for mount in container["volumeMounts"] if mount["name"] == "issuer-ca")
    assert path == f"{mount['mountPath']}/ca.crt"
    assert {"name": "issuer-ca", "configMap": {"name": "kube-root-ca.crt"}} in pod_of(job)["volumes"]


@pytest.mark.parametrize("mode", ["verify", "apply"])
def test_the_program_accepts_the_command(mode: str) -> None:
    job = one(objects(mode=mode, issuerCAConfigMap="ca", extraArgs=["--json"]), "Job")
    parser = argparse.ArgumentParser()
    add_options(parser)
    command, *arguments = pod_of(job)["containers"][0]["args"]
    assert command == "bootstrap"
    assert parser.parse_args(arguments).mode == mode
