"""An issuer that AWS cannot reach, a web server that serves its documents, and the command that writes them."""

import argparse
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from examples.local.issuer import Issuer
from examples.local.loopback import LoopbackHandler, LoopbackServer
from examples.local.pki import Authority, server_context
from examples.local.world import READ_ONLY_POLICY, ROLE, World, trust_policy
from sidecar.commands.publish_issuer import add_options, run
from sidecar.errors import CommandError
from tests.helpers.clock import FakeClock
from tests.local.calls import web_identity

URL = "https://published.test"
TOKEN = "the-token-of-this-pod"
SUBJECT = "system:serviceaccount:default:aws-parameter-reader"
AUDIENCE = "sts.amazonaws.com"


class StaticServer:
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
    def serving(self) -> Iterator["StaticServer"]:
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
class PublishSetup:
    """A cluster whose issuer is published elsewhere, and AWS, which reaches only the published documents.

    Attributes:
        world: the AWS.
        cluster: the API server; it denies each request without the token.
        site: the web server.
        files: a directory with the pod's `token` and `ca.crt`.
        clock: the clock of the command.
        url: the issuer.
    """

    world: World
    cluster: Issuer
    site: StaticServer
    files: Path
    clock: FakeClock
    url: str

    @property
    def directory(self) -> Path:
        return self.site.directory / urlsplit(self.url).path.strip("/")

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
        """Run the command with these arguments only; an error is printed as ``cli`` prints it."""
        parser = argparse.ArgumentParser()
        add_options(parser)
        out, err = io.StringIO(), io.StringIO()
        try:
            code = run(parser.parse_args(arguments), environment, out, err, self.clock)
        except CommandError as error:
            return Done(error.exit_code, out.getvalue(), f"{err.getvalue()}aws-oidc-sidecar: {error}\n")
        return Done(code, out.getvalue(), err.getvalue())

    def publish(self, *arguments: str) -> Done:
        """Publish as a pod of the cluster does."""
        to = ["--issuer", self.url, "--to", str(self.directory)]
        return self.command(*to, *self.source, *arguments, **self.environment)

    def check(self, *arguments: str) -> Done:
        """Compare what the web server serves with the cluster."""
        what = ["--issuer", self.url, "--check", *self.connect_to]
        return self.command(*what, *self.source, *arguments, **self.environment)

    def trust(self) -> None:
        """Have IAM trust the published issuer, by the web server's CA."""
        iam = self.world.admin_client("iam")
        arn = f"arn:aws:iam::{self.world.aws.account_id}:oidc-provider/{self.url.removeprefix('https://')}"
        iam.create_open_id_connect_provider(
            Url=self.url, ClientIDList=[AUDIENCE], ThumbprintList=[self.site.authority.thumbprint]
        )
        policy = json.dumps(trust_policy(arn, audience=AUDIENCE, subject=SUBJECT))
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=policy)
        iam.attach_role_policy(RoleName=ROLE, PolicyArn=READ_ONLY_POLICY)

    def exchange(self, token: str) -> str:
        """Return "" if AWS accepts the token, otherwise its error code."""
        answer = web_identity(self.world, token)
        return "" if answer.status == 200 else answer.code

    def kubectl_get(self, path: Path) -> list[str]:
        """Write the output of `kubectl get --raw` for both documents; return the options with these files."""
        discovery, keys = path / "discovery.json", path / "keys.json"
        discovery.write_bytes(self.cluster._discovery())
        keys.write_bytes(self.cluster._jwks())
        return ["--from-discovery", str(discovery), "--from-keys", str(keys)]


@contextmanager
def setup(world: World, tmp_path: Path, url: str = URL) -> Iterator[PublishSetup]:
    """Start the cluster and the web server; AWS reaches only the web server."""
    files = tmp_path / "serviceaccount"
    files.mkdir()
    site = StaticServer(tmp_path / "site")
    cluster = Issuer(url, clock=world.clock, addresses=["127.0.0.1"])
    with cluster, site.serving():
        cluster._path = ""  # an API server has its documents at the root for any issuer
        cluster.bearer = TOKEN
        (files / "token").write_text(TOKEN)
        (files / "ca.crt").write_text(cluster.ca_pem)
        world.aws.connect_to["published.test", 443] = site.address
        yield PublishSetup(world, cluster, site, files, FakeClock(), url)
