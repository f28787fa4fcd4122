"""Real daemons against a local world, as the sections of the measurement start and look at them."""

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

from examples.local.process import PATIENCE_SECONDS, Sidecar
from examples.local.world import World
from tests.quota.cgroup import ControlGroup, control_group

__all__ = (
    "Bench", "Context", "Crowd", "connections_of", "cores", "group", "memory_of", "no_group", "on_core", "settle",
    "until_served",
)  # fmt: skip

_ROOT = Path(__file__).parent.parent.parent
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Context:
    """How a section measures.

    Attributes:
        rounds: how often each thing is measured; the rounds of what is compared are interleaved.
        quick: whether to trade certainty for time.
        folder: temporary.
        tell: takes a line about the progress.
        python: the interpreter that everything is started with.
    """

    rounds: int
    quick: bool
    folder: Path
    tell: Callable[[str], None]
    python: str = sys.executable

    @property
    def slow_rounds(self) -> int:
        """How often what takes seconds is measured."""
        return 1 if self.quick else min(self.rounds, 3)


def cores() -> tuple[int, int]:
    """Return the core of what is measured and that of what measures it; one and the same where there is but one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Have what the calling thread starts in the block, threads and processes, run on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def no_group() -> str:
    """Return why no control group can be made here, "" where one can."""
    writable = all(os.access(folder, os.W_OK) for folder in (_CGROUPS, *_CGROUPS.glob("cpu"), *_CGROUPS.glob("memory")))
    return "" if os.geteuid() == 0 and writable else "not measured: needs root and a writable /sys/fs/cgroup"


@contextlib.contextmanager
def group(name: str, cpus: float | None = None) -> Iterator[ControlGroup]:
    """Make a control group for a block, with a quota of so many CPUs; only where ``no_group`` says nothing."""
    with control_group(f"aws-oidc-sidecar-bench-{name}") as made:
        if cpus is not None:
            made.limit(cpus)
        yield made


def memory_of(pid: int) -> tuple[int, int]:
    """Return RSS and PSS of a process in bytes.

    PSS has of each page that processes share the part of one of them: it is lower while others run the same program.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return kilobytes["Rss"] * 1_024, kilobytes["Pss"] * 1_024


def settle(sidecar: Sidecar) -> None:
    """Wait until nothing is going on any more: no child, no connection, no file being written."""
    while sidecar.children() or connections_of(sidecar):
        sidecar.wait(0.05)
    # The files take a moment more; nothing tells of their end.
    time.sleep(0.3)


def connections_of(sidecar: Sidecar) -> int:
    """Return how many connections its endpoint has by the kernel's account; its own metric may be a second old."""
    # Local address, remote address and state (Linux, Documentation/networking/proc_net_tcp): 01 is ESTABLISHED, 08
    # CLOSE_WAIT, which the peer has closed and the daemon has not.
    rows = (line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(int(local.rpartition(":")[2], 16) == sidecar.port and state in {"01", "08"} for local, _, state in rows)


def until_served(sidecar: Sidecar) -> None:
    """Ask until there are credentials.

    A request waits in a daemon that never held any for up to 0.4 s, so the answer comes when the set does, and asking
    on costs next to nothing.

    Raises:
        TimeoutError: there are none.
    """
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while sidecar.get().status != 200:
        if time.perf_counter() > deadline:
            raise TimeoutError(f"no credentials:\n{''.join(sidecar.raw)}")


def _runtime(python: str, folder: Path) -> str:
    """Make an environment with what the image has and nothing else; return its interpreter.

    structlog imports rich where it finds it, which the tests' own environment has: 6 MB and 40 ms that no pod pays.
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
    """Starts daemons against one local world, each with a runtime directory of its own.

    Args:
        world: has the tutorial's trust from now on.
        context: says where the directories are.

    Attributes:
        python: an interpreter that finds what the image has and nothing else.
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
        """Have a local world for a block; gives its bench, and the path of a token that a kubelet keeps."""
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
        """Have a kubelet keep a token for a block; gives its path."""
        folder = self.folder()
        with self.world.kubelet(folder) as kubelet:
            yield kubelet.path
        shutil.rmtree(folder)

    @contextlib.contextmanager
    def daemon(
        self, token: Path, *, profiles: int = 1, port: int = 0, inside: ControlGroup | None = None
    ) -> Iterator[Sidecar]:
        """Run a daemon for a block, on the core of what is measured; it has just been started when the block begins.

        Args:
            token: the token file.
            profiles: how many; the first is ``default``, and all have the same role.
            port: of the endpoint; 0 takes a free one.
            inside: where it runs.
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


class Crowd:
    """Clients in a process of their own, on the core of what measures; from ``__enter__`` to ``__exit__``.

    Their work is then no part of what is measured, and their interpreter's lock not that of the local world.

    Args:
        python: its interpreter.
    """

    def __init__(self, python: str) -> None:
        self._command = (python, "-m", "tests.bench.crowd")

    def __enter__(self) -> Self:
        """Start the process; its clients come with its one order."""
        with on_core(cores()[1]):
            self._process = subprocess.Popen(
                self._command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        # Imports are over when it says so: what is asked for begins at once.
        self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Have the connections closed and the process end."""
        self._process.communicate()

    def ask(self, sidecar: Sidecar, *, connections: int, requests: int, in_flight: int) -> dict[str, Any]:
        """Ask on kept connections in turn, so many at a time; the connections stay open.

        Returns:
            ``statuses``: how many answers had each; ``seconds``: for all; ``p50`` and ``p99``: seconds of a request.

        Raises:
            RuntimeError: a connection ended, an answer did not come, or it was another than 200.
        """
        result = self._order(sidecar, connections=connections, requests=requests, in_flight=in_flight)
        if result["statuses"] != {"200": requests}:
            raise RuntimeError(f"asked {requests} times and got {result['statuses']}")
        return result

    def arrive(self, sidecar: Sidecar, count: int) -> dict[str, Any]:
        """Have so many clients begin at once, and each ask until it has credentials, with the pauses of an SDK.

        Returns:
            ``served``: how many have them; ``keys``: the different sets that they got; ``refused``: how often one
            was closed or answered by what status instead; ``seconds``: until the last was served.

        Raises:
            RuntimeError: some never got any, or so many descriptors may not be open.
        """
        return self._order(sidecar, newcomers=count)

    def _order(self, sidecar: Sidecar, **what: int) -> dict[str, Any]:
        order = {"port": sidecar.port, "token": sidecar.auth_token} | what
        stdin = cast("IO[str]", self._process.stdin)
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(cast("IO[str]", self._process.stdout).readline() or "{}")
        if not answer:
            raise RuntimeError("the crowd failed; why is on standard error")
        return answer
