"""A running client, while the kubelet rotates tokens, the signing key changes and the API server is down.

It takes about 17 minutes: the minimum lifetime of a token is 600 s, and the kubelet rotates it at 80 %.
"""

import json
from itertools import groupby
from pathlib import Path

import pytest

from examples.local.keys import decode_segment
from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster
from tests.cluster.tutorial import APPLICATION, SIDECAR, Json, application_of, apply, example, sidecar_of, with_aws
from tests.cluster.waiting import wait_until

POD = "aws-test"
TOKEN_SECONDS, CREDENTIALS_SECONDS = 600, 900
OUTAGE_SECONDS = 120
LOOP = Path(__file__).with_name("client_loop.py")

pytestmark = pytest.mark.timeout(3600)  # the first run builds Kubernetes and the images


class Logs:
    """The containers' logs from the node's files, because kubectl needs the API server."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._directory = next(cluster.log("pods").glob(f"{namespace}_{POD}_*"))

    def of(self, container: str) -> list[Json]:
        """Return the JSON of each line, without the time, stream and tag that the runtime writes before it."""
        (file,) = (self._directory / container).glob("*.log")
        # The text after the last line feed is still being written.
        whole = file.read_text().rpartition("\n")[0]
        return [json.loads(line.split(" ", 3)[3]) for line in whole.splitlines()]


def key_of_token(cluster: Cluster, uid: str) -> str:
    """Return the id of the key that signed the daemon's current token."""
    cgroup = cluster.pod_cgroup(uid, SIDECAR)[0]
    process = min(map(int, (cgroup / "cgroup.procs").read_text().split()))
    token = Path("/proc", str(process), "root", "var/run/secrets/aws-oidc-sidecar/token").read_text()
    return str(decode_segment(token.split(".")[0])["kid"])


def test_no_call_fails_during_rotations_refreshes_a_new_signing_key_and_two_minutes_without_an_api_server(
    cluster: Cluster,
    aws: LocalAws,
    namespace: str,
    sidecar_image: str,
    open_discovery: None,  # noqa: ARG001
) -> None:
    role_arn = aws.set_up_trust(namespace=namespace)
    account, pod = example(namespace)
    with_aws(pod, aws, role_arn, sidecar_image=sidecar_image)
    application_of(pod)["command"] = ["python3", "-c", LOOP.read_text()]
    sidecar_of(pod)["env"].append({"name": "AWS_OIDC_SIDECAR_DURATION", "value": str(CREDENTIALS_SECONDS)})
    (token,) = (volume for volume in pod["spec"]["volumes"] if volume["name"] == "aws-oidc-token")
    token["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] = TOKEN_SECONDS
    apply(cluster, account, pod)
    cluster.wait(f"pod/{POD}", "condition=Ready", namespace=namespace)
    uid = cluster.get("pod", POD, "-n", namespace)["metadata"]["uid"]
    logs = Logs(cluster, namespace)
    wait_until(lambda: len(logs.of(APPLICATION)) >= 5, what="the loop's first calls", seconds=30)

    first_key = key_of_token(cluster, uid)
    cluster.rotate_signing_key()

    cluster.stop_apiserver()
    try:
        stopped = logs.of(APPLICATION)[-1]["at"]
        wait_until(
            lambda: logs.of(APPLICATION)[-1]["at"] - stopped >= OUTAGE_SECONDS,
            what="two minutes of calls without an API server",
            seconds=OUTAGE_SECONDS + 60,
            every=1,
        )
    finally:
        cluster.start_apiserver()
    without = [call for call in logs.of(APPLICATION) if 0 < call["at"] - stopped < OUTAGE_SECONDS]

    def tokens() -> list[object]:
        return [token for token, _ in groupby(exchange["jti"] for exchange in aws.exchanges(good=True))]

    wait_until(lambda: len(tokens()) >= 3, what="two rotations", seconds=3 * TOKEN_SECONDS, every=1)
    last = aws.exchanges(good=True)[-1]["access_key_id"]
    wait_until(
        lambda: logs.of(APPLICATION)[-1]["signed_by"] == last, what="a call with the last credentials", seconds=10
    )

    calls, exchanges = logs.of(APPLICATION), aws.exchanges()
    assert [call for call in calls if call["error"]] == []
    assert len(without) > OUTAGE_SECONDS / 2, "the loop stopped without the API server"
    # One STS call for each refresh, none failed, and all issued credentials were used, in the order of their issue.
    assert [key for key, _ in groupby(call["signed_by"] for call in calls)] == [
        exchange["access_key_id"] for exchange in exchanges
    ]
    assert len(set(tokens())) == len(tokens()) == 3
    assert len(exchanges) > len(tokens()), "no refresh between rotations"
    assert {exchange["session_name"] for exchange in exchanges} == {f"{namespace}-{POD}"}
    assert {exchange["sub"] for exchange in exchanges} == {f"system:serviceaccount:{namespace}:aws-parameter-reader"}
    assert key_of_token(cluster, uid) != first_key
    events = [line["event"] for line in logs.of(SIDECAR)]
    assert events.count("credentials_refreshed") == len(exchanges)
    assert events.count("started") == 1
    assert {"exchange_failed", "token_unusable", "credentials_withdrawn", "crashed"}.isdisjoint(events)
