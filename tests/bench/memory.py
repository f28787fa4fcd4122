"""What memory it takes: at rest, after a storm, and at the highest point of an exchange."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from examples.local.process import Sidecar
from tests.bench.daemons import Bench, Context, Crowd, group, memory_of, no_group, settle
from tests.bench.rows import Bar, Row, Sample
from tests.quota.cgroup import ControlGroup

__all__ = ("measure", "watched")

SECTION = "Memory"
_EXCHANGES = 3
_REST_MAX_BYTES = 32_000_000
_PEAK_MAX_BYTES = 80_000_000
# A worker lives for about 400 ms and is at its largest at the end.
_LOOK_SECONDS = 0.005


def measure(context: Context) -> Iterator[Row]:
    """Yield the rows of this section.

    Raises:
        TimeoutError: a daemon did not do what it had to.
        RuntimeError: a crowd did not get its answers.
    """
    with Bench.ready(context) as (bench, token):
        yield from _at_rest(context, bench, token)
        yield from _peak(context, bench, token)


def _at_rest(context: Context, bench: Bench, token: Path) -> Iterator[Row]:
    whens = (f"after {_EXCHANGES} exchanges", "the same, and a storm of 20,000 requests on 256 connections has passed")
    sizes: dict[str, list[tuple[int, int]]] = {when: [] for when in whens}
    for number in range(context.slow_rounds):
        context.tell(f"at rest, round {number + 1}")
        with bench.daemon(token) as sidecar:
            _exchange(sidecar)
            settle(sidecar)
            sizes[whens[0]].append(memory_of(sidecar.process.pid))
            with Crowd(context.python) as crowd:
                crowd.ask(sidecar, connections=256, requests=20_000, in_flight=256)
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
            limit="the interpreter and the modules that are imported once; PSS is less where more Pythons run",
        )


def _exchange(sidecar: Sidecar) -> None:
    for count in range(1, _EXCHANGES + 1):
        sidecar.wait_for("credentials_renewed", count)
        if count < _EXCHANGES:
            os.kill(sidecar.process.pid, signal.SIGHUP)


def _peak(context: Context, bench: Bench, token: Path) -> Iterator[Row]:
    what = f"most of daemon and worker together in {_EXCHANGES} exchanges, anonymous and shared"
    reason = no_group()
    if reason:
        yield Row(SECTION, what, reason)
        return
    used, kernels = [], []
    for number in range(context.slow_rounds):
        context.tell(f"peak, round {number + 1}")
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
        f"the kernel's peak, with the page cache that the group was the first to fill: {Sample(kernels, 'MB')}",
        bar=Bar(f"<= {_PEAK_MAX_BYTES // 1_000_000} MB anonymous and shared", most.median * 1e6 <= _PEAK_MAX_BYTES),
        limit="boto3 and the description of STS in the worker, for as long as an exchange takes",
    )


@contextlib.contextmanager
def watched(inside: ControlGroup) -> Iterator[list[int]]:
    """Look at what the group uses, again and again, for a block."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            seen.append(inside.used_bytes())

    thread = threading.Thread(target=look, name="memory-watcher")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
