"""The tutorial on a real Kubernetes, step by step: ``make demo-cluster``.

It starts the cluster if it does not run, applies ``examples/pod.yaml``, and runs the tutorial's last steps with the
unmodified AWS CLI in that pod, against a strict AWS that trusts this cluster's API server. The cluster keeps running.
``CLUSTER_NAME`` selects the cluster; ``main`` by default.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack

from examples.local.transcript import StepFailed, Transcript
from examples.local.world import ROLE
from sidecar import __version__
from tests.cluster.application import SIDECAR_IMAGE, application_archive, sidecar_archive
from tests.cluster.aws import LocalAws
from tests.cluster.boot import up
from tests.cluster.cluster import Cluster
from tests.cluster.system import Unfit
from tests.cluster.tutorial import ACCOUNT, APPLICATION, SIDECAR, Json, apply, example, with_aws

__all__ = ("main",)

NAME = os.environ.get("CLUSTER_NAME", "main")
NAMESPACE, POD, OTHER = "default", "aws-test", "other-account"
PARAMETER = "/demo/demo/image-id"
PRINT_KEY = "import boto3; print(boto3.Session().get_credentials().access_key)"
READY_SECONDS, REFRESH_SECONDS, DENIAL_SECONDS = 60, 25, 60


class Demo:
    """One run of the demo.

    Args:
        transcript: prints the steps and checks.
        cluster: the cluster.
        aws: the AWS that exchanges the cluster's tokens.
    """

    def __init__(self, transcript: Transcript, cluster: Cluster, aws: LocalAws) -> None:
        self.transcript, self.cluster, self.aws = transcript, cluster, aws
        self.value = f"ami-{secrets.token_hex(8)}"

    def trust(self) -> str:
        """Do the tutorial's steps outside of the namespace; return the role's ARN."""
        self.transcript.step("Once for each cluster: allow AWS to read the issuer's keys; create a provider and a role")
        binding = [
            "clusterrolebinding",
            "allow-anon-openid",
            "--clusterrole=system:service-account-issuer-discovery",
            "--group=system:unauthenticated",
        ]
        self.transcript.say(f"$ kubectl create {' '.join(binding)}")
        # Applied, because the binding already exists when the demo runs again.
        self.cluster.apply(self.cluster.kubectl("create", *binding, "--dry-run=client", "-o", "yaml"))
        arn = self.aws.set_up_trust(role=ROLE, namespace=NAMESPACE, service_account=ACCOUNT)
        self.aws.put_parameter(PARAMETER, self.value)
        self.transcript.say(f"provider  {self.aws.about['provider_arn']}")
        self.transcript.say(f"role      {arn}")
        self.transcript.say(f"trust     aud=sts.amazonaws.com and sub=system:serviceaccount:{NAMESPACE}:{ACCOUNT}")
        self.transcript.say(f"parameter {PARAMETER} = {self.value} (a random value of this run)")
        return arn

    def start(self, role_arn: str) -> None:
        """Apply the example, and wait until the application runs."""
        self.transcript.step("In the namespace: create the example's ServiceAccount and pod")
        self._remove(f"pod/{POD}", f"pod/{OTHER}", f"serviceaccount/{OTHER}")
        account, pod = example(NAMESPACE)
        self.transcript.say("$ kubectl apply -f examples/pod.yaml   (with this machine's images, role and AWS)")
        apply(self.cluster, account, with_aws(pod, self.aws, role_arn, sidecar_image=f"{SIDECAR_IMAGE}:{__version__}"))
        began = self.transcript.seconds
        try:
            self.cluster.wait(f"pod/{POD}", "condition=Ready", namespace=NAMESPACE, seconds=READY_SECONDS)
        except TimeoutError:
            if not self.aws.exchanges(good=False):
                raise
            raise StepFailed(f"the pod got no credentials: {self._failure(POD)['fix']}") from None
        took = self.transcript.seconds - began
        exchanges = self.aws.exchanges()
        evidence = f"{took:.1f} s after it was applied; exchanges at STS: {len(exchanges)}"
        issued = [exchange["access_key_id"] for exchange in exchanges if exchange["access_key_id"]]
        self.transcript.check(
            "the pod is ready, and STS issued credentials once", holds=len(issued) == 1, evidence=evidence
        )
        names = {line.split("=")[0] for line in self.exec("env").splitlines()}
        keys = names & {"AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}
        evidence = ", ".join(sorted(name for name in names if name.startswith("AWS_")))
        self.transcript.check("the application's environment has no key and no role", holds=not keys, evidence=evidence)

    def application(self) -> None:
        """Run the unmodified AWS CLI in the pod."""
        self.transcript.step("Run the unmodified AWS CLI in the pod")
        self._cli("")

    def _cli(self, when: str) -> None:
        expected = f"arn:aws:sts::{self.aws.about['account_id']}:assumed-role/{ROLE}/{NAMESPACE}-{POD}"
        arn = json.loads(self.exec("aws", "sts", "get-caller-identity"))["Arn"]
        self.transcript.check(
            f"aws sts get-caller-identity returns the role{when}", holds=arn == expected, evidence=arn
        )
        got = json.loads(self.exec("aws", "ssm", "get-parameter", "--name", PARAMETER))
        value = got["Parameter"]["Value"]
        self.transcript.check(
            f"aws ssm get-parameter returns the value{when}", holds=value == self.value, evidence=value
        )

    def refresh(self) -> None:
        """Refresh the credentials by SIGHUP from the node, because the kubelet's rotation takes 48 minutes."""
        self.transcript.step("Refresh the credentials while the pod runs")
        before = self.exec("python3", "-c", PRINT_KEY).strip()
        uid = self.cluster.get("pod", POD, "-n", NAMESPACE)["metadata"]["uid"]
        processes = (self.cluster.pod_cgroup(uid, SIDECAR)[0] / "cgroup.procs").read_text().split()
        os.kill(min(map(int, processes)), signal.SIGHUP)
        self.transcript.say("SIGHUP sent to the daemon, from the node")
        self.transcript.until(
            "STS issues new credentials", lambda: len(self.aws.exchanges(good=True)) > 1, REFRESH_SECONDS
        )
        issued = self.aws.exchanges(good=True)[-1]["access_key_id"]
        took = self.transcript.until(
            "the application has the new credentials",
            lambda: self.exec("python3", "-c", PRINT_KEY).strip() == issued,
            10,
        )
        evidence = f"access key id {before}, then {issued}, {took:.1f} s after STS issued it"
        self.transcript.check("the application gets the new credentials", holds=before != issued, evidence=evidence)
        self._cli(" with the new credentials")

    def denial(self, role_arn: str) -> None:
        """Apply the same pod with a ServiceAccount that the role does not trust."""
        self.transcript.step("Create the same pod with another ServiceAccount")
        account, pod = example(NAMESPACE)
        account["metadata"]["name"] = pod["metadata"]["name"] = pod["spec"]["serviceAccountName"] = OTHER
        apply(self.cluster, account, with_aws(pod, self.aws, role_arn, sidecar_image=f"{SIDECAR_IMAGE}:{__version__}"))
        subject = f"system:serviceaccount:{NAMESPACE}:{OTHER}"

        def statuses_of(*, good: bool) -> list[object]:
            return [one["status"] for one in self.aws.exchanges(good=good) if one["sub"] == subject]

        self.transcript.until("STS denies its exchanges", lambda: len(statuses_of(good=False)) > 1, DENIAL_SECONDS)
        statuses = statuses_of(good=False)
        evidence = f"{len(statuses)} exchanges, HTTP status {statuses[-1]}"
        self.transcript.check(
            "STS denies each exchange of the pod", holds=not statuses_of(good=True), evidence=evidence
        )
        failed = self._failure(OTHER)
        self.transcript.check(
            "its log has the outcome access_denied and the fix",
            holds=failed["outcome"] == "access_denied",
            evidence=failed["fix"],
        )
        status = self.cluster.get("pod", OTHER, "-n", NAMESPACE)["status"]["containerStatuses"][0]
        waits = "waiting" in status["state"]
        self.transcript.check("its application does not start", holds=waits, evidence=json.dumps(status["state"]))
        self._remove(f"pod/{OTHER}", f"serviceaccount/{OTHER}")

    def exec(self, *command: str) -> str:
        """Run a command in the application's container; print it if it is the AWS CLI."""
        if command[0] == "aws":
            self.transcript.say(f"$ kubectl exec {POD} -c {APPLICATION} -- {' '.join(command)}")
        return self.cluster.exec(POD, APPLICATION, *command, namespace=NAMESPACE)

    def _failure(self, pod: str) -> Json:
        """Return the first exchange_failed line of a pod's daemon."""
        lines = self.cluster.kubectl("logs", pod, "-c", SIDECAR, "-n", NAMESPACE).splitlines()
        return next(line for line in map(json.loads, lines) if line["event"] == "exchange_failed")

    def _remove(self, *things: str) -> None:
        self.cluster.kubectl("delete", "-n", NAMESPACE, "--ignore-not-found", "--now", *things)


