"""The tutorial on a real Kubernetes: real tokens, a real kubelet, the sidecar's image, unmodified clients."""

import json

import pytest

from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster
from tests.cluster.tutorial import APPLICATION, apply, example, with_aws

PARAMETER, VALUE = "/demo/demo/image-id", "ami-05684a9a654fccef1"

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes and the images


@pytest.fixture
def role_arn(aws: LocalAws, namespace: str, open_discovery: None) -> str:  # noqa: ARG001 - AWS has to reach the keys
    aws.put_parameter(PARAMETER, VALUE)
    return aws.set_up_trust(namespace=namespace)


def test_the_last_steps_of_the_tutorial_work_with_the_unmodified_aws_cli(
    cluster: Cluster, aws: LocalAws, namespace: str, role_arn: str, sidecar_image: str
) -> None:
    account, pod = example(namespace)
    apply(cluster, account, with_aws(pod, aws, role_arn, sidecar_image=sidecar_image))
    cluster.wait("pod/aws-test", "condition=Ready", namespace=namespace)

    def cli(*arguments: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(
            cluster.exec("aws-test", APPLICATION, "aws", *arguments, namespace=namespace)
        )
        return found

    identity = cli("sts", "get-caller-identity")
    assert identity["Arn"] == (
        f"arn:aws:sts::123456789012:assumed-role/KubernetesParameterStoreRole/{namespace}-aws-test"
    )
    parameter = cli("ssm", "get-parameter", "--name", PARAMETER)["Parameter"]
    assert isinstance(parameter, dict)
    assert parameter["Value"] == VALUE
    # AWS received one exchange, with this pod's token.
    (exchange,) = aws.exchanges(good=True)
    assert exchange["sub"] == f"system:serviceaccount:{namespace}:aws-parameter-reader"
    assert exchange["session_name"] == f"{namespace}-aws-test"
