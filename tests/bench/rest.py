"""The CPU of an idle daemon, and the number of STS calls when many clients send requests at once."""

import resource
import time
from collections.abc import Iterator
from pathlib import Path

from examples.local.faults import FaultKind
from examples.local.volume import ProjectedVolume
from sidecar.limits import POLL_SECONDS
from tests.bench.daemons import Bench, ClientProcess, Context, settle, until_served
from tests.bench.rows import Bar, Row, Sample

__all__ = ("cpu_seconds", "measure", "voluntary_switches")

SECTION = "Rest"
_CLIENTS = (500, 2_000)
# The descriptors of the client process other than its connections: streams, the poll, and those of the interpreter.
_SPARE_DESCRIPTORS = 64
# The delay of STS: all clients have sent a request before the daemon has credentials.
_STS_SECONDS = 1.0
_SWITCHES_BESIDE_POLLS_IN_10_SECONDS = 3


def measure(context: Context) -> Iterator[Row]:
    """Yield the rows of this section.

    Raises:
        TimeoutError: a daemon did not start or refresh in time.
        RuntimeError: the clients did not get their responses.
    """
    with Bench.ready(context) as (bench, token):
        for count in _CLIENTS:
            context.report(f"{count} clients at once")
            yield _many_clients(context, bench, token, count)
        yield _from_swap_to_served(context, bench)
        yield from _idle(context, bench, token)


def _many_clients(context: Context, bench: Bench, token: Path, count: int) -> Row:
    what = f"STS calls for {count:,} clients that start at once, with a daemon that has no credentials yet"
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + _SPARE_DESCRIPTORS:
        return Row(SECTION, what, f"not measured: needs a hard limit of more than {count:,} open files")
    calls: list[int] = []
    seconds: list[float] = []
    refused = 0
    aws = bench.world.aws
    for _ in range(context.slow_rounds):
        before = len(aws.calls("AssumeRoleWithWebIdentity"))
        aws.faults.set(FaultKind.SLOW, seconds=_STS_SECONDS)
        with ClientProcess(context.python) as clients, bench.daemon(token) as sidecar:
            arrived = clients.arrive(sidecar, count)
            settle(sidecar)
        aws.faults.clear()
        if arrived["served"] != count or len(arrived["keys"]) != 1:
            raise RuntimeError(
                f"{arrived['served']} of {count} clients got {len(arrived['keys'])} different credentials"
            )
        calls.append(len(aws.calls("AssumeRoleWithWebIdentity")) - before)
        seconds.append(arrived["seconds"])
        refused += sum(arrived["refused"].values())
    return Row(
        SECTION,
        what,
        f"{max(calls)}, the maximum of {len(calls)} rounds",
        f"all served after {Sample(seconds, 's')}; {refused / len(calls):,.0f} requests were too early and repeated",
        ratio=max(calls) / count,
        bar=Bar("1 call", max(calls) == 1),
        limit="one exchange at a time for a profile; the rest of the time is the pause of SDKs, 1 s",
    )


def _from_swap_to_served(context: Context, bench: Bench) -> Row:
    what = "from the ..data swap to the first served credentials"
    delays: list[float] = []
    exchanges: list[float] = []
    for number in range(context.rounds):
        context.report(f"from the swap to credentials, round {number + 1}")
        volume = ProjectedVolume(bench.folder(), clock=bench.world.clock)
        volume.swap("")
        with bench.daemon(volume.path) as sidecar:
            sidecar.wait_for("token_unusable")
            if sidecar.count("inotify_unavailable"):
                return Row(SECTION, what, "not measured: there is no inotify here")
            token = bench.world.issuer.mint()
            began = time.perf_counter()
            volume.swap(token)
            until_served(sidecar)
            delays.append((time.perf_counter() - began) * 1e3)
            exchanges.append(sidecar.wait_for("credentials_refreshed")["seconds"] * 1e3)
    return Row(
        SECTION,
        what,
        str(Sample(delays, "ms")),
        f"the exchange alone: {Sample(exchanges, 'ms')}",
        limit="the worker's import of boto3; inotify reports the swap within a millisecond",
    )


def _idle(context: Context, bench: Bench, token: Path) -> Iterator[Row]:
    seconds = 10 if context.quick else 60
    context.report(f"idle for {seconds} s")
    with bench.daemon(token) as sidecar:
        sidecar.wait_for("credentials_refreshed")
        settle(sidecar)
        pid = sidecar.process.pid
        switches, cpu = voluntary_switches(pid), cpu_seconds(pid)
        time.sleep(seconds)
        switches, cpu = voluntary_switches(pid) - switches, cpu_seconds(pid) - cpu
        events = not sidecar.count("inotify_unavailable")
    polls = seconds / POLL_SECONDS
    allowed = polls + _SWITCHES_BESIDE_POLLS_IN_10_SECONDS * seconds / 10
    yield Row(
        SECTION,
        f"voluntary context switches in {seconds} s at rest, all threads",
        f"{switches}",
        f"polls of the token file: {polls:.0f}; inotify {'on' if events else 'off'}",
        bar=Bar(f"<= {allowed:.0f}: the polls and 3 in 10 s", switches <= allowed),
        limit="the poll of the token file every 5 s, and the check of both clocks every 15 s",
    )
    yield Row(
        SECTION,
        f"CPU in {seconds} s at rest",
        f"{cpu * 1e3:.1f} ms",
        limit="the same",
    )


def voluntary_switches(pid: int) -> int:
    """Return the voluntary context switches of a process's current threads so far."""
    lines = (line for task in _tasks(pid) for line in (task / "status").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process's current threads so far, in user mode and in the kernel."""
    # Nanoseconds (Linux, Documentation/scheduler/sched-stats); /proc/PID/stat has steps of 10 ms, which is too coarse.
    return sum(int((task / "schedstat").read_text().split()[0]) for task in _tasks(pid)) / 1e9


def _tasks(pid: int) -> Iterator[Path]:
    return Path(f"/proc/{pid}/task").iterdir()
