"""Real daemons with a local world, for the sections of the benchmark."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from examples.local.process import TIMEOUT_SECONDS, Sidecar
from examples.local.world import World
from tests.quota.cgroup import ControlGroup, control_group

__all__ = (
    "Bench",
    "ClientProcess",
    "Context",
    "connections_of",
    "cores",
    "group",
    "memory_of",
    "no_group",
    "on_core",
    "settle",
    "until_served",
)  # fmt: skip

_ROOT = Path(__file__).parent.parent.parent
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Context:
    """The settings of a section.

    Attributes:
        rounds: the number of rounds; the rounds of compared figures are interleaved.
        quick: whether to use short rounds, with less precision.
        folder: a temporary directory.
        report: receives a line about the progress.
        python: the interpreter of the started programs.
    """

    rounds: int
    quick: bool
    folder: Path
    report: Callable[[str], None]
    python: str = sys.executable

    @property
    def slow_rounds(self) -> int:
        """The number of rounds of figures that take seconds."""
        return 1 if self.quick else min(self.rounds, 3)


def cores() -> tuple[int, int]:
    """Return the core of the measured program and the core of the clients; the same if there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run the calling thread, and the threads and processes that it starts in the block, on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def no_group() -> str:
    """Return the reason why no control group can be created, or "" if one can."""
    writable = all(os.access(folder, os.W_OK) for folder in (_CGROUPS, *_CGROUPS.glob("cpu"), *_CGROUPS.glob("memory")))
    return "" if os.geteuid() == 0 and writable else "not measured: needs root and a writable /sys/fs/cgroup"


@contextlib.contextmanager
def group(name: str, cpus: float | None = None) -> Iterator[ControlGroup]:
    """Create a control group for the block, with a quota of ``cpus`` CPUs; only if ``no_group`` returns ""."""
    with control_group(f"aws-oidc-sidecar-bench-{name}") as made:
        if cpus is not None:
            made.limit(cpus)
        yield made


