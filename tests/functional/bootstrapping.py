"""Runs ``bootstrap aws`` against the local world, and returns the state of IAM afterwards."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from examples.local.loopback import LoopbackHandler, LoopbackServer
from examples.local.wire import HttpRequest, HttpResponse
from examples.local.world import World
from sidecar import cli

Done = subprocess.CompletedProcess[str]

ROLE = "KubernetesParameterStoreRole"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"
COMMAND = (sys.executable, "-I", "-m", "sidecar", "bootstrap", "aws")
USUAL = ("--issuer", "https://issuer.test", "--role", ROLE, "--service-account", "default/aws-parameter-reader",
         "--policy-arn", READ_ONLY)  # fmt: skip
PROVIDER_ARN = "arn:aws:iam::123456789012:oidc-provider/issuer.test"
OWN_TAGS = {"managed-by": "aws-oidc-sidecar", "aws-oidc-sidecar/issuer": "issuer.test"}


def variables(world: World, **others: str) -> dict[str, str]:
    """Return the environment of an administrator's shell."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AWS_ACCESS_KEY_ID": world.aws.admin.access_key_id,
        "AWS_SECRET_ACCESS_KEY": world.aws.admin.secret_access_key,
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": world.aws.url,
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "*",
        **others,
    }


def connect_to(world: World) -> list[str]:
    """Return the --connect-to flags for the issuers."""
    return [
        part
        for (host, port), (address, at) in world.aws.connect_to.items()
        for part in ("--connect-to", f"{host}:{port}:{address}:{at}")
    ]


def bootstrap(world: World, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
    """Run the command to its end, in this process: importing boto3 takes longer than the whole command."""
    line = ["bootstrap", "aws", *arguments, *connect_to(world)]
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, variables(world, **(environment or {})), clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        status = cli.main(line)
    return Done(line, status, out.getvalue(), err.getvalue())


def good(done: Done) -> str:
    """Return the output of a successful run."""
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def stopped(done: Done, exit_code: int) -> str:
    """Return the error line of a run that stopped early."""
    assert done.returncode == exit_code, done.stderr + done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("aws-oidc-sidecar: ")
    return done.stderr


def iam_now(world: World) -> Any:  # noqa: ANN401 - for comparison
    """Return the state of IAM that the command can change, in a fixed order, without ids and dates."""
    iam = world.admin_client("iam")
    providers = {}
    for entry in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=entry["Arn"])
        providers[entry["Arn"]] = {
            "client_ids": sorted(found["ClientIDList"]),
            "thumbprints": found["ThumbprintList"],
            "tags": tags(found["Tags"]),
        }
    roles = {}
    for page in iam.get_paginator("list_roles").paginate():
        for entry_of_role in page["Roles"]:
            name = entry_of_role["RoleName"]
            role = iam.get_role(RoleName=name)["Role"]
            inline = {
                policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
            }
            attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
            roles[name] = {
                "arn": role["Arn"],
                "trust": role["AssumeRolePolicyDocument"],
                "description": role.get("Description", ""),
                "max_session_seconds": role["MaxSessionDuration"],
                "tags": tags(role.get("Tags", [])),
                "inline": inline,
                "attached": sorted(policy["PolicyArn"] for policy in attached),
            }
    return json.loads(json.dumps({"providers": providers, "roles": roles}, sort_keys=True))


def tags(listed: Any) -> dict[str, str]:  # noqa: ANN401 - of boto3
    """Return tags as a dictionary."""
    return {tag["Key"]: tag["Value"] for tag in listed}


def exchange(world: World, token: str, role: str = ROLE) -> str:
    """Return the ARN of the session that STS returns for a token, or the error code of STS."""
    sts = world.admin_client("sts")
    try:
        answer = sts.assume_role_with_web_identity(
            RoleArn=f"arn:aws:iam::123456789012:role/{role}", RoleSessionName="test", WebIdentityToken=token
        )
    except sts.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return str(answer["AssumedRoleUser"]["Arn"])


def run_script(world: World, script: str) -> None:
    """Run the script of ``--emit cli`` with the AWS CLI of this environment."""
    environment = variables(world)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["sh"], input=script, env=environment, capture_output=True, text=True, check=False, timeout=55
    )
    assert done.returncode == 0, done.stderr


def keys_that_may(world: World, statements: Sequence[Mapping[str, object]], name: str = "Limited") -> dict[str, str]:
    """Return the environment variables for a session of a new role with these permissions."""
    iam = world.admin_client("iam")
    root = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": root})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": [dict(one) for one in statements]})
    iam.put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=policy)
    answer = world.admin_client("sts").assume_role(RoleArn=arn, RoleSessionName="limited")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": answer["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": answer["SecretAccessKey"],
        "AWS_SESSION_TOKEN": answer["SessionToken"],
    }


class Line:
    """A connection to AWS with a fault at one of the calls.

    Args:
        world: the AWS behind it.
        at: number of the call with the fault, from 1; 0 for none.
        answered: whether AWS receives that call; its response is lost in both cases.
        once: whether later calls reach AWS; otherwise they fail as well.
        instead: a response for the client, instead of a closed connection.
        then: called at that call.
    """

    def __init__(
        self,
        world: World,
        at: int = 0,
        *,
        answered: bool = False,
        once: bool = False,
        instead: HttpResponse | None = None,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        self.calls: list[str] = []
        self.then = then
        self._world, self._at, self._answered, self._once, self._instead = world, at, answered, once, instead
        self._server = LoopbackServer(self._handler())

    def __enter__(self) -> Self:
        """Start the server."""
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the server."""
        self._server.close()

    @property
    def url(self) -> str:
        """URL for AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def _respond(self, request: HttpRequest) -> HttpResponse | None:
        self.calls.append(request.parameters()["Action"])
        number = len(self.calls)
        if not self._at or number < self._at or (self._once and number > self._at):
            return self._world.aws.respond(request)
        if number == self._at and self._answered:
            self._world.aws.respond(request)
        self.then()
        return self._instead

    def _handler(self) -> type[LoopbackHandler]:
        line = self

        class Handler(LoopbackHandler):
            def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = line._respond(HttpRequest(self.command, self.path, tuple(self.headers.items()), body))
                if answer is None:
                    self.drop()
                else:
                    self.reply(answer.status, answer.headers, answer.body)

        return Handler