def main() -> int:
    """Run the demo; return 0, or 1 when a check failed, or the exit status of `Unfit`."""
    transcript = Transcript()
    failure = ""
    try:
        transcript.step("Start a Kubernetes cluster of one node, and load the sidecar's image")
        cluster = up(NAME)
        cluster.load(sidecar_archive(transcript.say), application_archive(transcript.say))
        with ExitStack() as stack:
            demo = Demo(transcript, cluster, stack.enter_context(LocalAws(cluster)))
            role_arn = demo.trust()
            demo.start(role_arn)
            demo.application()
            demo.refresh()
            demo.denial(role_arn)
    except Unfit as unfit:
        sys.stderr.write(f"{unfit}\n")
        return unfit.status
    except (StepFailed, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        failure = str(error)
    transcript.end(failure)
    if Cluster.running(NAME):
        sys.stdout.write(_next_commands())
    return 1 if failure else 0


def _next_commands() -> str:
    kubectl, end = 'make kubectl ARGS="{}"', "make cluster-down"
    if NAME != "main":
        kubectl, end = (
            f"python -m tests.cluster --name {NAME} kubectl {{}}",
            f"python -m tests.cluster --name {NAME} down",
        )
    logs = kubectl.format(f"logs {POD} -c {SIDECAR}")
    return f"\nThe cluster keeps running; its AWS has ended, so each exchange fails now.\nlogs: {logs}\nend:  {end}\n"


if __name__ == "__main__":
    sys.exit(main())
