"""The main job, step by step: from a projected token to boto3, against a strict AWS on this machine.

make demo                            runs all steps and prints a table of the checks
make demo ARGS=--keep                the same, then keeps running and prints commands to paste into another shell
make demo ARGS=--break=trust-policy  breaks one part, so that a check fails; also tampered-token and stale-credentials
"""

import argparse
import contextlib
import json
import os
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
from examples.local.process import COMMAND, Sidecar
from examples.local.shell import administrator_lines, application_lines
from examples.local.transcript import StepFailed, Transcript
from examples.local.world import World, trust_policy

__all__ = ("main",)

PARAMETER = "/demo/demo/image-id"
ROLE = "KubernetesParameterStoreRole"
BREAKS = ("trust-policy", "tampered-token", "stale-credentials")
# The local AWS issues credentials with a shorter lifetime than the daemon requests. The daemon ignores a rotation for
# a sixtieth of the lifetime after a success, so five minutes let the demo show two rotations within a minute.
LIFETIME_SECONDS = 300.0
# The daemon exchanges a rotated token within 10 s; the rest is for a busy machine.
ROTATION_TIMEOUT_SECONDS = 25.0


class Demo:
    """One run of the demo in its own world."""

    def __init__(self, out: Transcript, world: World, home: Path, broken: str) -> None:
        self.out, self.world, self.home, self.broken = out, world, home, broken
        self.value = f"ami-{secrets.token_hex(8)}"

    def trust(self) -> str:
        """Make the tutorial's resources in AWS; return the role's ARN."""
        self.out.step("AWS: create an OIDC provider, a role and its trust policy")
        arn = self.world.set_up_trust(role=ROLE)
        iam = self.world.admin_client("iam")
        (provider,) = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        if self.broken == "trust-policy":
            policy = trust_policy(
                provider["Arn"], audience="sts.amazonaws.com", subject="system:serviceaccount:default:other"
            )
            iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(policy))
        self.out.say(f"provider  {provider['Arn']}")
        self.out.say(f"role      {arn}")
        self.out.say("trust     aud=sts.amazonaws.com and sub=system:serviceaccount:default:aws-parameter-reader")
        self.world.admin_client("ssm").put_parameter(Name=PARAMETER, Value=self.value, Type="String")
        self.out.say(f"parameter {PARAMETER} = {self.value} (a random value of this run)")
        return arn

    def mount(self, kubelet: Kubelet) -> None:
        """Mount the projected token, as the kubelet does."""
        self.out.step("Kubernetes: mount a projected ServiceAccount token")
        if self.broken == "tampered-token":
            good = kubelet.path.read_text()
            head, payload, signature = good.split(".")
            # The first character: the last one of a base64url part holds bits that decoders ignore.
            flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
            kubelet.volume.swap(f"{head}.{payload}.{flipped}")
        link = kubelet.path.parent / "..data"
        self.out.say(f"token -> {kubelet.path.readlink()}, ..data -> {link.readlink()}")

    def start(self, arn: str, kubelet: Kubelet, stack: contextlib.ExitStack) -> Sidecar:
        """Start the daemon and wait for the first credentials."""
        self.out.step("Start the daemon")
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
        began = self.out.seconds
        sidecar = Sidecar(settings, self.home / "run", stale if self.broken == "stale-credentials" else COMMAND)
        stack.callback(sidecar.close)

        def ended() -> bool:
            return sidecar.count("credentials_refreshed") + sidecar.count("exchange_failed") > 0

        try:
            # The exchange's process has a low CPU priority, so it is slow on a busy machine.
            self.out.until("an exchange ends", ended, 20.0)
            self.out.until("the daemon has credentials", lambda: sidecar.count("credentials_refreshed") > 0, 5.0)
        except StepFailed:
            failed = [line for line in sidecar.lines if line["event"] == "exchange_failed"]
            cause = f"{failed[-1]['outcome']}; {failed[-1]['fix']}" if failed else "".join(sidecar.raw)
            raise StepFailed(f"the daemon got no credentials: {cause}") from None
        took = self.out.seconds - began
        ready = sidecar.admin("/readyz")
        evidence = f"credentials {took:.2f} s after its start, /readyz returns {ready.status}"
        self.out.check("the daemon is ready", holds=ready.status == 200, evidence=evidence)  # noqa: PLR2004 - HTTP OK
        return sidecar

    def application_environment(self, sidecar: Sidecar) -> dict[str, str]:
        """Return an application's environment: the sidecar's variables, no proxy for loopback, this AWS's URL."""
        # HOME is an empty directory: a profile of the user who runs this would win over the container's variables.
        proxy = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost,::1")
        aws = dict.fromkeys(("AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_STS"), self.world.aws.url)
        return sidecar.application | proxy | aws | {"HOME": str(self.home / "empty")}

    def run(self, *command: str, environment: dict[str, str]) -> str:
        """Run a command with these variables only, and return its standard output; `StepFailed` if it fails."""
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise StepFailed(f"{' '.join(command[1:])}: exit {done.returncode}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def applications(self, sidecar: Sidecar) -> None:
        """Run unmodified boto3 and the unmodified AWS CLI with the sidecar's credentials."""
        environment = self.application_environment(sidecar)
        expected = f"arn:aws:sts::{self.world.aws.account_id}:assumed-role/{ROLE}/default-aws-test"
        self.out.step("Run an unmodified boto3 program in another process with a minimal environment")
        script = str(EXAMPLES / "boto3" / "read_parameter.py")
        arn, value = self.run(sys.executable, "-I", script, PARAMETER, environment=environment).splitlines()
        self.out.check("boto3 get_caller_identity returns the role", holds=arn == expected, evidence=arn)
        self.out.check("boto3 get_parameter returns the value", holds=value == self.value, evidence=value)
        self.out.step("Run the unmodified AWS CLI")
        cli = (sys.executable, "-I", "-m", "awscli")
        arn = json.loads(self.run(*cli, "sts", "get-caller-identity", environment=environment))["Arn"]
        self.out.check("aws sts get-caller-identity returns the role", holds=arn == expected, evidence=arn)
        got = json.loads(self.run(*cli, "ssm", "get-parameter", "--name", PARAMETER, environment=environment))
        value = got["Parameter"]["Value"]
        self.out.check("aws ssm get-parameter returns the value", holds=value == self.value, evidence=value)

    def refresh(self, sidecar: Sidecar, kubelet: Kubelet, client: LongRunning) -> None:
        """Rotate the token, and check that a running client gets the refreshed credentials."""
        self.out.step("The kubelet rotates the token while a client runs")
        before = sidecar.get().json()["AccessKeyId"]
        self._rotate(sidecar, kubelet)
        took = self.out.until(
            "a rotated token refreshes the credentials",
            lambda: sidecar.count("credentials_refreshed") > 1,
            ROTATION_TIMEOUT_SECONDS,
        )
        after = sidecar.get().json()["AccessKeyId"]
        evidence = f"{'new' if before != after else 'unchanged'} access key id {took:.1f} s after the rotation"
        self.out.check("a rotated token refreshes the credentials", holds=before != after, evidence=evidence)
        self.out.until(
            "the running client signs with the new credentials",
            lambda: client.errors() != "" or client.signed_by[-1:] == [after],
            ROTATION_TIMEOUT_SECONDS,
        )
        self._check_client(client, "the running client uses the new credentials")

    def _rotate(self, sidecar: Sidecar, kubelet: Kubelet) -> None:
        """Rotate the token, when the daemon no longer ignores rotations because of its last success."""
        last = sidecar.wait_for("credentials_refreshed", sidecar.count("credentials_refreshed"))["ts"]
        quiet_until = last + LIFETIME_SECONDS / 60 + 0.5
        self.out.until("the daemon acts on a rotation", lambda: self.world.clock() >= quiet_until, 20.0)
        kubelet.rotate_now()
        self.out.say(
            "token rotated; the daemon waits 0 to 10 s, since a kubelet can rotate all tokens of a node at once"
        )

    def _check_client(self, client: LongRunning, claim: str) -> None:
        failed = client.errors()
        evidence = failed.strip()[-300:] or f"{len(client.signed_by)} calls so far, 0 errors"
        self.out.check(claim, holds=not failed, evidence=evidence)

    def outage(self, sidecar: Sidecar, kubelet: Kubelet, client: LongRunning) -> None:
        """Stop STS and start it again."""
        self.out.step("STS is down")
        self.world.aws.faults.set(FaultKind.DOWN)
        self._rotate(sidecar, kubelet)
        failed = sidecar.wait_for("exchange_failed")
        self.out.say(f"the daemon logs exchange_failed: outcome {failed['outcome']}; {failed['fix']}")
        calls = len(client.signed_by)
        self.out.until(
            "the client makes more calls", lambda: bool(client.errors()) or len(client.signed_by) > calls + 4, 10.0
        )
        self._check_client(client, "the running client works while STS is down")
        statuses = [answer.status for answer in (sidecar.get(), sidecar.admin("/readyz"), sidecar.admin("/livez"))]
        evidence = "HTTP status of credentials {}, /readyz {}, /livez {}".format(*statuses)
        self.out.check(
            "the daemon still serves the current credentials", holds=statuses == [200, 200, 200], evidence=evidence
        )
        self.out.step("STS is up again")
        self.world.aws.faults.clear()
        refreshed = sidecar.count("credentials_refreshed")
        took = self.out.until(
            "credentials are refreshed again", lambda: sidecar.count("credentials_refreshed") > refreshed, 25.0
        )
        self.out.record("the daemon refreshes the credentials by itself", f"{took:.1f} s after STS was up again")

    def rejections(self, arn: str, sidecar: Sidecar) -> None:
        """Check that this AWS and the endpoint reject wrong tokens."""
        self.out.step("Wrong tokens are rejected")
        other = self.world.issuer.mint(namespace="default", service_account="other")
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
            for claim, token, expected in (
                ("STS denies the token of another ServiceAccount", other, "AccessDenied"),
                ("STS rejects a tampered token", tampered, "InvalidIdentityToken"),
            ):
                try:
                    sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="demo", WebIdentityToken=token)
                    code, text = "no error", "STS issued credentials"
                except ClientError as error:
                    code, text = error.response["Error"]["Code"], error.response["Error"]["Message"]
                self.out.check(claim, holds=code == expected, evidence=f"{code}: {text}")
        status = sidecar.get(token="x" * 43).status
        evidence = f"HTTP status {status}"
        self.out.check("the endpoint rejects a wrong auth token", holds=status == 403, evidence=evidence)  # noqa: PLR2004 - HTTP Forbidden

    def stop(self, sidecar: Sidecar, client: LongRunning) -> None:
        """Stop the client, then the daemon."""
        self.out.step("Stop the client and the daemon")
        status, errors = client.stop()
        evidence = errors.strip()[-300:] or f"{len(client.signed_by)} calls, 0 errors"
        self.out.check("the running client had no error in this run", holds=status == 0, evidence=evidence)
        status, took = sidecar.terminate()
        evidence = f"exit status {status} after {took:.2f} s"
        self.out.check("SIGTERM stops the daemon", holds=status == 0, evidence=evidence)

    def keep(self, sidecar: Sidecar, arn: str) -> None:
        """Keep everything running until SIGINT or SIGTERM."""
        self.out.step("All parts keep running; paste these lines into other shells")
        application = application_lines(self.application_environment(sidecar), PARAMETER, sidecar)
        administrator = administrator_lines(self.world, arn, self.home / "aws-oidc-token" / "token")
        print("\n# as the application", *application, "\n# as the administrator of this AWS", *administrator, sep="\n")
        print(f"\nPress Ctrl-C to stop, or: kill {os.getpid()}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 0, or 1 when a check failed. The first failure ends the run."""
    parser = argparse.ArgumentParser(
        "python -m examples.local",
        description="Run the daemon and unmodified AWS clients against a local issuer, kubelet and strict AWS.",
    )
    parser.add_argument("--keep", action="store_true", help="keep running, and print commands for another shell")
    parser.add_argument("--break", dest="broken", choices=BREAKS, default="", help="break a part, so the run fails")
    given = parser.parse_args(arguments)
    out = Transcript()
    failure = ""
    try:
        with contextlib.ExitStack() as stack:
            _run(out, stack, broken=given.broken, keep=given.keep)
    except (StepFailed, TimeoutError) as error:
        failure = str(error)
    out.end(failure)
    return 1 if failure else 0


def _run(out: Transcript, stack: contextlib.ExitStack, *, broken: str, keep: bool) -> None:
    out.step("Start an issuer and a strict AWS on this machine")
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aws-oidc-sidecar-demo-")))
    for folder in ("empty", "aws-oidc-token", "run/state"):
        (home / folder).mkdir(parents=True)
    world = stack.enter_context(World())
    world.aws.max_lifetime_seconds = LIFETIME_SECONDS
    out.say(f"issuer {world.issuer.url}, AWS at {world.aws.url}")
    demo = Demo(out, world, home, broken)
    arn = demo.trust()
    kubelet = stack.enter_context(world.kubelet(home / "aws-oidc-token"))
    demo.mount(kubelet)
    sidecar = demo.start(arn, kubelet, stack)
    demo.applications(sidecar)
    client = LongRunning(PARAMETER, demo.application_environment(sidecar))
    stack.callback(client.process.kill)
    demo.refresh(sidecar, kubelet, client)
    demo.outage(sidecar, kubelet, client)
    demo.rejections(arn, sidecar)
    if keep:
        demo.keep(sidecar, arn)
    demo.stop(sidecar, client)
