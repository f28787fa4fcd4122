"""One daemon in one local world, with everything that a test does to them in one place."""

import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples.local.kubelet import Kubelet, Misbehaviour
from examples.local.process import COMMAND, PATIENCE_SECONDS, Sidecar
from examples.local.world import ROLE, World
from tests.faults import audit
from tests.faults.processes import ProcessWatch, core_limit
from tests.faults.relay import Relay
from tests.faults.watch import CLOCK, Addresses, Promise, Watch, ask

__all__ = ("Case",)

_HERE = Path(__file__).parent
# The command is run in a directory of its own, by the same process.
_IN_DIRECTORY = ("/bin/sh", "-c", 'cd "$1" && shift && exec "$@" >standard-output', "sh")


class Case:
    """A daemon that is started by ``start``, watched from then on, and audited by ``close``.

    Args:
        world: empty.
        directory: for all files of the case.
        record_tokens: replaces the issuer's signing with one that also keeps each token.
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
        self.switches: dict[str, str] = {}
        """For the launcher; none starts the daemon as it ships."""
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
        """What asks the daemon that runs now."""
        return self.watches[-1]

    @property
    def children(self) -> ProcessWatch:
        """What looks at the children of the daemon that runs now."""
        return self.processes[-1]

    @property
    def clock_file(self) -> Path:
        """Holds by how many seconds the daemon's wall clock is wrong, with the switch ``clock``."""
        return self.directory / "clock"

    def step_clock(self, seconds: float) -> None:
        """Have the daemon's wall clock wrong by so much, in one step."""
        staged = self.clock_file.with_suffix(".new")
        staged.write_text(str(seconds))
        staged.rename(self.clock_file)

    def clock_offset(self) -> float:
        """Return by how many seconds the daemon's wall clock is wrong."""
        return float(self.clock_file.read_text()) if self.clock_file.exists() else 0.0

    def switch(self, name: str) -> Path:
        """Have the launcher obey a switch; return its file, which is off: not there."""
        self.switches[name] = str(self.directory / name)
        return self.directory / name

    def use_stub_worker(self) -> Path:
        """Have the worker started by the stub; return the file that holds its mode, which is "real" now."""
        mode, script = self.directory / "worker-mode", self.directory / "worker"
        mode.write_text("real")
        script.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -I "{_HERE}/stub_worker.py" "{mode}" "{sys.executable}" "$@"\n'
        )
        script.chmod(0o755)
        self.switches["worker"] = str(script)
        return mode

    def use_relay(self, *, tls: bool = False, proxy: bool = False) -> Relay:
        """Have the worker reach AWS by a relay, or by TLS through a proxy."""
        url = self.world.aws.tls_url if tls else self.world.aws.url
        self.relay = relay = Relay(int(url.rsplit(":", 1)[1]), proxy=proxy)
        self._stack.callback(relay.close)
        if proxy:
            self.environment["HTTPS_PROXY"] = f"http://127.0.0.1:{relay.port}"
        else:
            self.environment["AWS_ENDPOINT_URL_STS"] = f"http://127.0.0.1:{relay.port}"
        return relay

    def use_tls(self) -> Path:
        """Have the worker reach AWS by TLS; return the CA bundle that it reads, a copy of the right one."""
        bundle = self.directory / "ca.pem"
        bundle.write_text(self.world.aws.ca_pem)
        self.environment |= {"AWS_ENDPOINT_URL_STS": self.world.aws.tls_url, "AWS_CA_BUNDLE": str(bundle)}
        return bundle

    # --- what is done to the daemon ---

    def launch(self) -> Sidecar:
        """Start the daemon, and look at its children from the first on; does not wait until it listens."""
        command = COMMAND
        if self.switches:
            command = (sys.executable, "-I", str(_HERE / "launcher.py"), json.dumps(self.switches), "run")
        self.mark()
        sidecar = Sidecar(self.environment, self.runtime, (*_IN_DIRECTORY, str(self.work), *command))
        self.sidecars.append(sidecar)
        self.processes.append(ProcessWatch(sidecar.process.pid))
        return sidecar

    def start(self, promise: Promise | None = None) -> None:
        """Start the daemon and the watch; returns once it listens."""
        self.launch()
        self.follow(promise)

    def follow(self, promise: Promise | None = None) -> None:
        """Start the watch; returns once the daemon listens."""
        self.auth_tokens.add(self.sidecar.auth_token)
        self.watches.append(Watch(self.addresses, self.world.aws.issued, promise, self.clock_offset))

    @property
    def addresses(self) -> Addresses:
        """Of the daemon that runs now."""
        sidecar = self.sidecar
        file = sidecar.profile_directory / "credentials.json"
        return Addresses(sidecar.port, sidecar.admin_port, sidecar.auth_token, sidecar.process.pid, file)

    def start_with_set(self) -> str:
        """Start the daemon, and return the access key id of the first set that it serves."""
        self.start()
        return self.watch.until(lambda sample: sample.status == 200, "the first set").key

    def settle(self) -> None:
        """Wait until the set that is served is in the state volume: its thread writes some milliseconds later.

        Raises:
            TimeoutError: it does not get there.
        """
        file, key = self.state / "default.json", self.sidecar.get().json()["AccessKeyId"]
        for _ in range(500):
            if file.is_file() and key.encode() in file.read_bytes():
                return
            self.sidecar.wait(0.01)
        raise TimeoutError(f"the set is not in {file}")

    def kill(self) -> Promise | None:
        """End the daemon as the kernel does; return what it has served last."""
        self.watch.close()
        self.children.close()
        self.sidecar.kill()
        return self.watch.promise

    def renew(self) -> None:
        """Ask for an exchange now, as one does by hand."""
        self.sidecar.process.send_signal(signal.SIGHUP)

    # --- what it tells ---

    def mark(self) -> None:
        """Have ``told`` look at lines from now on only."""
        self._mark = len(self.sidecar.lines) if self.sidecars and self.sidecar.process.poll() is None else 0

    def told(self, event: str, **fields: object) -> dict[str, Any]:
        """Return the first line since ``mark`` of this event and with these fields, waiting for it.

        Raises:
            TimeoutError: it did not come.
        """
        sidecar = self.sidecar

        def found() -> dict[str, Any] | None:
            for line in sidecar.lines[self._mark :]:
                if line["event"] == event and all(line.get(name) == value for name, value in fields.items()):
                    return line
            return None

        with sidecar._news:
            line = sidecar._news.wait_for(found, PATIENCE_SECONDS)
        if line is None:
            raise TimeoutError(f"no {event} {fields} in:\n{''.join(sidecar.raw)}")
        return line

    # --- what is done to the world ---

    def put_token(self, content: bytes) -> None:
        """Have the token file hold this, by the kubelet's own swap, until the kubelet heals."""
        self.hold_token()
        self.kubelet.volume.swap(content)

    def hold_token(self) -> None:
        """Have the kubelet not rotate any more until it heals."""
        self.kubelet.misbehave(Misbehaviour.STALE)

    def deny(self) -> None:
        """Have the role's trust policy name another ServiceAccount."""
        self.world.set_up_trust(service_account="somebody-else")

    @property
    def role(self) -> str:
        """The role's name."""
        return ROLE

    # --- the end ---

    def close(self) -> None:
        """End everything, and fail where an answer broke an invariant or a secret got out."""
        core = self._last_look() if self.sidecars else "0"
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

    def _last_look(self) -> str:
        """Keep what the admin port tells at the end; return the limit of the daemon's core file."""
        sidecar = self.sidecar
        if sidecar.process.poll() is not None or not sidecar.count("started"):
            return "0"
        self._metrics += [ask(sidecar.admin_port, path).body for path in ("/metrics", "/startupz")]
        try:
            return core_limit(sidecar.process.pid)
        except OSError:
            return "0"  # it has ended since

    def leaks(self) -> list[str]:
        """Return a line for each secret in a place where it must not be."""
        secrets = audit.secrets_of(self.tokens, self.world.aws.issued(), self.auth_tokens)
        places = {
            "standard error": ["".join(sidecar.raw).encode() for sidecar in self.sidecars],
            "/metrics or /startupz": self._metrics,
            "an answer that is no set": {body for watch in self.watches for body in tuple(watch.bodies)},
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
