"""Every case of ``ci``: lints, renders to its golden file, and each object is valid for an API server.

``GOLDEN=write make test-charts`` writes the golden files.
"""

import functools
import os
from pathlib import Path

import pytest

from tests.charts.helm import CASES, CHART, LIBRARY, NAMESPACE, RELEASE, Json, helm, render, rendered_text
from tests.charts.manifests import CLUSTER_KINDS, containers, one, pods, problems

GOLDEN = Path(__file__).parent / "golden"
MINIMAL = CHART / "ci" / "minimal-values.yaml"
WHOLE_FILES = tuple(f"# Source: aws-oidc-sidecar/templates/{name}.yaml\n" for name in ("dashboard", "prometheusrule"))
FULLNAME = "aws-aws-oidc-sidecar"
ROLE = "arn:aws:iam::123456789012:role/KubernetesParameterStoreRole"


def case_name(path: Path) -> str:
    return path.name.removesuffix("-values.yaml")


cases = pytest.mark.parametrize("case", CASES, ids=case_name)


@functools.cache
def objects_of(case: Path) -> list[Json]:
    return render(case)


@cases
def test_it_lints_without_a_warning(case: Path) -> None:
    assert "WARNING" not in helm("lint", "--strict", CHART, "--values", case)


def test_the_library_lints_without_a_warning() -> None:
    assert "WARNING" not in helm("lint", "--strict", LIBRARY)


@cases
def test_it_renders_to_the_golden_file(case: Path) -> None:
    documents = rendered_text(case, chart=CHART).split("---\n")
    # These two are copies of files with their own tests.
    text = "---\n".join(one for one in documents if not one.startswith(WHOLE_FILES))
    file = GOLDEN / f"{case_name(case)}.yaml"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


def test_every_golden_file_has_a_case() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.yaml")) == sorted(map(case_name, CASES))


@cases
def test_every_object_is_valid_restricted_and_complete(case: Path) -> None:
    objects = objects_of(case)
    assert objects
    assert problems(objects) == []


@cases
def test_only_bootstrap_apply_has_cluster_objects(case: Path) -> None:
    objects = objects_of(case)
    found = [each["metadata"]["name"] for each in objects if each["kind"] in CLUSTER_KINDS]
    applies = case_name(case) in {"apply", "everything"}
    assert found == ([f"aws-oidc-sidecar:{NAMESPACE}:{RELEASE}:bootstrap"] * 2 if applies else [])
    others = [each for each in objects if each["kind"] not in CLUSTER_KINDS]
    own = [each for each in others if each["metadata"]["name"] not in {"aws-extra", "aws-text"}]
    assert {each["metadata"].get("namespace") for each in own} == {NAMESPACE}


def test_an_image_that_looks_like_a_number_is_text() -> None:
    digest = f"sha256:{'0' * 64}"
    image = {"repository": "123", "tag": "456", "digest": ""}
    objects = render({"roleArn": ROLE, "image": image, "test": {"image": {"repository": "1e3"}}})
    images = {container["image"] for pod in pods(objects) for container in containers(pod)}
    assert images == {"123:456", "1e3"}
    assert problems(objects) == []
    text = rendered_text({"roleArn": ROLE, "image": {"digest": digest}}, chart=CHART)
    assert not [line for line in text.splitlines() if " image: " in line and '"' not in line]


@cases
def test_every_object_has_the_recommended_labels(case: Path) -> None:
    objects = objects_of(case)
    for each in objects:
        if each["metadata"]["name"] in {"aws-extra", "aws-text"}:
            continue
        labels = each["metadata"]["labels"]
        has_team = case_name(case) == "everything" or each["metadata"]["name"] == "deployer"
        assert labels["app.kubernetes.io/name"] == "aws-oidc-sidecar"
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert {"app.kubernetes.io/version", "helm.sh/chart"} <= labels.keys()
        assert (labels.get("team") == "platform") is has_team


def test_a_label_of_an_object_replaces_the_common_one_and_the_charts_replaces_both() -> None:
    labels = {"release": "mon", "empty": "", "app.kubernetes.io/instance": "x"}
    section = {"enabled": True, "labels": labels}
    values: Json = {"podMonitor": section, "prometheusRule": section, "dashboard": section}
    values["serviceAccounts"] = [{"name": "a", "roleArn": ROLE, "labels": labels}]
    objects = render(values | {"commonLabels": {"release": "mine", "empty": "no"}})
    own = {("PodMonitor", FULLNAME), ("PrometheusRule", FULLNAME), ("ConfigMap", f"{FULLNAME}-dashboard"),
           ("ServiceAccount", "a")}  # fmt: skip
    for each in objects:
        has_its_own = (each["kind"], each["metadata"]["name"]) in own
        wanted = ("mon", "", RELEASE) if has_its_own else ("mine", "no", RELEASE)
        assert tuple(each["metadata"]["labels"][key] for key in labels) == wanted


def test_every_template_checks_for_null_values_before_it_reads_one() -> None:
    # Helm renders templates in any order.
    checks = (
        '{{- include "aws-oidc-sidecar.checkValues" . }}',
        '{{- range $account := include "aws-oidc-sidecar.accounts"',
    )
    for file in (CHART / "templates").glob("*.yaml"):
        assert file.name == "extraobjects.yaml" or file.read_text().startswith(checks), file.name


def test_a_first_install_needs_only_a_role() -> None:
    kinds = sorted(each["kind"] for each in render({"roleArn": ROLE}))
    assert kinds == ["ConfigMap", "Job", "Pod", "ServiceAccount", "ServiceAccount"]


@pytest.mark.parametrize("version", ["1.29.0", "1.33.4-gke.1", "1.36.3"])
def test_the_objects_are_the_same_for_every_version(version: str) -> None:
    assert render(MINIMAL, "--kube-version", version) == objects_of(MINIMAL)


def test_no_container_can_write_its_root_file_system_or_has_an_api_server_token() -> None:
    for pod in pods(render(MINIMAL)):
        assert pod["automountServiceAccountToken"] is False
        for container in containers(pod):
            if container["name"] != "aws-cli":
                assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_openshift_assigns_the_user_ids() -> None:
    for pod in pods(render({"roleArn": ROLE, "runAsAssignedUser": True})):
        for container in containers(pod):
            assert container["securityContext"].keys().isdisjoint({"runAsUser", "runAsGroup"})


def test_the_network_policy_selects_the_pods_of_the_chart_alone() -> None:
    objects = render({"roleArn": ROLE, "networkPolicy": {"enabled": True}})
    selector = one(objects, "NetworkPolicy")["spec"]["podSelector"]
    job = one(objects, "Job")["spec"]["template"]["metadata"]["labels"]
    test = one(objects, "Pod")["metadata"]["labels"]
    (expression,) = selector["matchExpressions"]
    for labels in (job, test):
        assert selector["matchLabels"].items() <= labels.items()
        assert labels[expression["key"]] in expression["values"]


def test_name_overrides_replace_the_names_of_the_chart() -> None:
    objects = render({"roleArn": ROLE, "fullnameOverride": "reader"})
    assert [each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"] == [
        "reader-bootstrap",
        "reader",
    ]
    names: list[Json] = render({"roleArn": ROLE, "nameOverride": "x"})
    assert one(names, "ConfigMap")["metadata"]["name"] == "aws-oidc-sidecar-aws-x"
