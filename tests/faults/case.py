"""One daemon in one local world, with all actions of the tests."""

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples.local.kubelet import Kubelet, Misbehaviour
from examples.local.process import COMMAND, TIMEOUT_SECONDS, Sidecar
from examples.local.world import ROLE, World
from tests.faults import audit
from tests.faults.processes import ProcessWatch, core_limit
from tests.faults.relay import Relay
from tests.faults.watch import CLOCK, Addresses, Promise, Watch, ask

__all__ = ("Case",)

_HERE = Path(__file__).parent
# The shell sets the working directory and the limit of open files, then executes the command in the same process.
_IN_DIRECTORY = ("/bin/sh", "-c", 'cd "$1" && ulimit -n "$2" && shift 2 && exec "$@" >standard-output', "sh")


class Case:
    """A daemon that ``start`` starts, a `Watch` checks from then on, and ``close`` searches for secrets.

    Args:
        world: an empty World.
        directory: the directory of all files of the case.
        record_tokens: wraps the issuer's signing methods so that each token is recorded; returns the list of tokens.
    """

    def __init__(
        self, world: World, directory: Path, record_tokens: Callable[[World], list[str]] = lambda _: []
    ) -> None:
        self.world = world
        self.directory = directory
        self.runtime = directory / "run"
        self.state = self.runtime / "state"
        self.work = directory / "cwd"
        for made in (self.state, self.work, directory / "tmp", directory / "token"):
            made.mkdir(parents=True)
        self.tokens = record_tokens(world)
        self.role_arn = world.set_up_trust()
        self._stack = contextlib.ExitStack()
        self.kubelet: Kubelet = self._stack.enter_context(world.kubelet(directory / "token"))
        self.environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(directory / "tmp"),
            "AWS_ROLE_ARN": self.role_arn,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(self.kubelet.path),
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL_STS": world.aws.url,
            "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
            "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(self.runtime),
            "AWS_OIDC_SIDECAR_ENDPOINT_PORT": "0",
            "AWS_OIDC_SIDECAR_ADMIN_ADDRESS": "127.0.0.1",
            "AWS_OIDC_SIDECAR_ADMIN_PORT": "0",
            "AWS_OIDC_SIDECAR_LOG_LEVEL": "debug",
        }
        self.open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        """The limit of open files of the daemons that are started later."""
        self.switches: dict[str, str] = {}
        """The launcher's switches; without switches the daemon is started without the launcher."""
        self.sidecars: list[Sidecar] = []
        self.watches: list[Watch] = []
        self.processes: list[ProcessWatch] = []
        self.auth_tokens: set[str] = set()
        self._metrics: list[bytes] = []
        self.relay: Relay
        self._mark = 0
        self._began_at = CLOCK.now().wall

    # --- the parts ---

    @property
    def sidecar(self) -> Sidecar:
        """The daemon that runs now."""
        return self.sidecars[-1]

    @property
    def watch(self) -> Watch:
        """The watch of the daemon that runs now."""
        return self.watches[-1]

    @property
    def children(self) -> ProcessWatch:
        """The watch of the children of the daemon that runs now."""
        return self.processes[-1]

    @property
    def clock_file(self) -> Path:
        """The file of the switch ``clock``: the seconds that are added to the daemon's wall clock."""
        return self.directory / "clock"

    def step_clock(self, seconds: float) -> None:
        """Set the daemon's wall clock to the real time plus this number of seconds."""
        staged = self.clock_file.with_suffix(".new")
        staged.write_text(str(seconds))
        staged.rename(self.clock_file)

    def clock_offset(self) -> float:
        """Return the seconds that are added to the daemon's wall clock."""
        return float(self.clock_file.read_text()) if self.clock_file.exists() else 0.0

    def switch(self, name: str) -> Path:
        """Make the launcher use a switch; return the switch's file, which does not exist yet: the switch is off."""
        self.switches[name] = str(self.directory / name)
        return self.directory / name

    def use_stub_worker(self) -> Path:
        """Start the worker through the stub; return the stub's mode file, which has "real"."""
        mode, script = self.directory / "worker-mode", self.directory / "worker"
        mode.write_text("real")
        script.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -I "{_HERE}/stub_worker.py" "{mode}" "{sys.executable}" "$@"\n'
        )
        script.chmod(0o755)
        self.switches["worker"] = str(script)
        return mode

    def use_relay(self, *, tls: bool = False, proxy: bool = False) -> Relay:
        """Connect the worker to AWS through a relay, or over TLS through a proxy."""
        url = self.world.aws.tls_url if tls else self.world.aws.url
        self.relay = relay = Relay(int(url.rsplit(":", 1)[1]), proxy=proxy)
        self._stack.callback(relay.close)
        if proxy:
            self.environment["HTTPS_PROXY"] = f"http://127.0.0.1:{relay.port}"
        else:
            self.environment["AWS_ENDPOINT_URL_STS"] = f"http://127.0.0.1:{relay.port}"
        return relay

    def use_tls(self) -> Path:
        """Connect the worker to AWS over TLS; return the CA bundle that it reads."""
        bundle = self.directory / "ca.pem"
        bundle.write_text(self.world.aws.ca_pem)
        self.environment |= {"AWS_ENDPOINT_URL_STS": self.world.aws.tls_url, "AWS_CA_BUNDLE": str(bundle)}
        return bundle

    # --- actions on the daemon ---

    def launch(self) -> Sidecar:
        """Start the daemon, and watch its children from the first; does not wait until the daemon listens."""
        command = COMMAND
        if self.switches:
            command = (sys.executable, "-I", str(_HERE / "launcher.py"), json.dumps(self.switches), "run")
        self.mark()
        limit = "unlimited" if self.open_files == resource.RLIM_INFINITY else str(self.open_files)
        sidecar = Sidecar(self.environment, self.runtime, (*_IN_DIRECTORY, str(self.work), limit, *command))
        self.sidecars.append(sidecar)
        self.processes.append(ProcessWatch(sidecar.process.pid))
        return sidecar

    def start(self, promise: Promise | None = None) -> None:
        """Start the daemon and the watch; returns when the daemon listens."""
        self.launch()
        self.follow(promise)

    def follow(self, promise: Promise | None = None) -> None:
        """Start the watch; returns when the daemon listens."""
        self.auth_tokens.add(self.sidecar.auth_token)
        self.watches.append(Watch(self.addresses, self.world.aws.issued, promise, self.clock_offset))

    @property
    def addresses(self) -> Addresses:
        """The addresses of the daemon that runs now."""
        sidecar = self.sidecar
        file = sidecar.profile_directory / "credentials.json"
        return Addresses(sidecar.port, sidecar.admin_port, sidecar.auth_token, sidecar.process.pid, file)

    def start_with_credentials(self) -> str:
        """Start the daemon, and return the access key id of the first credentials that it serves."""
        self.start()
        return self.watch.until(lambda sample: sample.status == 200, "the first credentials").key

    def settle(self) -> None:
        """Wait until the served credentials are in the state volume: a thread writes them some milliseconds later.

        Raises:
            TimeoutError: they are not there within 5 s.
        """
        file, key = self.state / "default.json", self.sidecar.get().json()["AccessKeyId"]
        for _ in range(500):
            if file.is_file() and key.encode() in file.read_bytes():
                return
            self.sidecar.wait(0.01)
        raise TimeoutError(f"the served credentials are not in {file}")

    def kill(self) -> Promise | None:
        """End the daemon by SIGKILL; return the credentials that it served last."""
        self.watch.close()
        self.children.close()
        self.sidecar.kill()
        return self.watch.promise

    def refresh(self) -> None:
        """Start an exchange by SIGHUP."""
        self.sidecar.process.send_signal(signal.SIGHUP)

    # --- log lines ---

    def mark(self) -> None:
        """Make ``wait_for_line`` ignore the lines so far."""
        self._mark = len(self.sidecar.lines) if self.sidecars and self.sidecar.process.poll() is None else 0

    def wait_for_line(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for the first line since ``mark`` of this event and with these fields, and return it.

        Raises:
            TimeoutError: the line did not come.
        """
        sidecar = self.sidecar

        def found() -> dict[str, Any] | None:
            for line in sidecar.lines[self._mark :]:
                if line["event"] == event and all(line.get(name) == value for name, value in fields.items()):
                    return line
            return None

        with sidecar._news:
            line = sidecar._news.wait_for(found, TIMEOUT_SECONDS)
        if line is None:
            raise TimeoutError(f"no {event} {fields} in:\n{''.join(sidecar.raw)}")
        return line

    # --- actions on the world ---

    def put_token(self, content: bytes) -> None:
        """Write this into the token file by the kubelet's swap; it stays until the kubelet heals."""
        self.hold_token()
        self.kubelet.volume.swap(content)

    def hold_token(self) -> None:
        """Stop the kubelet's rotation until it heals."""
        self.kubelet.misbehave(Misbehaviour.STALE)

    def deny(self) -> None:
        """Make the role's trust policy name another ServiceAccount."""
        self.world.set_up_trust(service_account="other")

    @property
    def role(self) -> str:
        """The role's name."""
        return ROLE

    # --- the end ---

    def close(self) -> None:
        """End all parts, and fail if a response violated an invariant or a secret was disclosed."""
        core = self._collect_last() if self.sidecars else "0"
        for watch in self.watches:
            watch.close()
        for children in self.processes:
            children.close()
        for sidecar in self.sidecars:
            sidecar.close()
        self._stack.close()
        for watch in self.watches:
            watch.check()
        assert core == "0", "I3: the daemon may write a core file"
        assert all(not children.core_limits - {"0"} for children in self.processes), "I3: a child may write a core file"
        leaks = self.leaks()
        assert not leaks, "\n".join(leaks)

    def _collect_last(self) -> str:
        """Save the last responses of the admin port; return the limit of the daemon's core file."""
        sidecar = self.sidecar
        if sidecar.process.poll() is not None or not sidecar.count("started"):
            return "0"
        self._metrics += [ask(sidecar.admin_port, path).body for path in ("/metrics", "/startupz")]
        try:
            return core_limit(sidecar.process.pid)
        except OSError:
            return "0"  # the daemon has ended meanwhile

    def leaks(self) -> list[str]:
        """Return a line for each secret in a place where it must not be."""
        secrets = audit.secrets_of(self.tokens, self.world.aws.issued(), self.auth_tokens)
        places = {
            "standard error": ["".join(sidecar.raw).encode() for sidecar in self.sidecars],
            "/metrics or /startupz": self._metrics,
            "a response without credentials": {body for watch in self.watches for body in tuple(watch.bodies)},
            "a command line or environment": {text for children in self.processes for text in tuple(children.shown)},
            **audit.new_files([self.work, self.directory / "tmp"], 0.0, deep=True),
            **audit.new_files([Path(tempfile.gettempdir())], self._began_at, deep=False),
        }
        leaks = audit.find(secrets, places)
        for path in self.runtime.rglob("*"):
            of_application = path.parent.parent == self.runtime / "profiles"
            if path.is_file() and not (of_application and path.name in {"auth-token", "credentials.json"}):
                mode = path.stat().st_mode & 0o777
                if path.parent != self.state or mode != 0o600:
                    leaks += audit.find(secrets, {f"{path.name} with mode {mode:o}": [path.read_bytes()]})
        return leaks
