"""A pod from its start to its end: the start gate, restarts, a rollout and the deletion, with unmodified clients."""

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
"""The time with a wrong trust policy. At its end the daemon sends an exchange every one to five minutes."""
FIXED_SECONDS = 330
"""The maximum pause between two exchanges, PERMANENT_CAP_SECONDS, and the start of a container on a busy machine."""
RESTART_SECONDS = 10
"""A kubelet detects a container's end within a second, and restarts it at once; the rest is for a busy machine."""

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes and the images


class World(NamedTuple):
    """The cluster, the strict AWS, the namespace and the image of a test."""

    cluster: Cluster
    aws: LocalAws
    namespace: str
    sidecar_image: str

    def pod(self, role_arn: str, name: str = "aws-test") -> Json:
        """Return the example's pod for this namespace; its ServiceAccount already exists."""
        pod = with_aws(example(self.namespace)[1], self.aws, role_arn, sidecar_image=self.sidecar_image)
        pod["metadata"]["name"] = name
        return pod

    def get(self, kind: str, name: str) -> Json:
        """Return an object as it is now."""
        found: Json = self.cluster.get(kind, name, "-n", self.namespace)
        return found

    def status(self, pod: str, container: str) -> Json:
        """Return a container's status; empty before the kubelet has reported it."""
        status = self.get("pod", pod)["status"]
        every = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        return next((one for one in every if one["name"] == container), {})

    def started(self, pod: str) -> bool:
        """Return whether the application's container runs or has run."""
        state = self.status(pod, APPLICATION).get("state", {})
        return "running" in state or "terminated" in state

    def calls(self, pod: str = "aws-test") -> list[Call]:
        """Return the application's calls so far."""
        return calls(self.cluster, self.namespace, pod)

    def daemon(self, pod: str = "aws-test") -> int:
        """Return the host's id of the sidecar's process 1; a worker may run in the container too."""
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


@pytest.mark.rule("SDK 24")
def test_a_wrong_trust_policy_delays_the_application_until_it_is_fixed(world: World) -> None:
    # Three wait at the same time: the example's pod, a pod without the start gate, and a Job with backoffLimit 0.
    role_arn = world.aws.set_up_trust(namespace=world.namespace, service_account="other")
    ungated = world.pod(role_arn, "ungated")
    del sidecar_of(ungated)["startupProbe"]
    apply(world.cluster, world.pod(role_arn, "gated"), ungated, job(world.pod(role_arn)))

    world.cluster.wait("pod/ungated", "condition=Ready", namespace=world.namespace)
    wait_until(lambda: world.status("gated", SIDECAR).get("state", {}).get("running"), what="the sidecar", seconds=60)
    wait_until(lambda: len(job_pods(world)) == 1, what="the Job's pod", seconds=60)
    (job_pod,) = job_pods(world)
    time.sleep(WRONG_SECONDS)  # the test is that nothing changes in this time

    # The last response to each; the first can be an error because the keys are not public yet.
    last = {one["session_name"].removeprefix(f"{world.namespace}-"): one["status"] for one in world.aws.exchanges()}
    assert last == {"gated": 403, "ungated": 403, job_pod: 403}
    assert world.aws.exchanges(good=True) == []
    assert [world.started(pod) for pod in ("gated", job_pod, "ungated")] == [False, False, True]
    assert [world.status(pod, SIDECAR)["restartCount"] for pod in ("gated", job_pod, "ungated")] == [0, 0, 0]
    assert world.get("pod", job_pod)["status"]["phase"] == "Pending"
    assert "failed" not in world.get("job", "once")["status"]

    fixed_at = SystemClock().now().mono
    world.aws.set_up_trust(namespace=world.namespace)
    wait_until(lambda: world.started("gated"), what="the application", seconds=FIXED_SECONDS)
    (exchanged_at,) = [one["at"] for one in world.aws.exchanges(good=True) if one["session_name"].endswith("-gated")]
    started_at = datetime.fromisoformat(world.status("gated", APPLICATION)["state"]["running"]["startedAt"]).timestamp()
    assert started_at >= int(exchanged_at), "Kubernetes has whole seconds"
    print(f"\nthe application started {SystemClock().now().mono - fixed_at:.1f} s after the trust policy was fixed")  # noqa: T201 - pytest -s shows it
    # The Job completes although its sidecar does not end by itself.
    world.cluster.wait("job/once", "condition=complete", namespace=world.namespace, seconds=FIXED_SECONDS)
    assert [pod for pod in job_pods(world) if pod != job_pod] == [], "no second try"
    identity = json.loads(world.cluster.kubectl("logs", "-n", world.namespace, job_pod, "-c", APPLICATION))
    assert ":assumed-role/KubernetesParameterStoreRole/" in identity["Arn"]
    wait_until(lambda: can_call(world, "ungated"), what="credentials without the gate", seconds=FIXED_SECONDS, every=2)
    assert [world.status(pod, SIDECAR)["restartCount"] for pod in ("gated", job_pod, "ungated")] == [0, 0, 0]


