"""The main job, told step by step: from a projected token to boto3, against a strict AWS on this machine.

make demo                            from nothing to the table of what was proven
make demo ARGS=--keep                the same, and leaves it running with the lines to paste elsewhere
make demo ARGS=--break=trust-policy  shows that it can fail; also tampered-token and stale-set
"""

import argparse
import contextlib
import json
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from examples.local.application import EXAMPLES, LongRunning
from examples.local.faults import FaultKind
from examples.local.kubelet import Kubelet
from examples.local.process import COMMAND, Answer, Sidecar
from examples.local.story import Story, StoryFailed
from examples.local.world import World, trust_policy

__all__ = ("main",)

PARAMETER = "/demo/demo/image-id"
ROLE = "KubernetesParameterStoreRole"
BREAKS = ("trust-policy", "tampered-token", "stale-set")
# The local AWS grants less than the daemon asks for. For a sixtieth of the life after a success a rotation is not
# acted on, so five minutes let the demo show two of them within a minute.
GRANT_SECONDS = 300.0
# A rotation is exchanged within 10 s; the rest is for a busy machine.
ROTATION_PATIENCE_SECONDS = 25.0


class Demo:
    """One run of the story in a world of its own."""

    def __init__(self, story: Story, world: World, home: Path, broken: str) -> None:
        self.story, self.world, self.home, self.broken = story, world, home, broken
        self.value = f"ami-{secrets.token_hex(8)}"

    def trust(self) -> str:
        """Do the tutorial's AWS half; return the role's ARN."""
        self.story.step("AWS: an OIDC provider, a role and its trust policy")
        arn = self.world.set_up_trust(role=ROLE)
        iam = self.world.admin_client("iam")
        (provider,) = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        if self.broken == "trust-policy":
            policy = trust_policy(
                provider["Arn"], audience="sts.amazonaws.com", subject="system:serviceaccount:default:somebody-else"
            )
            iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(policy))
        self.story.say(f"provider  {provider['Arn']}")
        self.story.say(f"role      {arn}")
        self.story.say(
            "trust     only aud=sts.amazonaws.com and sub=system:serviceaccount:default:aws-parameter-reader"
        )
        self.world.admin_client("ssm").put_parameter(Name=PARAMETER, Value=self.value, Type="String")
        self.story.say(f"parameter {PARAMETER} = {self.value} (made for this run)")
        return arn

    def mount(self, kubelet: Kubelet) -> None:
        """Mount the projected token, as the kubelet does."""
        self.story.step("Kubernetes: a projected ServiceAccount token is mounted")
        if self.broken == "tampered-token":
            good = kubelet.path.read_text()
            head, payload, signature = good.split(".")
            # The first character: the last one of a base64url part holds bits that no decoder looks at.
            flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
            kubelet.volume.swap(f"{head}.{payload}.{flipped}")
        link = kubelet.path.parent / "..data"
        self.story.say(f"token -> {kubelet.path.readlink()}, ..data -> {link.readlink()}")

    def start(self, arn: str, kubelet: Kubelet, stack: contextlib.ExitStack) -> Sidecar:
        """Start the daemon and wait for the first credentials."""
        self.story.step("The daemon starts beside the application")
        settings = {
            "AWS_ROLE_ARN": arn,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(kubelet.path),
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL_STS": self.world.aws.url,
            "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
            "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(self.home / "run"),
            "AWS_OIDC_SIDECAR_ENDPOINT_PORT": "0",
            "AWS_OIDC_SIDECAR_ADMIN_ADDRESS": "127.0.0.1",
            "AWS_OIDC_SIDECAR_ADMIN_PORT": "0",
        }
        stale = (sys.executable, "-m", "examples.local.stale_daemon", "run")
        began = self.story.seconds
        sidecar = Sidecar(settings, self.home / "run", stale if self.broken == "stale-set" else COMMAND)
        stack.callback(sidecar.close)

        def ended() -> bool:
            return sidecar.count("credentials_renewed") + sidecar.count("exchange_failed") > 0

        try:
            # The exchange's process gives way to everything else on a busy machine.
            self.story.until("an exchange ends", ended, 20.0)
            self.story.until("credentials are there", lambda: sidecar.count("credentials_renewed") > 0, 5.0)
        except StoryFailed:
            failed = [line for line in sidecar.lines if line["event"] == "exchange_failed"]
            why = f"{failed[-1]['class']}; {failed[-1]['next_step']}" if failed else "".join(sidecar.raw)
            raise StoryFailed(f"the daemon got no credentials: {why}") from None
        took = self.story.seconds - began
        ready = sidecar.admin("/readyz")
        evidence = f"{took:.2f} s from its start, /readyz {ready.status}"
        self.story.check("the daemon is ready", holds=ready.status == 200, evidence=evidence)  # noqa: PLR2004 - HTTP OK
        return sidecar

    def application_environment(self, sidecar: Sidecar) -> dict[str, str]:
        """Return all that an application gets: two container variables, the region, and where this AWS is."""
        # HOME is an empty directory: a profile of whoever runs this would win over the container's variables.
        return sidecar.application | {"AWS_ENDPOINT_URL": self.world.aws.url, "HOME": str(self.home / "empty")}

    def run(self, *command: str, environment: dict[str, str]) -> str:
        """Run a command in that environment alone and return what it printed."""
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise StoryFailed(f"{' '.join(command[1:])}: exit {done.returncode}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def applications(self, sidecar: Sidecar) -> None:
        """Have boto3 and the AWS CLI work as they are."""
        environment = self.application_environment(sidecar)
        expected = f"arn:aws:sts::{self.world.aws.account_id}:assumed-role/{ROLE}/default-aws-test"
        self.story.step("An unchanged boto3 program, in a process of its own with a scrubbed environment")
        script = str(EXAMPLES / "boto3" / "read_parameter.py")
        arn, value = self.run(sys.executable, "-I", script, PARAMETER, environment=environment).splitlines()
        self.story.check("boto3: sts get-caller-identity", holds=arn == expected, evidence=arn)
        self.story.check("boto3: ssm get-parameter", holds=value == self.value, evidence=value)
        self.story.step("The AWS CLI does the same")
        cli = (sys.executable, "-I", "-m", "awscli")
        arn = json.loads(self.run(*cli, "sts", "get-caller-identity", environment=environment))["Arn"]
        self.story.check("aws sts get-caller-identity", holds=arn == expected, evidence=arn)
        got = json.loads(self.run(*cli, "ssm", "get-parameter", "--name", PARAMETER, environment=environment))
        value = got["Parameter"]["Value"]
        self.story.check("aws ssm get-parameter", holds=value == self.value, evidence=value)

    def renewal(self, sidecar: Sidecar, kubelet: Kubelet, client: LongRunning) -> None:
        """Swap the token; have the credentials renewed under a client that never stops."""
        self.story.step("The kubelet swaps the token while a client is running")
        before = sidecar.get().json()["AccessKeyId"]
        self._swap(sidecar, kubelet)
        took = self.story.until(
            "a rotated token renews the credentials",
            lambda: sidecar.count("credentials_renewed") > 1,
            ROTATION_PATIENCE_SECONDS,
        )
        after = sidecar.get().json()["AccessKeyId"]
        evidence = f"{'another' if before != after else 'the same'} access key {took:.1f} s after the swap"
        self.story.check("a rotated token renews the credentials", holds=before != after, evidence=evidence)
        self.story.until(
            "the running client signs with the new set",
            lambda: client.errors() != "" or client.signed_by[-1:] == [after],
            ROTATION_PATIENCE_SECONDS,
        )
        self._unharmed(client, "the running client changed over without an error")

    def _swap(self, sidecar: Sidecar, kubelet: Kubelet) -> None:
        """Swap the token, once a swap is not too soon after the last success to be acted on."""
        last = sidecar.wait_for("credentials_renewed", sidecar.count("credentials_renewed"))["ts"]
        quiet_until = last + GRANT_SECONDS / 60 + 0.5
        self.story.until("the time to swap comes", lambda: self.world.clock() >= quiet_until, 20.0)
        kubelet.rotate_now()
        self.story.say(
            "swapped; the daemon waits 0 to 10 s on purpose, since a kubelet can rotate a whole node at once"
        )

    def _unharmed(self, client: LongRunning, claim: str) -> None:
        failed = client.errors()
        evidence = failed.strip()[-300:] or f"{len(client.signed_by)} calls so far"
        self.story.check(claim, holds=not failed, evidence=evidence)

    def outage(self, sidecar: Sidecar, kubelet: Kubelet, client: LongRunning) -> None:
        """Take STS away and give it back."""
        self.story.step("STS goes down")
        self.world.aws.faults.set(FaultKind.DOWN)
        self._swap(sidecar, kubelet)
        failed = sidecar.wait_for("exchange_failed")
        self.story.say(f"the daemon says: {failed['class']}; {failed['next_step']}")
        calls = len(client.signed_by)
        self.story.until("the client goes on", lambda: bool(client.errors()) or len(client.signed_by) > calls + 4, 10.0)
        self._unharmed(client, "the client works while STS is down")
        answers: list[Answer] = [sidecar.get(), sidecar.admin("/readyz"), sidecar.admin("/livez")]
        statuses = [answer.status for answer in answers]
        evidence = "credentials {}, /readyz {}, /livez {}".format(*statuses)
        self.story.check("the daemon keeps what it has", holds=statuses == [200, 200, 200], evidence=evidence)
        self.story.step("STS comes back")
        self.world.aws.faults.clear()
        renewed = sidecar.count("credentials_renewed")
        took = self.story.until(
            "credentials are renewed again", lambda: sidecar.count("credentials_renewed") > renewed, 25.0
        )
        self.story.prove("the daemon recovers by itself", f"renewed {took:.1f} s after STS was back")

    def refusals(self, arn: str, sidecar: Sidecar) -> None:
        """Show that this AWS, and the endpoint, can say no."""
        self.story.step("The same AWS says no to others")
        other = self.world.issuer.mint(namespace="default", service_account="somebody-else")
        mine = self.world.issuer.mint(namespace="default", service_account="aws-parameter-reader")
        head, payload, signature = mine.split(".")
        tampered = f"{head}.{payload}.{('A' if signature[0] != 'A' else 'B') + signature[1:]}"
        sts = boto3.client(
            "sts",
            endpoint_url=self.world.aws.url,
            region_name="eu-central-1",
            config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
        )
        with contextlib.closing(sts):
            for who, token, expected in (
                ("another ServiceAccount", other, "AccessDenied"),
                ("a tampered token", tampered, "InvalidIdentityToken"),
            ):
                try:
                    sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="demo", WebIdentityToken=token)
                    code, text = "none", "credentials were granted"
                except ClientError as error:
                    code, text = error.response["Error"]["Code"], error.response["Error"]["Message"]
                self.story.check(f"{who} is refused", holds=code == expected, evidence=f"{code}: {text}")
        status = sidecar.get(token="x" * 43).status
        evidence = f"status {status}"
        self.story.check("the endpoint refuses a wrong auth token", holds=status == 403, evidence=evidence)  # noqa: PLR2004 - HTTP Forbidden

    def stop(self, sidecar: Sidecar, client: LongRunning) -> None:
        """End the client, then the daemon."""
        self.story.step("The pod ends")
        status, errors = client.stop()
        evidence = errors.strip()[-300:] or f"{len(client.signed_by)} calls, 0 errors"
        self.story.check("the long-running client never failed", holds=status == 0, evidence=evidence)
        status, took = sidecar.terminate()
        evidence = f"exit {status} after {took:.2f} s"
        self.story.check("SIGTERM ends the daemon", holds=status == 0, evidence=evidence)

    def keep(self, sidecar: Sidecar) -> None:
        """Leave everything running until interrupted."""
        self.story.step("Left running; paste this into another shell")
        lines = [f"export {name}={value}" for name, value in self.application_environment(sidecar).items()]
        lines += [
            f"{sys.executable} -m awscli sts get-caller-identity",
            f"{sys.executable} -m awscli ssm get-parameter --name {PARAMETER}",
            f"curl http://127.0.0.1:{sidecar.admin_port}/metrics",
        ]
        print("\n" + "\n".join(lines) + "\n\nCtrl-C ends it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell the story; return 0, or 1 with the first failure."""
    parser = argparse.ArgumentParser("python -m examples.local", description="The main job on this machine.")
    parser.add_argument("--keep", action="store_true", help="leave it running, with the lines to paste elsewhere")
    parser.add_argument("--break", dest="broken", choices=BREAKS, default="", help="break a part, to see it noticed")
    given = parser.parse_args(arguments)
    story = Story()
    failure = ""
    try:
        with contextlib.ExitStack() as stack:
            _tell(story, stack, broken=given.broken, keep=given.keep)
    except (StoryFailed, TimeoutError) as error:
        failure = str(error)
    story.end(failure)
    return 1 if failure else 0


def _tell(story: Story, stack: contextlib.ExitStack, *, broken: str, keep: bool) -> None:
    story.step("An issuer, a kubelet and a strict AWS start on this machine")
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aws-oidc-sidecar-demo-")))
    (home / "empty").mkdir()
    (home / "aws-oidc-token").mkdir()
    (home / "run" / "state").mkdir(parents=True)
    world = stack.enter_context(World())
    world.aws.grant_seconds = GRANT_SECONDS
    story.say(f"issuer {world.issuer.url}, AWS at {world.aws.url}")
    demo = Demo(story, world, home, broken)
    arn = demo.trust()
    kubelet = stack.enter_context(world.kubelet(home / "aws-oidc-token"))
    demo.mount(kubelet)
    sidecar = demo.start(arn, kubelet, stack)
    demo.applications(sidecar)
    client = LongRunning(PARAMETER, demo.application_environment(sidecar))
    stack.callback(client.process.kill)
    demo.renewal(sidecar, kubelet, client)
    demo.outage(sidecar, kubelet, client)
    demo.refusals(arn, sidecar)
    if keep:
        demo.keep(sidecar)
    demo.stop(sidecar, client)
