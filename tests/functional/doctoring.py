"""Runs the doctor from the command line, and reads its JSON."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from examples.local.loopback import LoopbackHandler, LoopbackServer
from examples.local.world import World
from sidecar import cli

__all__ = ("DoctorSetup", "Fault", "Report", "failing_sts")


@dataclass(frozen=True, slots=True)
class Report:
    """The report of the doctor.

    Attributes:
        status: the exit code.
        checks: {name: check}, as in the JSON.
        text: the whole output.
    """

    status: int
    checks: dict[str, dict[str, Any]]
    text: str

    def causes(self, *states: str) -> dict[str, list[str]]:
        """Return {check: names of its causes} of the checks with one of these statuses, by default the broken ones."""
        wanted = states or ("broken",)
        return {
            name: [cause["name"] for cause in check["causes"]]
            for name, check in self.checks.items()
            if check["status"] in wanted
        }

    def fix(self, check: str) -> str:
        """Return the first fix that a check names."""
        return str(self.checks[check]["causes"][0]["fix"])


@dataclass(slots=True)
class DoctorSetup:
    """A pod's surroundings, healthy until a test makes them ill.

    Attributes:
        world: the cluster's issuer, and AWS.
        environment: of the doctor's process.
        token_file: the projected token.
        flags: more of the command line.
        secrets: what may be in no report.
    """

    world: World
    environment: dict[str, str]
    token_file: Path
    patch: pytest.MonkeyPatch
    flags: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def project(self, token: str) -> None:
        """Put a token into the file."""
        self.token_file.write_text(token)
        self.secrets.append(token)

    def mint(self, **changes: Any) -> None:  # noqa: ANN401 - of Issuer.mint
        """Put a new token of the tutorial's pod into the file; `changes` are of `Issuer.mint`."""
        self.project(self.world.issuer.mint(**changes))

    def run(self, *flags: str, rights: bool = False) -> Report:
        """Return the report of the doctor; with `rights` it has the credentials of an administrator."""
        aws = self.world.aws
        # boto3 reads the environment of the process, not the one that the command gets.
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            self.patch.delenv(name, raising=False)
        self.patch.setenv("AWS_ENDPOINT_URL_IAM", aws.url)
        self.patch.setenv("AWS_ENDPOINT_URL_STS", aws.url)
        self.patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        self.patch.setenv("HOME", "/nonexistent")
        if rights:
            self.patch.setenv("AWS_ACCESS_KEY_ID", aws.admin.access_key_id)
            self.patch.setenv("AWS_SECRET_ACCESS_KEY", aws.admin.secret_access_key)
        out = io.StringIO()
        with redirect_stdout(out):
            status = cli.main(["doctor", "--json", *self._redirections(), *self.flags, *flags], self.environment)
        return self._report(status, out.getvalue())

    def run_in_process(self, *flags: str) -> Report:
        """Return the report of a doctor in its own process, whose environment, which boto3 reads, is `environment`."""
        command = [sys.executable, "-m", "sidecar", "doctor", "--json", *self._redirections(), *self.flags, *flags]
        inherited = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE") if name in os.environ}
        environment = {"HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"} | inherited | self.environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        return self._report(done.returncode, done.stdout)

    def _redirections(self) -> list[str]:
        pairs = self.world.aws.connect_to.items()
        to = [f"{host}:{port}:{address}:{at}" for (host, port), (address, at) in pairs]
        return [part for target in to for part in ("--connect-to", target)]

    def _report(self, status: int, text: str) -> Report:
        aws = self.world.aws
        hidden = [*self.secrets, aws.admin.secret_access_key]
        hidden += [part for keys in aws.issued() for part in (keys.secret_access_key, keys.session_token)]
        assert not [secret for secret in hidden if secret and secret in text]
        document = json.loads(text)
        assert document["exit_code"] == status
        statuses = {check["status"] for check in document["checks"]}
        assert (status == 0) == ("broken" not in statuses) or (status == 8 and "unknown" in statuses)
        return Report(status, {check["name"]: check for check in document["checks"]}, text)


@contextmanager
def failing_sts(code: str, status: int) -> Iterator[str]:
    """Run an STS that answers every request with one error code; the value is its URL."""
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>".encode()

    class Handler(LoopbackHandler):
        def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.reply(status, {"Content-Type": "text/xml"}, body)

        do_GET = do_POST  # noqa: N815 - as above

    server = LoopbackServer(Handler)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.close()


Fault = Callable[[DoctorSetup], None]
"""Sets up one fault."""
