"""From the pod's start to its end: the gate, restarts, a rollout and the last moment, with unmodified clients."""

import contextlib
import itertools
import json
import os
import re
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from sidecar.clock import SystemClock
from tests.cluster.aws import LocalAws
from tests.cluster.calls import PARAMETER, Call, FollowedLog, calls, command, whole
from tests.cluster.cluster import Cluster, CommandFailed
from tests.cluster.tutorial import (
    APPLICATION,
    SIDECAR,
    Json,
    application_of,
    apply,
    example,
    sidecar_of,
    with_aws,
)
from tests.cluster.waiting import wait_until

WRONG_SECONDS = float(os.environ.get("WRONG_SECONDS", "300"))
"""How long the trust is wrong. By then the sidecar asks STS every one to five minutes."""
MENDED_SECONDS = 330
"""The longest pause between two attempts, PERMANENT_CAP_SECONDS, and what a busy machine needs to start a container."""
RESTART_SECONDS = 10
"""A kubelet sees a container's end within a second, and starts it again at once; the rest is for a busy machine."""

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes and the images


class World(NamedTuple):
    """What a case works with: its own namespace, and a strict AWS."""

    cluster: Cluster
    aws: LocalAws
    namespace: str
    sidecar_image: str

    def pod(self, role_arn: str, name: str = "aws-test") -> Json:
        """Return the example's pod for here; its ServiceAccount is there already."""
        pod = with_aws(example(self.namespace)[1], self.aws, role_arn, sidecar_image=self.sidecar_image)
        pod["metadata"]["name"] = name
        return pod

    def get(self, kind: str, name: str) -> Json:
        """Return an object as it is now."""
        found: Json = self.cluster.get(kind, name, "-n", self.namespace)
        return found

    def status(self, pod: str, container: str) -> Json:
        """Return a container's status; empty before the kubelet has told of it."""
        status = self.get("pod", pod)["status"]
        every = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        return next((one for one in every if one["name"] == container), {})

    def started(self, pod: str) -> bool:
        """Tell whether the application's container runs or has run."""
        state = self.status(pod, APPLICATION).get("state", {})
        return "running" in state or "terminated" in state

    def calls(self, pod: str = "aws-test") -> list[Call]:
        """Return what the application has called so far."""
        return calls(self.cluster, self.namespace, pod)

    def daemon(self, pod: str = "aws-test") -> int:
        """Return the id, out here, of the sidecar's process 1; a worker may run beside it."""
        folder = self.cluster.pod_cgroup(self.get("pod", pod)["metadata"]["uid"], SIDECAR)[-1]
        for pid in map(int, (folder / "cgroup.procs").read_text().split()):
            if re.search(r"^NSpid:.*\t1$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE):
                return pid
        raise LookupError("the sidecar has no process 1")


@pytest.fixture
def world(cluster: Cluster, aws: LocalAws, namespace: str, sidecar_image: str, open_discovery: None) -> World:  # noqa: ARG001 - AWS has to reach the keys
    aws.put_parameter(PARAMETER, "ami-05684a9a654fccef1")
    apply(cluster, example(namespace)[0])
    return World(cluster, aws, namespace, sidecar_image)


def test_a_wrong_trust_delays_the_application_and_breaks_nothing(world: World) -> None:
    # Three that wait side by side: the example's pod, one without the gate, and a Job that may not fail once.
    role_arn = world.aws.set_up_trust(namespace=world.namespace, service_account="somebody-else")
    ungated = world.pod(role_arn, "ungated")
    del sidecar_of(ungated)["startupProbe"]
    apply(world.cluster, world.pod(role_arn, "gated"), ungated, job(world.pod(role_arn)))

    world.cluster.wait("pod/ungated", "condition=Ready", namespace=world.namespace)
    wait_until(lambda: world.status("gated", SIDECAR).get("state", {}).get("running"), what="the sidecar", seconds=60)
    wait_until(lambda: len(job_pods(world)) == 1, what="the Job's pod", seconds=60)
    (job_pod,) = job_pods(world)
    time.sleep(WRONG_SECONDS)  # that nothing happens in this time is what is tested

    # The last answer to each; the first can be that the keys are not public yet.
    asked = {one["session_name"].removeprefix(f"{world.namespace}-"): one["status"] for one in world.aws.exchanges()}
    assert asked == {"gated": 403, "ungated": 403, job_pod: 403}
    assert world.aws.exchanges(good=True) == []
    assert [world.started(pod) for pod in ("gated", job_pod, "ungated")] == [False, False, True]
    assert [world.status(pod, SIDECAR)["restartCount"] for pod in ("gated", job_pod, "ungated")] == [0, 0, 0]
    assert world.get("pod", job_pod)["status"]["phase"] == "Pending"
    assert "failed" not in world.get("job", "once")["status"]

    mended = SystemClock().now().mono
    world.aws.set_up_trust(namespace=world.namespace)
    wait_until(lambda: world.started("gated"), what="the application", seconds=MENDED_SECONDS)
    (exchanged_at,) = [one["at"] for one in world.aws.exchanges(good=True) if one["session_name"].endswith("-gated")]
    started_at = datetime.fromisoformat(world.status("gated", APPLICATION)["state"]["running"]["startedAt"]).timestamp()
    assert started_at >= int(exchanged_at), "in whole seconds, as Kubernetes tells them"
    print(f"\nthe application started {SystemClock().now().mono - mended:.1f} s after the trust was mended")  # noqa: T201 - pytest -s shows it
    # The Job completes though its sidecar would run for ever.
    world.cluster.wait("job/once", "condition=complete", namespace=world.namespace, seconds=MENDED_SECONDS)
    assert [pod for pod in job_pods(world) if pod != job_pod] == [], "no second try"
    identity = json.loads(world.cluster.kubectl("logs", "-n", world.namespace, job_pod, "-c", APPLICATION))
    assert ":assumed-role/KubernetesParameterStoreRole/" in identity["Arn"]
    wait_until(lambda: can_call(world, "ungated"), what="credentials without the gate", seconds=MENDED_SECONDS, every=2)
    assert [world.status(pod, SIDECAR)["restartCount"] for pod in ("gated", job_pod, "ungated")] == [0, 0, 0]


def job(pod: Json) -> Json:
    """Return a Job of the example's pod that makes one call, once."""
    application_of(pod)["command"] = ["aws", "sts", "get-caller-identity"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": pod["metadata"]["namespace"]},
        "spec": {"backoffLimit": 0, "template": {"spec": pod["spec"] | {"restartPolicy": "Never"}}},
    }


def job_pods(world: World) -> list[str]:
    found = world.cluster.get("pods", "-n", world.namespace, "-l", "job-name=once")["items"]
    return [pod["metadata"]["name"] for pod in found]


def can_call(world: World, pod: str) -> bool:
    try:
        world.cluster.exec(pod, APPLICATION, "aws", "sts", "get-caller-identity", namespace=world.namespace)
    except CommandFailed:
        return False
    return True


def test_a_killed_sidecar_serves_the_same_set_again_though_sts_is_down(world: World) -> None:
    ended = restarted_while_sts_is_down(world, lambda: os.kill(world.daemon(), signal.SIGKILL))
    assert (ended["reason"], ended["exitCode"]) == ("Error", 128 + signal.SIGKILL)


def test_a_sidecar_out_of_memory_serves_the_same_set_again_though_sts_is_down(world: World) -> None:
    def renew_with_too_little_memory() -> None:
        leave_memory(world, 8 << 20)  # an exchange takes five times as much
        os.kill(world.daemon(), signal.SIGHUP)

    ended = restarted_while_sts_is_down(world, renew_with_too_little_memory)
    assert ended["reason"] == "OOMKilled"


def restarted_while_sts_is_down(world: World, end: Callable[[], None]) -> Json:
    """End the sidecar under load, judge what the application saw, and return how the kubelet says that it ended."""
    pod = world.pod(world.aws.set_up_trust(namespace=world.namespace))
    application_of(pod)["command"] = command()
    apply(world.cluster, pod)
    wait_until(
        lambda: len(good_new(world.calls())) >= 3 if world.started("aws-test") else False, what="calls", seconds=60
    )
    world.aws.faults({"kind": "down", "scope": "sts"})

    ended_at = SystemClock().now().wall
    end()
    wait_until(lambda: restarts_and_started(world) == (1, True), what="a restart", seconds=60)
    os.kill(world.daemon(), signal.SIGHUP)
    wait_until(lambda: None in {one["status"] for one in world.aws.exchanges()}, what="an exchange in vain", seconds=30)
    back_at = ended_at + RESTART_SECONDS
    wait_until(lambda: len(good_new(world.calls(), back_at)) >= 3, what="calls after that", seconds=60)

    found = world.calls()
    failed = [call for call in found if call.error]
    good = [call.at for call in good_new(found)]
    pause = max(after - before for before, after in itertools.pairwise(good))
    print(f"\n{len(found)} calls, {len(failed)} failed; the longest pause between two good ones {pause:.1f} s")  # noqa: T201 - pytest -s shows it
    assert pause < RESTART_SECONDS
    assert {call.loop for call in failed} <= {"new"}, "who keeps a client notices nothing"
    assert all(ended_at < call.at < back_at for call in failed), failed
    assert len({call.key for call in found if not call.error}) == 1
    assert len(world.aws.exchanges(good=True)) == 1
    assert restarts_and_started(world) == (1, True)
    ended: Json = world.status("aws-test", SIDECAR)["lastState"]["terminated"]
    return ended


def restarts_and_started(world: World) -> tuple[int, bool]:
    """Return how often the sidecar was restarted, and whether its startupProbe has passed since."""
    status = world.status("aws-test", SIDECAR)
    return status["restartCount"], status["started"]


def good_new(found: list[Call], since: float = 0) -> list[Call]:
    return [call for call in found if call.loop == "new" and not call.error and call.at > since]


def leave_memory(world: World, size: int) -> None:
    """Let the sidecar's container have so many bytes more than it cannot give back, as a limit that is too low does."""
    folder = world.cluster.pod_cgroup(world.get("pod", "aws-test")["metadata"]["uid"], SIDECAR)[-1]
    unified = (folder / "memory.max").exists()
    used = int((folder / ("memory.current" if unified else "memory.usage_in_bytes")).read_text())
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    cache = int(stat["inactive_file"]) + int(stat["active_file"])
    (folder / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(used - cache + size))


def test_a_deployment_rolls_over_without_a_failed_call(world: World, tmp_path: Path) -> None:
    pod = world.pod(world.aws.set_up_trust(namespace=world.namespace))
    application_of(pod)["command"] = command(drain_seconds=3)
    labels = {"app": "rolling"}
    template = {"metadata": {"labels": labels}, "spec": pod["spec"]}
    deployment: Json = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "rolling", "namespace": world.namespace},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }

    def rolled_out(stack: contextlib.ExitStack) -> dict[str, FollowedLog]:
        apply(world.cluster, deployment)
        world.cluster.kubectl("rollout", "status", "-n", world.namespace, "deployment/rolling", "--timeout=120s")
        pods = world.cluster.get("pods", "-n", world.namespace, "-l", "app=rolling")["items"]
        logs = {}
        for name in (pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]):
            log = FollowedLog(world.cluster, world.namespace, name, tmp_path / name)
            logs[name] = stack.enter_context(log)
            log.await_calls()
        return logs

    with contextlib.ExitStack() as stack:
        old = rolled_out(stack)
        template["metadata"]["annotations"] = {"rolled": "over"}
        new = rolled_out(stack)
        assert len(old) == len(new) == 2
        assert not old.keys() & new.keys()
        world.cluster.kubectl("delete", "deployment", "rolling", "-n", world.namespace, "--wait=false")
        for log in (*old.values(), *new.values()):
            found = whole(log.to_the_end(seconds=60))
            assert {call.loop for call in found} == {"kept", "new"}
            assert [call for call in found if call.error] == []


