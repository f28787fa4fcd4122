"""The tutorial on a real Kubernetes, told step by step: ``make demo-cluster``.

It starts the cluster where it is not up, applies ``examples/pod.yaml``, and has an unmodified AWS CLI in that pod do
the tutorial's last steps, against a strict AWS that trusts this cluster's API server. The cluster is left running.
``CLUSTER_NAME`` chooses it; ``main`` by default.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack

from examples.local.story import Story, StoryFailed
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
NAMESPACE, POD, OTHER = "default", "aws-test", "somebody-else"
PARAMETER = "/demo/demo/image-id"
HELD = "import boto3; print(boto3.Session().get_credentials().access_key)"
READY_SECONDS, RENEWAL_SECONDS, REFUSAL_SECONDS = 60, 25, 60


class Demo:
    """One run of the story.

    Args:
        story: tells it.
        cluster: where it plays.
        aws: what the cluster's tokens are exchanged at.
    """

    def __init__(self, story: Story, cluster: Cluster, aws: LocalAws) -> None:
        self.story, self.cluster, self.aws = story, cluster, aws
        self.value = f"ami-{secrets.token_hex(8)}"

    def trust(self) -> str:
        """Do the tutorial's steps outside of the namespace; return the role's ARN."""
        self.story.step("Once for each cluster: AWS may read the issuer's keys, and trusts one ServiceAccount")
        binding = [
            "clusterrolebinding",
            "allow-anon-openid",
            "--clusterrole=system:service-account-issuer-discovery",
            "--group=system:unauthenticated",
        ]
        self.story.say(f"$ kubectl create {' '.join(binding)}")
        # Applied, since it is there already when the story is told again.
        self.cluster.apply(self.cluster.kubectl("create", *binding, "--dry-run=client", "-o", "yaml"))
        arn = self.aws.set_up_trust(role=ROLE, namespace=NAMESPACE, service_account=ACCOUNT)
        self.aws.put_parameter(PARAMETER, self.value)
        self.story.say(f"provider  {self.aws.about['provider_arn']}")
        self.story.say(f"role      {arn}")
        self.story.say(f"trust     only aud=sts.amazonaws.com and sub=system:serviceaccount:{NAMESPACE}:{ACCOUNT}")
        self.story.say(f"parameter {PARAMETER} = {self.value} (made for this run)")
        return arn

    def start(self, role_arn: str) -> None:
        """Apply the example, and wait until the application runs."""
        self.story.step("In the namespace: the example's ServiceAccount and pod")
        self._remove(f"pod/{POD}", f"pod/{OTHER}", f"serviceaccount/{OTHER}")
        account, pod = example(NAMESPACE)
        self.story.say("$ kubectl apply -f examples/pod.yaml   (with this machine's images, role and AWS)")
        apply(self.cluster, account, with_aws(pod, self.aws, role_arn, sidecar_image=f"{SIDECAR_IMAGE}:{__version__}"))
        began = self.story.seconds
        try:
            self.cluster.wait(f"pod/{POD}", "condition=Ready", namespace=NAMESPACE, seconds=READY_SECONDS)
        except TimeoutError:
            if not self.aws.exchanges(good=False):
                raise
            raise StoryFailed(f"the pod got no credentials: {self._failure(POD)['next_step']}") from None
        took = self.story.seconds - began
        exchanges = self.aws.exchanges()
        evidence = f"{took:.1f} s after it was applied; exchanges at STS: {len(exchanges)}"
        held = [exchange["access_key_id"] for exchange in exchanges if exchange["access_key_id"]]
        self.story.check("the pod is ready, and AWS has granted one set", holds=len(held) == 1, evidence=evidence)
        names = {line.split("=")[0] for line in self.exec("env").splitlines()}
        keys = names & {"AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}
        evidence = ", ".join(sorted(name for name in names if name.startswith("AWS_")))
        self.story.check("the application has no key and no token of its own", holds=not keys, evidence=evidence)

    def application(self) -> None:
        """Have the AWS CLI work as it is."""
        self.story.step("The AWS CLI in the pod, as it is")
        self._cli("")

    def _cli(self, when: str) -> None:
        expected = f"arn:aws:sts::{self.aws.about['account_id']}:assumed-role/{ROLE}/{NAMESPACE}-{POD}"
        arn = json.loads(self.exec("aws", "sts", "get-caller-identity"))["Arn"]
        self.story.check(f"aws sts get-caller-identity{when}", holds=arn == expected, evidence=arn)
        got = json.loads(self.exec("aws", "ssm", "get-parameter", "--name", PARAMETER))
        value = got["Parameter"]["Value"]
        self.story.check(f"aws ssm get-parameter{when}", holds=value == self.value, evidence=value)

    def renewal(self) -> None:
        """Have the credentials renewed: SIGHUP from the node, since the kubelet's own rotation takes 48 minutes."""
        self.story.step("Credentials are renewed under the running pod")
        before = self.exec("python3", "-c", HELD).strip()
        uid = self.cluster.get("pod", POD, "-n", NAMESPACE)["metadata"]["uid"]
        processes = (self.cluster.pod_cgroup(uid, SIDECAR)[0] / "cgroup.procs").read_text().split()
        os.kill(min(map(int, processes)), signal.SIGHUP)
        self.story.say("SIGHUP to the daemon, from the node")
        self.story.until("AWS grants another set", lambda: len(self.aws.exchanges(good=True)) > 1, RENEWAL_SECONDS)
        granted = self.aws.exchanges(good=True)[-1]["access_key_id"]
        took = self.story.until(
            "the application has the new set", lambda: self.exec("python3", "-c", HELD).strip() == granted, 10
        )
        evidence = f"{before} became {granted}, {took:.1f} s after AWS granted it"
        self.story.check("the application gets the new set", holds=before != granted, evidence=evidence)
        self._cli(", with the new set")

    def refusal(self, role_arn: str) -> None:
        """Apply the same pod with a ServiceAccount that the role does not trust."""
        self.story.step("The same pod with another ServiceAccount")
        account, pod = example(NAMESPACE)
        account["metadata"]["name"] = pod["metadata"]["name"] = pod["spec"]["serviceAccountName"] = OTHER
        apply(self.cluster, account, with_aws(pod, self.aws, role_arn, sidecar_image=f"{SIDECAR_IMAGE}:{__version__}"))
        subject = f"system:serviceaccount:{NAMESPACE}:{OTHER}"

        def asked(*, good: bool) -> list[object]:
            return [one["status"] for one in self.aws.exchanges(good=good) if one["sub"] == subject]

        self.story.until("it is refused", lambda: len(asked(good=False)) > 1, REFUSAL_SECONDS)
        statuses = asked(good=False)
        evidence = f"{len(statuses)} exchanges, HTTP status {statuses[-1]}"
        self.story.check("AWS refuses it, and grants it nothing", holds=not asked(good=True), evidence=evidence)
        failed = self._failure(OTHER)
        self.story.check(
            "its log says why, and what next", holds=failed["class"] == "access_denied", evidence=failed["next_step"]
        )
        status = self.cluster.get("pod", OTHER, "-n", NAMESPACE)["status"]["containerStatuses"][0]
        waits = "waiting" in status["state"]
        self.story.check("its application is not started", holds=waits, evidence=json.dumps(status["state"]))
        self._remove(f"pod/{OTHER}", f"serviceaccount/{OTHER}")

    def exec(self, *command: str) -> str:
        """Run a command in the application's container, and say which."""
        if command[0] == "aws":
            self.story.say(f"$ kubectl exec {POD} -c {APPLICATION} -- {' '.join(command)}")
        return self.cluster.exec(POD, APPLICATION, *command, namespace=NAMESPACE)

    def _failure(self, pod: str) -> Json:
        """Return the line in which a pod's daemon tells of a failed exchange."""
        lines = self.cluster.kubectl("logs", pod, "-c", SIDECAR, "-n", NAMESPACE).splitlines()
        return next(line for line in map(json.loads, lines) if line["event"] == "exchange_failed")

    def _remove(self, *things: str) -> None:
        self.cluster.kubectl("delete", "-n", NAMESPACE, "--ignore-not-found", "--now", *things)


