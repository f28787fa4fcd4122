"""Random upgrades of the release with the roles, valid and invalid, while an application runs."""

import contextlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.aws import LocalAws
from tests.cluster.calls import PARAMETER, FollowedLog, command, whole
from tests.cluster.cluster import Cluster, CommandFailed
from tests.cluster.releases import CHART, EXAMPLE, READ_ONLY, bootstrap_aws, example_values, helm, values
from tests.cluster.tutorial import ACCOUNT
from tests.cluster.users import user_kubeconfig
from tests.cluster.waiting import wait_until

UPGRADES = 20
SEEDS = (20_261_126, 1, 2, 3, 4, 6, 7, 8, 10, 11)
"""Each has values that Helm rejects, a role that AWS denies, and a dozen changes."""
ROLES = "arn:aws:iam::123456789012:role/"
GOOD_ROLES = ("Reader", "Writer")
SCRAPE = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9842/metrics").read().decode())
"""

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("sidecar_image", "open_discovery")]


class Release:
    """The release with the roles; the namespace's owner upgrades it.

    Args:
        cluster: the cluster of the release.
        aws: an AWS with the roles ``GOOD_ROLES``.
        namespace: the namespace of the release and of the pod.
        directory: the directory of values files.
    """

    def __init__(self, cluster: Cluster, aws: LocalAws, namespace: str, directory: Path) -> None:
        self._cluster, self._aws, self._namespace, self._directory = cluster, aws, namespace, directory
        self.owner = user_kubeconfig(cluster, f"owner-{namespace[:20]}", namespace)

    def helm(self, verb: str, name: str, chart: Path, given: dict[str, Any]) -> None:
        """Install or upgrade with these values.

        Raises:
            CommandFailed: helm failed.
        """
        file = self._directory / "values.json"
        file.write_text(json.dumps(given))
        helm(self._cluster, verb, name, str(chart), "--values", str(file), user=self.owner)

    def roles(self, verb: str, profile: dict[str, Any], team: str = "payments") -> None:
        """Install or upgrade the roles."""
        account = {"name": ACCOUNT, "profiles": {"default": profile}}
        given = values(
            self._cluster, self._aws, bootstrap={"mode": "none"}, serviceAccounts=[account], commonLabels={"team": team}
        )
        self.helm(verb, "aws", CHART, given)

    def profiles(self) -> str:
        """Return the profiles file of the release's ConfigMap."""
        config = self._cluster.get("configmap", f"aws-oidc-sidecar-{ACCOUNT}", "-n", self._namespace)
        return str(config["data"]["profiles"])


def random_profiles(seed: int) -> Iterator[dict[str, Any]]:
    """Yield settings of a role: AWS accepts some and denies others, and Helm rejects the rest."""
    draw = random.Random(seed)
    while True:
        profile: dict[str, Any] = {
            "roleArn": ROLES + draw.choice((*GOOD_ROLES, *GOOD_ROLES, "NoSuchRole")),
            "durationSeconds": draw.choice((900, 3600, 3600, 43_200, 60)),
        }
        if draw.random() < 0.3:
            profile["sessionName"] = f"session-{draw.randrange(3)}"
        if draw.random() < 0.2:
            profile["onChange"] = "keep"
        yield profile


# The first seed runs always, the others with `make long SUITE=chart-upgrades`.
@pytest.mark.parametrize("seed", [SEEDS[0], *(pytest.param(seed, marks=pytest.mark.long) for seed in SEEDS[1:])])
def test_valid_and_invalid_upgrades_fail_no_call(
    cluster: Cluster, aws: LocalAws, namespace: str, tmp_path: Path, seed: int
) -> None:
    for role in GOOD_ROLES:
        bootstrap_aws(
            cluster, aws, "--role", role, "--service-account", f"{namespace}/{ACCOUNT}", "--policy-arn", READ_ONLY
        )
    aws.put_parameter(PARAMETER, "ami-05684a9a654fccef1")
    release = Release(cluster, aws, namespace, tmp_path)
    release.roles("install", {"roleArn": ROLES + "Reader"})
    endpoint = {"name": "AWS_ENDPOINT_URL", "value": aws.url}
    release.helm("install", "reader", EXAMPLE, example_values(aws, command=command(), extraEnv=[endpoint]))
    cluster.kubectl("rollout", "status", "-n", namespace, "deployment/reader", "--timeout=120s")
    (pod,) = cluster.get("pods", "-n", namespace, "-l", "app.kubernetes.io/instance=reader")["items"]
    name = pod["metadata"]["name"]

    def events() -> list[dict[str, Any]]:
        lines = cluster.kubectl("logs", "-n", namespace, name, "-c", "aws-oidc-sidecar").splitlines()
        return [json.loads(line) for line in lines]

    def count(event: str) -> int:
        return sum(line["event"] == event for line in events())

    rejected_by_helm = reloads = 0
    with FollowedLog(cluster, namespace, name, tmp_path / "log") as log:
        log.await_calls()
        for number, profile in zip(range(UPGRADES), random_profiles(seed), strict=False):
            before = release.profiles()
            try:
                release.roles("upgrade", profile, team=f"team-{number}")
            except CommandFailed:
                rejected_by_helm += 1
            if release.profiles() != before:
                reloads += 1
                # The kubelet updates mounted ConfigMaps when the pod changes, else about once a minute.
                cluster.kubectl("annotate", "pod", "-n", namespace, name, f"upgrade={number}", "--overwrite")
                wait_until(lambda: count("profiles_reloaded") == reloads, what="the reload", seconds=90, every=0.5)  # noqa: B023 - waited for here
        wait_until(lambda: count("exchange_failed") > 0, what="a failed exchange", seconds=30)
        release.roles("upgrade", {"roleArn": ROLES + "Writer", "sessionName": "the-last"})
        cluster.kubectl("annotate", "pod", "-n", namespace, name, "upgrade=last", "--overwrite")
        wait_until(lambda: events()[-1].get("role_arn") == ROLES + "Writer", what="the last role", seconds=90)
        metrics = cluster.exec(name, "aws-oidc-sidecar", "/usr/bin/python3", "-c", SCRAPE, namespace=namespace)
        log.await_calls()
        with contextlib.suppress(CommandFailed):
            helm(cluster, "uninstall", "reader", user=release.owner)
        failed = [call for call in whole(log.to_the_end(seconds=60)) if call.error]
    assert failed == []
    unavailable = [line for line in metrics.splitlines() if 'code="503"' in line and not line.endswith(" 0.0")]
    assert unavailable == []
    assert rejected_by_helm > 0, "the seed has no values that the schema rejects"
    assert reloads > UPGRADES / 2
