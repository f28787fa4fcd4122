"""An issuer that AWS cannot reach, a web server that serves its documents, and the command that writes them."""

import argparse
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.local.issuer import Issuer
from examples.local.loopback import LoopbackHandler, LoopbackServer
from examples.local.pki import Authority, server_context
from examples.local.world import READ_ONLY_POLICY, ROLE, World, trust_policy
from sidecar.publish_command import add_options, run
from tests.helpers.clock import FakeClock
from tests.local.calls import web_identity

URL = "https://published.test"
TOKEN = "the-token-of-this-pod"
SUBJECT = "system:serviceaccount:default:aws-parameter-reader"
AUDIENCE = "sts.amazonaws.com"


class Site:
    """A static web server for https://published.test, with a CA of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority("site CA")
        context = server_context(self.authority.issue(["published.test"]))
        self._server = LoopbackServer(self._handler(), tls=lambda: context)

    @property
    def address(self) -> tuple[str, int]:
        return self._server.address

    @contextmanager
    def serving(self) -> Iterator["Site"]:
        self._server.start()
        try:
            yield self
        finally:
            self._server.close()

    def _handler(self) -> type[LoopbackHandler]:
        site = self

        class Handler(LoopbackHandler):
            def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
                path = site.directory / self.path[1:]
                if path.is_file():
                    self.reply(200, {"Content-Type": "application/json"}, path.read_bytes())
                else:
                    self.reply(404, {}, b"")

        return Handler


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - of any form
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster whose issuer is published elsewhere, and AWS, which reaches only the published documents.

    Attributes:
        world: the AWS.
        cluster: the API server; it answers nobody without the token.
        site: the web server.
        files: a directory with the pod's `token` and `ca.crt`.
        clock: that of the command.
    """

    world: World
    cluster: Issuer
    site: Site
    files: Path
    clock: FakeClock

    @property
    def directory(self) -> Path:
        return self.site.directory

    @property
    def environment(self) -> dict[str, str]:
        host, port = self.cluster.connect_to["published.test", 443]
        return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}

    @property
    def source(self) -> list[str]:
        return ["--token-file", str(self.files / "token"), "--ca-file", str(self.files / "ca.crt")]

    @property
    def connect_to(self) -> list[str]:
        host, port = self.site.address
        return ["--connect-to", f"published.test:443:{host}:{port}"]

    def command(self, *arguments: str, **environment: str) -> Done:
        """Run the command with these arguments alone."""
        parser = argparse.ArgumentParser()
        add_options(parser)
        out, err = io.StringIO(), io.StringIO()
        code = run(parser.parse_args(arguments), environment, out, err, self.clock)
        return Done(code, out.getvalue(), err.getvalue())

    def publish(self, *arguments: str) -> Done:
        """Publish, as a pod of the cluster does."""
        to = ["--issuer", URL, "--to", str(self.directory)]
        return self.command(*to, *self.source, *arguments, **self.environment)

    def check(self, *arguments: str) -> Done:
        """Compare what the web server serves with the cluster."""
        what = ["--issuer", URL, "--check", *self.connect_to]
        return self.command(*what, *self.source, *arguments, **self.environment)

    def trust(self) -> None:
        """Have IAM trust the published issuer, by the web server's CA."""
        iam = self.world.admin_client("iam")
        arn = f"arn:aws:iam::{self.world.aws.account_id}:oidc-provider/published.test"
        iam.create_open_id_connect_provider(
            Url=URL, ClientIDList=[AUDIENCE], ThumbprintList=[self.site.authority.thumbprint]
        )
        policy = json.dumps(trust_policy(arn, audience=AUDIENCE, subject=SUBJECT))
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=policy)
        iam.attach_role_policy(RoleName=ROLE, PolicyArn=READ_ONLY_POLICY)

    def exchange(self, token: str) -> str:
        """Return "" where AWS takes the token, else its error code."""
        answer = web_identity(self.world, token)
        return "" if answer.status == 200 else answer.code

    def kubectl_get(self, path: Path) -> list[str]:
        """Write what `kubectl get --raw` shows of both documents; gives the options that name the files."""
        discovery, keys = path / "discovery.json", path / "keys.json"
        discovery.write_bytes(self.cluster._discovery())
        keys.write_bytes(self.cluster._jwks())
        return ["--from-discovery", str(discovery), "--from-keys", str(keys)]


@contextmanager
def stage(world: World, tmp_path: Path) -> Iterator[Stage]:
    """Set the stage; AWS reaches the web server alone."""
    files = tmp_path / "serviceaccount"
    files.mkdir()
    site = Site(tmp_path / "site")
    cluster = Issuer(URL, clock=world.clock, addresses=["127.0.0.1"])
    with cluster, site.serving():
        cluster.bearer = TOKEN
        (files / "token").write_text(TOKEN)
        (files / "ca.crt").write_text(cluster.ca_pem)
        world.aws.connect_to["published.test", 443] = site.address
        yield Stage(world, cluster, site, files, FakeClock())