def main() -> int:
    """Tell the story; return 0, or 1 with the first failure, or 6 where rights are missing."""
    story = Story()
    failure = ""
    try:
        story.step("A real Kubernetes of one node, with the image that ships")
        cluster = up(NAME)
        cluster.load(sidecar_archive(story.say), application_archive(story.say))
        with ExitStack() as stack:
            demo = Demo(story, cluster, stack.enter_context(LocalAws(cluster)))
            role_arn = demo.trust()
            demo.start(role_arn)
            demo.application()
            demo.renewal()
            demo.refusal(role_arn)
    except Unfit as unfit:
        sys.stderr.write(f"{unfit}\n")
        return unfit.status
    except (StoryFailed, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        failure = str(error)
    story.end(failure)
    if Cluster.running(NAME):
        sys.stdout.write(_farewell())
    return 1 if failure else 0


def _farewell() -> str:
    kubectl, end = 'make kubectl ARGS="{}"', "make cluster-down"
    if NAME != "main":
        kubectl, end = (
            f"python -m tests.cluster --name {NAME} kubectl {{}}",
            f"python -m tests.cluster --name {NAME} down",
        )
    look = kubectl.format(f"logs {POD} -c {SIDECAR}")
    return f"\nThe cluster is left up; its AWS has ended, so nothing is renewed any more.\nlook: {look}\nend:  {end}\n"


if __name__ == "__main__":
    sys.exit(main())
