"""The pod of ``helm test``: its containers, and its two commands, which run here with a real daemon."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.local.process import Sidecar
from examples.local.world import World
from tests.charts.helm import CHART, HelmError, Json, render
from tests.charts.manifests import one, problems
from tests.functional.conftest import kubelet, role_arn, run_sidecar

__all__ = ("kubelet", "role_arn", "run_sidecar")

ROLE = "arn:aws:iam::123456789012:role/Reader"
REPORT = "/var/run/aws-oidc-sidecar-test/report"


@pytest.fixture(scope="module")
def pod() -> Json:
    return one(render({"roleArn": ROLE}), "Pod")


def container_of(pod: Json, name: str) -> Json:
    spec = pod["spec"]
    return next(each for each in (*spec["initContainers"], *spec["containers"]) if each["name"] == name)


def test_it_is_a_hook_with_a_readable_log_and_a_deadline(pod: Json) -> None:
    annotations = pod["metadata"]["annotations"]
    assert annotations == {"helm.sh/hook": "test", "helm.sh/hook-delete-policy": "before-hook-creation"}
    assert len(pod["spec"]["containers"]) == 1, "one container has the result in its log"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["activeDeadlineSeconds"] == 240
    assert "aws-oidc-sidecar/version" in pod["metadata"]["labels"]


def test_each_service_account_has_a_test_pod_with_all_served_profiles() -> None:
    objects = render(CHART / "ci" / "accounts-values.yaml")
    pods = {each["spec"]["serviceAccountName"]: each for each in objects if each["kind"] == "Pod"}
    assert sorted(pods) == ["aws-parameter-reader", "deployer", "reports"]
    deployer = pods["deployer"]
    (token,) = [each for each in deployer["spec"]["volumes"] if each["name"] == "aws-oidc-token"]
    assert token["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "deployments.example.org"
    assert container_of(deployer, "await-credentials")["args"][3] == "reader,writer"
    assert {"aws-oidc-profile-reader", "aws-oidc-profile-writer"} <= {
        each["name"] for each in deployer["spec"]["volumes"]
    }


def test_the_doctor_has_the_environment_and_mounts_of_the_sidecar_read_only(pod: Json) -> None:
    sidecar, waiting = container_of(pod, "aws-oidc-sidecar"), container_of(pod, "await-credentials")
    for key in ("image", "env", "securityContext"):
        assert waiting[key] == sidecar[key]
    paths = {mount["mountPath"] for mount in sidecar["volumeMounts"]} - {"/var/run/aws-oidc-sidecar/state"}
    mounts = {mount["mountPath"]: mount for mount in waiting["volumeMounts"]}
    assert mounts.keys() == paths | {str(Path(REPORT).parent)}
    assert all(mounts[path]["readOnly"] for path in paths)


def test_nothing_waits_for_credentials_for_ever(pod: Json) -> None:
    assert "startupProbe" not in container_of(pod, "aws-oidc-sidecar")


def test_the_aws_cli_has_the_mounts_and_variables_of_an_application(pod: Json) -> None:
    container = container_of(pod, "aws-cli")
    assert container["image"] == "amazon/aws-cli"
    assert [mount["name"] for mount in container["volumeMounts"]] == ["aws-oidc-profile-default", "report"]
    names = {variable["name"] for variable in container["env"]}
    assert names.isdisjoint({"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"})


def test_session_names_can_have_the_cluster_in_front(pod: Json) -> None:
    variable = {"name": "AWS_OIDC_SIDECAR_CLUSTER", "value": "shoot"}
    assert (
        variable in container_of(one(render({"roleArn": ROLE, "cluster": "shoot"}), "Pod"), "aws-oidc-sidecar")["env"]
    )
    assert variable["name"] not in {each["name"] for each in container_of(pod, "aws-oidc-sidecar")["env"]}


def region_of(values: Json) -> str:
    """Return the region of the AWS CLI."""
    env = container_of(one(render(values), "Pod"), "aws-cli")["env"]
    found: str = next(each["value"] for each in env if each["name"] == "AWS_REGION")
    return found


def test_the_region_comes_from_the_profile_then_the_account_then_the_chart() -> None:
    profile, account = {"roleArn": ROLE}, {"name": "a"}
    values: Json = {"serviceAccounts": [account | {"profiles": {"default": profile}}]}
    assert region_of(values) == "us-east-1", "the region of the global endpoint of STS"
    assert region_of(values | {"region": "eu-west-1"}) == "eu-west-1"
    account |= {"region": "eu-west-2"}
    values = {"region": "eu-west-1", "serviceAccounts": [account | {"profiles": {"default": profile}}]}
    assert region_of(values) == "eu-west-2"
    profile |= {"region": "eu-west-3"}
    assert region_of(values) == "eu-west-3"


def test_another_partition_needs_a_region() -> None:
    role = ROLE.replace("aws", "aws-cn", 1)
    with pytest.raises(HelmError) as caught:
        render({"roleArn": role})
    message = "serviceAccounts: aws-aws-oidc-sidecar: profiles.default: region: is not set"
    assert message in str(caught.value)
    assert region_of({"roleArn": role, "region": "cn-north-1"}) == "cn-north-1"
    assert render({"roleArn": role, "test": {"enabled": False}}), "pods can have their own region"


def test_the_sidecar_and_the_aws_cli_have_separate_variables() -> None:
    for_sidecar, for_cli = {"name": "AWS_ENDPOINT_URL_STS", "value": "a"}, {"name": "AWS_ENDPOINT_URL", "value": "b"}
    values = {"roleArn": ROLE, "extraEnv": [for_sidecar], "test": {"extraEnv": [for_cli], "doctorArgs": ["--no-iam"]}}
    pod = one(render(values), "Pod")
    assert container_of(pod, "aws-oidc-sidecar")["env"][-1] == for_sidecar
    assert container_of(pod, "await-credentials")["env"][-1] == for_sidecar
    assert container_of(pod, "await-credentials")["args"][-1] == "--no-iam"
    assert container_of(pod, "aws-cli")["env"][-1] == for_cli


def test_no_client_of_the_aws_cli_sends_its_auth_token_to_a_proxy() -> None:
    own = [{"name": "HTTP_PROXY", "value": "http://proxy.test"}, {"name": "NO_PROXY", "value": "*"}]
    objects = render({"roleArn": ROLE, "test": {"extraEnv": own}})
    assert problems(objects) == []
    env = {each["name"]: each["value"] for each in container_of(one(objects, "Pod"), "aws-cli")["env"]}
    assert env["HTTP_PROXY"] == "http://proxy.test"
    assert env["NO_PROXY"] == env["no_proxy"] == "*,127.0.0.1,localhost,::1"


def test_an_exemption_that_cannot_be_extended_is_named_in_the_error() -> None:
    own = {"name": "NO_PROXY", "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "none"}}}
    with pytest.raises(HelmError, match=r"test\.extraEnv: NO_PROXY: has valueFrom"):
        render({"roleArn": ROLE, "test": {"extraEnv": [own]}})


def run_both(pod: Json, sidecar: Sidecar, world: World, report: Path, seconds: str) -> subprocess.CompletedProcess[str]:
    """Run the command before the AWS CLI, and then that of the AWS CLI; return the result of the second."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = Path(f"/proc/{sidecar.process.pid}/environ").read_text().rstrip("\0").split("\0")
    environment = dict(line.split("=", 1) for line in own)
    environment |= {"PATH": path, "AWS_OIDC_SIDECAR_ADMIN_PORT": str(sidecar.admin_port)}
    script, _, _, *rest = container_of(pod, "await-credentials")["args"]
    waiting = [sys.executable, "-I", "-c", script, seconds, str(report), *rest]
    subprocess.run(waiting, env=environment, check=True, timeout=60)
    (text,) = container_of(pod, "aws-cli")["args"]
    return subprocess.run(
        ["sh", "-c", text.replace(REPORT, str(report))],
        env={"PATH": path, "AWS_ENDPOINT_URL": world.aws.url, "AWS_DEFAULT_REGION": "eu-central-1"}
        | sidecar.application,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_with_a_correct_role_it_succeeds_and_prints_the_caller_identity(
    pod: Json, fresh_world: World, run_sidecar: Callable[..., Sidecar], tmp_path: Path
) -> None:
    done = run_both(pod, run_sidecar(), fresh_world, tmp_path / "report", "30")
    assert done.returncode == 0, done.stderr
    assert "assumed-role/KubernetesParameterStoreRole/" in done.stdout
    assert not (tmp_path / "report").exists()


def test_with_a_wrong_role_it_fails_and_prints_the_report_of_the_doctor(
    pod: Json, fresh_world: World, run_sidecar: Callable[..., Sidecar], role_arn: str, tmp_path: Path
) -> None:
    sidecar = run_sidecar({"AWS_ROLE_ARN": role_arn + "x"})
    done = run_both(pod, sidecar, fresh_world, tmp_path / "report", "1")
    assert done.returncode == 1
    assert "aws-oidc-sidecar doctor --profile default" in done.stdout
    assert "- role_missing: " in done.stdout
    assert sidecar.auth_token not in done.stdout
