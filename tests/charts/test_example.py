"""``examples/helm``: an application's own chart that adds the sidecar with a few lines."""

import shutil
from pathlib import Path

import pytest

from tests.charts.helm import CHARTS, Json, helm, render
from tests.charts.manifests import one, pods, problems
from tests.cluster.layout import CHECKOUT

EXAMPLE = CHECKOUT / "examples" / "helm"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """Build the dependencies and render, as in a checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    shutil.copytree(CHARTS, copy / "charts", symlinks=True)
    shutil.copytree(EXAMPLE, copy / "examples" / "helm", ignore=shutil.ignore_patterns("charts"))
    helm("dependency", "build", copy / "examples" / "helm")
    return render({}, chart=copy / "examples" / "helm")


def test_it_renders_from_the_checkout_as_it_is(objects: list[Json]) -> None:
    assert render({}, chart=EXAMPLE) == objects


def test_it_lints_without_a_warning() -> None:
    assert "WARNING" not in helm("lint", "--strict", EXAMPLE)


def sidecar_lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if "$aws" in line or "aws-oidc-sidecar" in line]


def test_the_sidecar_needs_less_than_ten_lines() -> None:
    assert 0 < len(sidecar_lines(EXAMPLE / "templates" / "deployment.yaml")) < 10


def test_the_readme_has_these_lines() -> None:
    text = (CHARTS / "aws-oidc-sidecar-lib" / "README.md").read_text()
    for line in sidecar_lines(EXAMPLE / "templates" / "deployment.yaml"):
        assert f"\n{line}\n" in text


def test_its_deployment_is_valid_and_restricted(objects: list[Json]) -> None:
    assert [each["kind"] for each in objects] == ["Deployment"]
    assert problems(objects) == []


def test_its_pods_have_the_version_label_and_no_selector_has_it(objects: list[Json]) -> None:
    spec = one(objects, "Deployment")["spec"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert "aws-oidc-sidecar/version" in spec["template"]["metadata"]["labels"]
    assert "aws-oidc-sidecar/version" not in spec["selector"]["matchLabels"]


@pytest.mark.rule("SDK 24")
def test_the_application_starts_after_the_sidecar_and_with_its_role(objects: list[Json]) -> None:
    (pod,) = pods(objects)
    (sidecar,) = pod["initContainers"]
    assert (sidecar["restartPolicy"], sidecar["startupProbe"]["httpGet"]["path"]) == ("Always", "/startupz")
    (application,) = pod["containers"]
    assert {variable["name"] for variable in application["env"]} >= {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_REGION"}
    assert pod["serviceAccountName"] == "aws-parameter-reader"


def test_its_own_variables_join_those_of_the_sidecar() -> None:
    own = [{"name": "NO_PROXY", "value": "a.test"}, {"name": "A", "value": "b"}]
    objects = render({"extraEnv": own}, chart=EXAMPLE)
    assert problems(objects) == []
    (application,) = next(pods(objects))["containers"]
    values = {variable["name"]: variable["value"] for variable in application["env"]}
    assert values["NO_PROXY"] == values["no_proxy"] == "a.test,127.0.0.1,localhost,::1"
    assert values["A"] == "b"


def test_a_packaged_chart_is_complete(tmp_path: Path) -> None:
    helm("package", CHARTS / "aws-oidc-sidecar", "--destination", tmp_path)
    (archive,) = tmp_path.glob("*.tgz")
    alone = tmp_path / "alone"
    shutil.unpack_archive(archive, alone)
    chart = alone / "aws-oidc-sidecar"
    assert not [path for path in chart.rglob("*") if path.is_symlink()]
    assert not (chart / "ci").exists()
    values = {"roleArn": "arn:aws:iam::123456789012:role/Reader"}
    assert render(values, chart=chart) == render(values)
