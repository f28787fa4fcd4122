"""The daemon's memory: at rest, after many requests, and the maximum during an exchange."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from examples.local.process import Sidecar
from tests.bench.daemons import Bench, ClientProcess, Context, group, memory_of, no_group, settle
from tests.bench.rows import Bar, Row, Sample
from tests.quota.cgroup import ControlGroup

__all__ = ("measure", "watched")

SECTION = "Memory"
_EXCHANGES = 3
_REST_MAX_BYTES = 32_000_000
_PEAK_MAX_BYTES = 80_000_000
# A worker runs for about 400 ms, and its memory is at its maximum at the end.
_LOOK_SECONDS = 0.005


def measure(context: Context) -> Iterator[Row]:
    """Yield the rows of this section.

    Raises:
        TimeoutError: a daemon did not start or refresh in time.
        RuntimeError: the clients did not get their responses.
    """
    with Bench.ready(context) as (bench, token):
        yield from _at_rest(context, bench, token)
        yield from _peak(context, bench, token)


def _at_rest(context: Context, bench: Bench, token: Path) -> Iterator[Row]:
    whens = (f"after {_EXCHANGES} exchanges", "the same, and after 20,000 requests on 256 connections")
    sizes: dict[str, list[tuple[int, int]]] = {when: [] for when in whens}
    for number in range(context.slow_rounds):
        context.report(f"at rest, round {number + 1}")
        with bench.daemon(token) as sidecar:
            _exchange(sidecar)
            settle(sidecar)
            sizes[whens[0]].append(memory_of(sidecar.process.pid))
            with ClientProcess(context.python) as clients:
                clients.send(sidecar, connections=256, requests=20_000, in_flight=256)
            settle(sidecar)
            sizes[whens[1]].append(memory_of(sidecar.process.pid))
    for when, both in sizes.items():
        rss, pss = (Sample([size / 1e6 for size in column], "MB") for column in zip(*both, strict=True))
        yield Row(
            SECTION,
            f"RSS at rest, {when}",
            str(rss),
            f"PSS: {pss}",
            bar=Bar(f"<= {_REST_MAX_BYTES // 1_000_000} MB", rss.median * 1e6 <= _REST_MAX_BYTES),
            limit="the interpreter and the imported modules; PSS is lower if more Python processes run",
        )


def _exchange(sidecar: Sidecar) -> None:
    for count in range(1, _EXCHANGES + 1):
        sidecar.wait_for("credentials_refreshed", count)
        if count < _EXCHANGES:
            os.kill(sidecar.process.pid, signal.SIGHUP)


def _peak(context: Context, bench: Bench, token: Path) -> Iterator[Row]:
    what = f"maximum of daemon and worker together in {_EXCHANGES} exchanges, anonymous and shared"
    reason = no_group()
    if reason:
        yield Row(SECTION, what, reason)
        return
    used, kernels = [], []
    for number in range(context.slow_rounds):
        context.report(f"peak, round {number + 1}")
        with group("memory") as inside, watched(inside) as seen:
            with bench.daemon(token, inside=inside) as sidecar:
                _exchange(sidecar)
                settle(sidecar)
            kernels.append(inside.peak_bytes() / 1e6)
        used.append(max(seen) / 1e6)
    most = Sample(used, "MB")
    yield Row(
        SECTION,
        what,
        str(most),
        f"the kernel's peak, with the page cache that the group filled first: {Sample(kernels, 'MB')}",
        bar=Bar(f"<= {_PEAK_MAX_BYTES // 1_000_000} MB anonymous and shared", most.median * 1e6 <= _PEAK_MAX_BYTES),
        limit="boto3 and the description of STS in the worker, during an exchange",
    )


@contextlib.contextmanager
def watched(inside: ControlGroup) -> Iterator[list[int]]:
    """Record the memory of the group every 5 ms during the block; the list has the bytes."""
    seen: list[int] = []
    over = threading.Event()

    def record() -> None:
        while not over.wait(_LOOK_SECONDS):
            seen.append(inside.used_bytes())

    thread = threading.Thread(target=record, name="memory-watcher")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
