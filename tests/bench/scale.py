"""Growth of memory and latency with the number of profiles, and of open connections."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.daemons import Bench, ClientProcess, Context, memory_of, settle
from tests.bench.rows import Bar, Row, Sample

__all__ = ("measure",)

SECTION = "Scale"
_PROFILES = (1, 10, 100)
_PROFILE_MAX_BYTES = 150_000
_CONNECTIONS = (1, 32, 256, 512)


def measure(context: Context) -> Iterator[Row]:
    """Yield the rows of this section.

    Raises:
        TimeoutError: a daemon did not start or refresh in time.
        RuntimeError: the clients did not get their responses.
    """
    with Bench.ready(context) as (bench, token):
        yield from _profiles(context, bench, token)
        yield from _connections(context, bench, token)


def _profiles(context: Context, bench: Bench, token: Path) -> Iterator[Row]:
    sizes: dict[int, list[float]] = {count: [] for count in _PROFILES}
    results: dict[int, list[dict[str, Any]]] = {count: [] for count in _PROFILES}
    for number in range(context.slow_rounds):
        context.report(f"profiles, round {number + 1}")
        for count in _PROFILES:
            with bench.daemon(token, profiles=count) as sidecar, ClientProcess(context.python) as clients:
                sidecar.wait_for("credentials_refreshed", count)
                settle(sidecar)
                sizes[count].append(memory_of(sidecar.process.pid)[0])
                results[count].append(clients.send(sidecar, connections=1, requests=_requests(context), in_flight=1))
    grown = [(last - first) / (max(_PROFILES) - 1) for first, last in zip(sizes[1], sizes[100], strict=True)]
    each = Sample([growth / 1e3 for growth in grown], "kB")
    yield Row(
        SECTION,
        "RSS at rest for each additional profile, 1 to 100",
        str(each),
        "; ".join(f"{count}: {Sample([size / 1e6 for size in sizes[count]], 'MB')}" for count in _PROFILES),
        bar=Bar(f"<= {_PROFILE_MAX_BYTES // 1_000} kB", each.median * 1e3 <= _PROFILE_MAX_BYTES),
        limit="the metric series of each profile, and its responses, which are rendered once",
    )
    yield _latency(
        "p99 of a request for one of 100 profiles, one at a time", results, "a profile is one lookup in a dict"
    )


def _connections(context: Context, bench: Bench, token: Path) -> Iterator[Row]:
    grown: dict[int, list[float]] = {count: [] for count in _CONNECTIONS}
    results: dict[int, list[dict[str, Any]]] = {count: [] for count in _CONNECTIONS}
    for number in range(context.slow_rounds):
        context.report(f"connections, round {number + 1}")
        with bench.daemon(token) as sidecar:
            sidecar.wait_for("credentials_refreshed")
            settle(sidecar)
            before = memory_of(sidecar.process.pid)[0]
            for count in _CONNECTIONS:
                with ClientProcess(context.python) as clients:
                    results[count].append(
                        clients.send(sidecar, connections=count, requests=_requests(context), in_flight=1)
                    )
                    grown[count].append(memory_of(sidecar.process.pid)[0] - before)
                settle(sidecar)
    most = max(_CONNECTIONS)
    each = Sample([growth / most / 1e3 for growth in grown[most]], "kB")
    yield Row(
        SECTION,
        f"RSS for each open connection, of {most}",
        str(each),
        "; ".join(f"all {count}: {Sample([size / 1e6 for size in grown[count]], 'MB')}" for count in _CONNECTIONS),
        limit="a parser and its Python objects for each; the read buffer is shared",
    )
    yield _latency(
        f"p99 of a request in turn on {most} open connections, one at a time",
        results,
        "the connections' memory is larger than the CPU's cache",
    )


def _latency(what: str, results: dict[int, list[dict[str, Any]]], limit: str) -> Row:
    """Return a row that compares the largest count with the smaller ones, in descending order."""

    def sample(count: int, part: str) -> Sample:
        return Sample([result[part] * 1e6 for result in results[count]], "us")

    first, last = min(results), max(results)
    fewer = sorted(set(results) - {last}, reverse=True)
    return Row(
        SECTION,
        what,
        f"{sample(last, 'p99')}; p50 {sample(last, 'p50')}",
        "; ".join(f"{count}: {sample(count, 'p99')}; p50 {sample(count, 'p50')}" for count in fewer),
        ratio=sample(last, "p99").median / sample(first, "p99").median,
        limit=f"one wake-up of the daemon and one of the client; {limit}",
    )


def _requests(context: Context) -> int:
    return 2_000 if context.quick else 10_000