def test_a_pod_has_credentials_to_its_last_moment(world: World, tmp_path: Path) -> None:
    pod = world.pod(world.aws.set_up_trust(namespace=world.namespace))
    hook_seconds, drain_seconds = 6, 3
    hook = ["timeout", "--preserve-status", str(hook_seconds), *command("hook")]
    application_of(pod)["command"] = command(drain_seconds=drain_seconds)
    # What a hook prints goes nowhere: it writes to the log of the container.
    application_of(pod)["lifecycle"] = {
        "preStop": {"exec": {"command": ["sh", "-c", 'exec "$0" "$@" > /proc/1/fd/1', *hook]}}
    }
    apply(world.cluster, pod)
    world.cluster.wait("pod/aws-test", "condition=Ready", namespace=world.namespace)
    with FollowedLog(world.cluster, world.namespace, "aws-test", tmp_path / "log") as log:
        log.await_calls()
        deleted_at = SystemClock().now().wall
        world.cluster.kubectl("delete", "pod", "aws-test", "-n", world.namespace, "--wait=false")
        # Whole: each process came to its own end, so none was killed when the grace was over.
        found = whole(log.to_the_end(seconds=60), ("application", "hook"))
    assert [call for call in found if call.error] == []
    for label, loop in itertools.product(("application", "hook"), ("kept", "new")):
        last = max(call.at for call in found if (call.label, call.loop) == (label, loop)) - deleted_at
        print(f"\n{label}, {loop}: the last call {last:.1f} s after the pod was deleted")  # noqa: T201 - pytest -s shows it
        # SIGTERM comes after the hook; one second for the pace of the calls.
        assert last > hook_seconds + (drain_seconds if label == "application" else 0) - 1