def job(pod: Json) -> Json:
    """Return a Job of the example's pod that makes one call, with backoffLimit 0."""
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


def test_a_killed_sidecar_serves_the_same_credentials_again_while_sts_is_down(world: World) -> None:
    ended = restarted_while_sts_is_down(world, lambda: os.kill(world.daemon(), signal.SIGKILL))
    assert (ended["reason"], ended["exitCode"]) == ("Error", 128 + signal.SIGKILL)


def test_a_sidecar_after_an_oom_kill_serves_the_same_credentials_again_while_sts_is_down(world: World) -> None:
    def refresh_with_too_little_memory() -> None:
        leave_memory(world, 8 << 20)  # an exchange needs five times as much
        os.kill(world.daemon(), signal.SIGHUP)

    ended = restarted_while_sts_is_down(world, refresh_with_too_little_memory)
    assert ended["reason"] == "OOMKilled"


def restarted_while_sts_is_down(world: World, end: Callable[[], None]) -> Json:
    """End the sidecar under load, check the application's calls, and return the sidecar's `terminated` state."""
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
    wait_until(lambda: None in {one["status"] for one in world.aws.exchanges()}, what="a failed exchange", seconds=30)
    back_at = ended_at + RESTART_SECONDS
    wait_until(lambda: len(good_new(world.calls(), back_at)) >= 3, what="calls after that", seconds=60)

    found = world.calls()
    failed = [call for call in found if call.error]
    good = [call.at for call in good_new(found)]
    pause = max(after - before for before, after in itertools.pairwise(good))
    print(f"\n{len(found)} calls, {len(failed)} failed; the longest pause between two successful calls {pause:.1f} s")  # noqa: T201 - pytest -s shows it
    assert pause < RESTART_SECONDS
    assert {call.loop for call in failed} <= {"new"}, "a client with cached credentials has no error"
    assert all(ended_at < call.at < back_at for call in failed), failed
    assert len({call.key for call in found if not call.error}) == 1
    assert len(world.aws.exchanges(good=True)) == 1
    assert restarts_and_started(world) == (1, True)
    ended: Json = world.status("aws-test", SIDECAR)["lastState"]["terminated"]
    return ended


def restarts_and_started(world: World) -> tuple[int, bool]:
    """Return the sidecar's restart count, and whether its startupProbe has passed after the last restart."""
    status = world.status("aws-test", SIDECAR)
    return status["restartCount"], status["started"]


def good_new(found: list[Call], since: float = 0) -> list[Call]:
    return [call for call in found if call.loop == "new" and not call.error and call.at > since]


def leave_memory(world: World, size: int) -> None:
    """Set the container's memory limit to the memory that cannot be reclaimed plus `size`: a limit that is too low."""
    folder = world.cluster.pod_cgroup(world.get("pod", "aws-test")["metadata"]["uid"], SIDECAR)[-1]
    unified = (folder / "memory.max").exists()
    used = int((folder / ("memory.current" if unified else "memory.usage_in_bytes")).read_text())
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    cache = int(stat["inactive_file"]) + int(stat["active_file"])
    (folder / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(used - cache + size))


def test_a_rollout_of_a_deployment_fails_no_call(world: World, tmp_path: Path) -> None:
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


@pytest.mark.rule("SDK 24")
def test_a_pod_has_credentials_until_its_last_process_ends(world: World, tmp_path: Path) -> None:
    pod = world.pod(world.aws.set_up_trust(namespace=world.namespace))
    hook_seconds, drain_seconds = 6, 3
    hook = ["timeout", "--preserve-status", str(hook_seconds), *command("hook")]
    application_of(pod)["command"] = command(drain_seconds=drain_seconds)
    # The output of a hook is discarded, so the hook writes to the log of the container.
    application_of(pod)["lifecycle"] = {
        "preStop": {"exec": {"command": ["sh", "-c", 'exec "$0" "$@" > /proc/1/fd/1', *hook]}}
    }
    apply(world.cluster, pod)
    world.cluster.wait("pod/aws-test", "condition=Ready", namespace=world.namespace)
    with FollowedLog(world.cluster, world.namespace, "aws-test", tmp_path / "log") as log:
        log.await_calls()
        deleted_at = SystemClock().now().wall
        world.cluster.kubectl("delete", "pod", "aws-test", "-n", world.namespace, "--wait=false")
        # Complete: each process ended by itself, so none was killed after the grace period.
        found = whole(log.to_the_end(seconds=60), ("application", "hook"))
    assert [call for call in found if call.error] == []
    for label, loop in itertools.product(("application", "hook"), ("kept", "new")):
        last = max(call.at for call in found if (call.label, call.loop) == (label, loop)) - deleted_at
        print(f"\n{label}, {loop}: the last call {last:.1f} s after the pod was deleted")  # noqa: T201 - pytest -s shows it
        # SIGTERM comes after the hook; one second for the interval of the calls.
        assert last > hook_seconds + (drain_seconds if label == "application" else 0) - 1
