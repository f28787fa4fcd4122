"""Pods of the example's chart during a rotation of their token by the kubelet, and refreshes of their credentials.

It takes ten minutes: the minimum lifetime of a token is 600 s, and the kubelet rotates it at 80 %.
"""

import json
from itertools import groupby
from pathlib import Path

import pytest

from tests.cluster.aws import LocalAws
from tests.cluster.calls import PARAMETER, calls, command
from tests.cluster.cluster import Cluster
from tests.cluster.releases import CHART, EXAMPLE, READ_ONLY, bootstrap_aws, example_values, helm, values
from tests.cluster.tutorial import ACCOUNT
from tests.cluster.users import user_kubeconfig
from tests.cluster.waiting import wait_until

TOKEN_SECONDS, CREDENTIALS_SECONDS = 600, 900
ROLE = "Reader"

pytestmark = [pytest.mark.timeout(1800), pytest.mark.usefixtures("sidecar_image", "open_discovery")]


def test_the_examples_pods_read_the_parameter_during_refresh_and_rotation(
    cluster: Cluster, aws: LocalAws, namespace: str, tmp_path: Path
) -> None:
    bootstrap_aws(
        cluster, aws, "--role", ROLE, "--service-account", f"{namespace}/{ACCOUNT}", "--policy-arn", READ_ONLY
    )
    aws.put_parameter(PARAMETER, "ami-05684a9a654fccef1")
    account = {
        "name": ACCOUNT,
        "roleArn": f"arn:aws:iam::123456789012:role/{ROLE}",
        "durationSeconds": CREDENTIALS_SECONDS,
    }
    given = {
        "aws": (CHART, values(cluster, aws, serviceAccounts=[account], bootstrap={"mode": "none"})),
        "reader": (
            EXAMPLE,
            example_values(
                aws,
                replicas=2,
                command=command(),
                extraEnv=[{"name": "AWS_ENDPOINT_URL", "value": aws.url}],
                **{"aws-oidc-sidecar-lib": {"expirationSeconds": TOKEN_SECONDS}},
            ),
        ),
    }
    owner = user_kubeconfig(cluster, "rotated", namespace)
    for release, (chart, chosen) in given.items():
        path = tmp_path / f"{release}.json"
        path.write_text(json.dumps(chosen))
        helm(cluster, "install", release, str(chart), "--values", str(path), user=owner)
    cluster.kubectl("rollout", "status", "-n", namespace, "deployment/reader", "--timeout=120s")
    pods = cluster.get("pods", "-n", namespace, "-l", "app.kubernetes.io/instance=reader")["items"]
    names = [pod["metadata"]["name"] for pod in pods]
    assert len(names) == 2

    def tokens_and_exchanges() -> dict[str, tuple[int, int]]:
        """Return {session name: (number of different tokens, number of exchanges)}."""
        found = sorted(aws.exchanges(good=True), key=lambda exchange: str(exchange["session_name"]))
        return {
            name: (len({exchange["jti"] for exchange in mine}), len(mine))
            for name, mine in (
                (name, list(group)) for name, group in groupby(found, key=lambda one: one["session_name"])
            )
        }

    def rotated() -> bool:
        counts = tokens_and_exchanges()
        return len(counts) == 2 and all(tokens >= 2 and exchanges >= 3 for tokens, exchanges in counts.values())

    wait_until(rotated, what="a rotation and a refresh of each pod", seconds=3 * TOKEN_SECONDS, every=1)
    for name in names:
        made = calls(cluster, namespace, name)
        assert [call for call in made if call.error] == []
        assert len({call.key for call in made}) >= 2
    assert not aws.exchanges(good=False)