def memory_of(pid: int) -> tuple[int, int]:
    """Return RSS and PSS of a process in bytes.

    PSS divides each shared page by the number of its processes: it is lower while others run the same program.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return kilobytes["Rss"] * 1_024, kilobytes["Pss"] * 1_024


def settle(sidecar: Sidecar) -> None:
    """Wait until the daemon is idle: no child, no connection, no file being written."""
    while sidecar.children() or connections_of(sidecar):
        sidecar.wait(0.05)
    # The files take a moment more, and no event reports their end.
    time.sleep(0.3)


def connections_of(sidecar: Sidecar) -> int:
    """Return the number of the endpoint's connections from the kernel; the daemon's metric may be a second old."""
    # Local address, remote address and state (Linux, Documentation/networking/proc_net_tcp): 01 is ESTABLISHED, 08
    # CLOSE_WAIT, which the peer has closed and the daemon has not.
    rows = (line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(int(local.rpartition(":")[2], 16) == sidecar.port and state in {"01", "08"} for local, _, state in rows)


def until_served(sidecar: Sidecar) -> None:
    """Send requests until the daemon serves credentials.

    A request before the first credentials waits in the daemon for up to 0.4 s, so the response comes with the
    credentials, and the repeated requests cost little.

    Raises:
        TimeoutError: the daemon served no credentials within the timeout.
    """
    deadline = time.perf_counter() + TIMEOUT_SECONDS
    while sidecar.get().status != 200:
        if time.perf_counter() > deadline:
            raise TimeoutError(f"no credentials:\n{''.join(sidecar.raw)}")


def _runtime(python: str, folder: Path) -> str:
    """Create an environment with exactly the image's packages; return its interpreter.

    structlog imports rich if it is installed, as it is in the tests' environment: 6 MB and 40 ms that a pod does not
    have.
    """
    subprocess.run((python, "-m", "venv", "--without-pip", str(folder)), check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "sidecar").symlink_to(_ROOT / "sidecar")
    lock = (_ROOT / "requirements" / "runtime.txt").read_text()
    for name in re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            (packages / top).symlink_to(Path(str(found.locate_file(top))))
    return str(folder / "bin" / "python")


class Bench:
    """Starts daemons with one local world, each with its own runtime directory.

    Args:
        world: the world; the tutorial's trust is set up in it.
        context: has the directory of all files.

    Attributes:
        python: an interpreter with exactly the image's packages.
    """

    def __init__(self, world: World, context: Context) -> None:
        self.world = world
        self.role_arn = world.set_up_trust()
        self._folder = context.folder
        self.python = _runtime(context.python, self.folder())
        self._command = (self.python, "-I", "-m", "sidecar", "run")

    @classmethod
    @contextlib.contextmanager
    def ready(cls, context: Context) -> Iterator[tuple["Bench", Path]]:
        """Run a local world for the block; yield its bench, and the path of a token file that a kubelet rotates."""
        with World() as world:
            world.reset()
            bench = cls(world, context)
            with bench.token() as token:
                yield bench, token

    def folder(self) -> Path:
        """Return a new directory."""
        return Path(tempfile.mkdtemp(dir=self._folder))

    @contextlib.contextmanager
    def token(self) -> Iterator[Path]:
        """Run a kubelet for the block; yield the path of its token file."""
        folder = self.folder()
        with self.world.kubelet(folder) as kubelet:
            yield kubelet.path
        shutil.rmtree(folder)

    @contextlib.contextmanager
    def daemon(
        self, token: Path, *, profiles: int = 1, port: int = 0, inside: ControlGroup | None = None
    ) -> Iterator[Sidecar]:
        """Run a daemon for the block, on the core of the measured program; does not wait until it listens.

        Args:
            token: the token file.
            profiles: the number of profiles; the first is ``default``, and all have the same role.
            port: the port of the endpoint; 0 for a free port.
            inside: the control group that it runs in.
        """
        runtime = self.folder()
        (runtime / "state").mkdir()
        variables = {
            "PATH": os.environ["PATH"],
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_REGION": self.world.aws.region,
            "AWS_ENDPOINT_URL_STS": self.world.aws.url,
            "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
            "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(runtime),
            "AWS_OIDC_SIDECAR_ENDPOINT_PORT": str(port),
            "AWS_OIDC_SIDECAR_ADMIN_ADDRESS": "127.0.0.1",
            "AWS_OIDC_SIDECAR_ADMIN_PORT": "0",
        }
        if profiles == 1:
            variables["AWS_ROLE_ARN"] = self.role_arn
        else:
            names = ["default", *(f"profile-{number}" for number in range(2, profiles + 1))]
            for name in names:
                (runtime / "profiles" / name).mkdir(parents=True)
            file = runtime / "profiles.conf"
            file.write_text("".join(f"[profile {name}]\nrole_arn = {self.role_arn}\n" for name in names))
            variables["AWS_OIDC_SIDECAR_PROFILES_FILE"] = str(file)
        with on_core(cores()[0]):
            sidecar = Sidecar(variables, runtime, self._command if inside is None else inside.command(self._command))
        try:
            yield sidecar
        finally:
            sidecar.close()
            shutil.rmtree(runtime)


class ClientProcess:
    """Clients in a separate process, on the core of the clients; from ``__enter__`` to ``__exit__``.

    Their CPU time is not part of the measured program, and they do not share the interpreter lock of the local world.

    Args:
        python: the interpreter of the process.
    """

    def __init__(self, python: str) -> None:
        self._command = (python, "-m", "tests.bench.clients")

    def __enter__(self) -> Self:
        """Start the process; its clients start with its one command."""
        with on_core(cores()[1]):
            self._process = subprocess.Popen(
                self._command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        # The process writes a line after its imports, so the command starts at once.
        self._result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections and end the process."""
        self._process.communicate()

    def send(self, sidecar: Sidecar, *, connections: int, requests: int, in_flight: int) -> dict[str, Any]:
        """Send requests on kept connections in turn, ``in_flight`` at a time; the connections stay open.

        Returns:
            ``statuses``: the number of responses of each; ``seconds``: for all; ``p50`` and ``p99``: seconds of a
            request.

        Raises:
            RuntimeError: a connection ended, a response did not come, or its status was not 200.
        """
        result = self._command_result(sidecar, connections=connections, requests=requests, in_flight=in_flight)
        if result["statuses"] != {"200": requests}:
            raise RuntimeError(f"sent {requests} requests and got the statuses {result['statuses']}")
        return result

    def arrive(self, sidecar: Sidecar, count: int) -> dict[str, Any]:
        """Start ``count`` clients at once; each sends requests until it has credentials, with the pauses of an SDK.

        Returns:
            ``served``: the number of clients that got credentials; ``keys``: the different access key ids; ``refused``:
            the number of other results, by status or "closed"; ``seconds``: until the last client was served.

        Raises:
            RuntimeError: a client got no credentials, or the limit of open files is too low.
        """
        return self._command_result(sidecar, new_clients=count)

    def _command_result(self, sidecar: Sidecar, **members: int) -> dict[str, Any]:
        command = {"port": sidecar.port, "token": sidecar.auth_token} | members
        stdin = cast("IO[str]", self._process.stdin)
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()
        return self._result()

    def _result(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(cast("IO[str]", self._process.stdout).readline() or "{}")
        if not result:
            raise RuntimeError("the client process failed; see standard error")
        return result
