"""A pod with a local API server, which runs ``bootstrap cluster``."""

import argparse
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.commands.bootstrap import add_options
from sidecar.commands.bootstrap_cluster import run
from tests.functional.api_server import HOST, ApiServer
from tests.helpers.clock import FakeClock

__all__ = ("Job", "Outcome", "job")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the command: its exit code, its output, and with ``--json`` the document."""

    code: int
    out: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - of any form
        return json.loads(self.out)

    def state(self, check: str) -> str:
        """Return the status of one check."""
        return str(self._check(check)["status"])

    def evidence(self, check: str) -> str:
        """Return the evidence of one check."""
        return str(self._check(check)["evidence"])

    @property
    def causes(self) -> dict[str, list[str]]:
        """{check: names of its causes} of the broken checks."""
        return {
            check["name"]: [cause["name"] for cause in check["causes"]]
            for check in self.json["checks"]
            if check["status"] == "broken"
        }

    def first_cause(self, check: str) -> Any:  # noqa: ANN401 - a cause of the JSON
        """Return the first cause that a check names."""
        return self._check(check)["causes"][0]

    def _check(self, name: str) -> Any:  # noqa: ANN401 - of the JSON
        return next(check for check in self.json["checks"] if check["name"] == name)


@dataclass(slots=True)
class Job:
    """A pod with an API server, and the command in it.

    Attributes:
        server: the API server.
        files: a directory with `token`, the projected one, and `api-token` and `ca.crt`, the ServiceAccount's.
        clock: that of the pod; a pause of the command advances it.
        between: called at each of its pauses.
        pauses: how often it paused.
        in_pod: whether the command knows an API server.
        redirections: more values of ``--connect-to``.
    """

    server: ApiServer
    files: Path
    clock: FakeClock
    between: Callable[[], None] = lambda: None
    pauses: int = 0
    in_pod: bool = True
    redirections: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        if not self.in_pod:
            return {}
        host, port = self.server.address
        return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}

    @property
    def arguments(self) -> list[str]:
        given = ["cluster", "--token-file", str(self.files / "token")]
        if self.in_pod:
            given += ["--api-token-file", str(self.files / "api-token"), "--api-ca-file", str(self.files / "ca.crt")]
        targets = self.server.connect_to | self.redirections
        to = [f"{host}:{port}:{address}:{at}" for (host, port), (address, at) in targets.items()]
        return given + [part for target in to for part in ("--connect-to", target)]

    @property
    def secrets(self) -> list[str]:
        return [(self.files / name).read_text() for name in ("token", "api-token") if (self.files / name).exists()]

    def project(self, **changes: Any) -> None:  # noqa: ANN401 - of Issuer.mint
        """Put a new token for AWS into its file."""
        (self.files / "token").write_text(self.server.mint(**changes))

    def run(self, *arguments: str, json: bool = True) -> Outcome:
        """Run the command, and check that its output contains no secrets."""
        parser = argparse.ArgumentParser()
        add_options(parser)
        out, err = io.StringIO(), io.StringIO()
        flags = [*self.arguments, *(["--json"] if json else []), *arguments]
        given = parser.parse_args(flags)
        code = run(given, self.environment, out, err, self.clock, self._pause)
        assert err.getvalue() == ""
        outcome = Outcome(code, out.getvalue())
        assert not [secret for secret in self.secrets if secret and secret in outcome.out]
        assert not json or outcome.json["exit_code"] == code
        return outcome

    def _pause(self, seconds: float) -> None:
        self.pauses += 1
        self.clock.advance(seconds)
        self.between()


@contextmanager
def job(tmp_path: Path, url: str = f"https://{HOST}") -> Iterator[Job]:
    """Run an API server; the job has the files and the environment of a pod."""
    clock = FakeClock()
    with ApiServer(url, clock=lambda: clock.wall) as server:
        made = Job(server, tmp_path, clock)
        (tmp_path / "ca.crt").write_text(server.ca_pem)
        (tmp_path / "api-token").write_text(server.token)
        made.project()
        yield made
