"""Runs ``bootstrap aws`` against the local world, and tells what is in IAM afterwards."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
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
    """Return the flags that lead to the issuers."""
    return [
        part
        for (host, port), (address, at) in world.aws.connect_to.items()
        for part in ("--connect-to", f"{host}:{port}:{address}:{at}")
    ]


def bootstrap(world: World, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
    """Run the command to its end, in this process: importing boto3 takes longer than all it does."""
    line = ["bootstrap", "aws", *arguments, *connect_to(world)]
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, variables(world, **(environment or {})), clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            status = cli.main(line)
        except SystemExit as end:  # of argparse
            status = int(end.code or 0)
    return Done(line, status, out.getvalue(), err.getvalue())


def good(done: Done) -> str:
    """Return what a run that went well printed."""
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def stopped(done: Done, exit_code: int) -> str:
    """Return the line that says why a run ended early."""
    assert done.returncode == exit_code, done.stderr + done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("aws-oidc-sidecar: ")
    return done.stderr


def iam_now(world: World) -> Any:  # noqa: ANN401 - for comparison
    """Return all of IAM that the command can change, in an order of its own; ids and dates are left out."""
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
    """Return the ARN of the session that STS gives for a token; the code of its refusal where it gives none."""
    sts = world.admin_client("sts")
    try:
        answer = sts.assume_role_with_web_identity(
            RoleArn=f"arn:aws:iam::123456789012:role/{role}", RoleSessionName="test", WebIdentityToken=token
        )
    except sts.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return str(answer["AssumedRoleUser"]["Arn"])


def keys_that_may(world: World, statements: Sequence[Mapping[str, object]], name: str = "Limited") -> dict[str, str]:
    """Return the variables of a session of a new role with these rights."""
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
    """The way to AWS, on which something happens at one of the calls.

    Args:
        world: where it leads.
        at: at which call, from 1; 0 for none.
        answered: whether AWS does what that call says; its answer is lost all the same.
        once: whether the calls after it go through; else they are cut as well.
        instead: what is answered, for it not to be cut.
        then: called at that moment.
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
        """Open it."""
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self._server.close()

    @property
    def url(self) -> str:
        """Where it begins."""
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
