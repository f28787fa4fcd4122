"""How it grows: memory and latency with profiles, and with open connections."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.daemons import Bench, Context, Crowd, memory_of, settle
from tests.bench.rows import Bar, Row, Sample

__all__ = ("measure",)

SECTION = "Scale"
_PROFILES = (1, 10, 100)
_PROFILE_MAX_BYTES = 150_000
_CONNECTIONS = (1, 32, 256, 512)


def measure(context: Context) -> Iterator[Row]:
    """Yield the rows of this section.

    Raises:
        TimeoutError: a daemon did not do what it had to.
        RuntimeError: a crowd did not get its answers.
    """
    with Bench.ready(context) as (bench, token):
        yield from _profiles(context, bench, token)
        yield from _connections(context, bench, token)


def _profiles(context: Context, bench: Bench, token: Path) -> Iterator[Row]:
    sizes: dict[int, list[float]] = {count: [] for count in _PROFILES}
    asked: dict[int, list[dict[str, Any]]] = {count: [] for count in _PROFILES}
    for number in range(context.slow_rounds):
        context.tell(f"profiles, round {number + 1}")
        for count in _PROFILES:
            with bench.daemon(token, profiles=count) as sidecar, Crowd(context.python) as crowd:
                sidecar.wait_for("credentials_renewed", count)
                settle(sidecar)
                sizes[count].append(memory_of(sidecar.process.pid)[0])
                asked[count].append(crowd.ask(sidecar, connections=1, requests=_requests(context), in_flight=1))
    grown = [(most - least) / (max(_PROFILES) - 1) for least, most in zip(sizes[1], sizes[100], strict=True)]
    each = Sample([growth / 1e3 for growth in grown], "kB")
    yield Row(
        SECTION,
        "RSS at rest for each profile more, 1 to 100",
        str(each),
        "; ".join(f"{count}: {Sample([size / 1e6 for size in sizes[count]], 'MB')}" for count in _PROFILES),
        bar=Bar(f"<= {_PROFILE_MAX_BYTES // 1_000} kB", each.median * 1e3 <= _PROFILE_MAX_BYTES),
        limit="the metric series of each profile, and then its answers, rendered once for all",
    )
    yield _latency(
        "p99 of a request for one of 100 profiles, one at a time", asked, "a profile is one look into a dict"
    )


def _connections(context: Context, bench: Bench, token: Path) -> Iterator[Row]:
    grown: dict[int, list[float]] = {count: [] for count in _CONNECTIONS}
    asked: dict[int, list[dict[str, Any]]] = {count: [] for count in _CONNECTIONS}
    for number in range(context.slow_rounds):
        context.tell(f"connections, round {number + 1}")
        with bench.daemon(token) as sidecar:
            sidecar.wait_for("credentials_renewed")
            settle(sidecar)
            before = memory_of(sidecar.process.pid)[0]
            for count in _CONNECTIONS:
                with Crowd(context.python) as crowd:
                    asked[count].append(crowd.ask(sidecar, connections=count, requests=_requests(context), in_flight=1))
                    grown[count].append(memory_of(sidecar.process.pid)[0] - before)
                settle(sidecar)
    most = max(_CONNECTIONS)
    each = Sample([growth / most / 1e3 for growth in grown[most]], "kB")
    yield Row(
        SECTION,
        f"RSS for each open connection, of {most}",
        str(each),
        "; ".join(f"all {count}: {Sample([size / 1e6 for size in grown[count]], 'MB')}" for count in _CONNECTIONS),
        limit="a parser and its Python objects for each; the buffer that is read into is shared",
    )
    yield _latency(
        f"p99 of a request in turn on {most} open connections, one at a time",
        asked,
        "more memory to touch than the cache next to the core holds",
    )


def _latency(what: str, asked: dict[int, list[dict[str, Any]]], limit: str) -> Row:
    """Compare the most of something with all that is less, the least last."""

    def sample(count: int, part: str) -> Sample:
        return Sample([result[part] * 1e6 for result in asked[count]], "us")

    least, most = min(asked), max(asked)
    fewer = sorted(set(asked) - {most}, reverse=True)
    return Row(
        SECTION,
        what,
        f"{sample(most, 'p99')}; p50 {sample(most, 'p50')}",
        "; ".join(f"{count}: {sample(count, 'p99')}; p50 {sample(count, 'p50')}" for count in fewer),
        ratio=sample(most, "p99").median / sample(least, "p99").median,
        limit=f"a wake-up of our process and one of the client's; {limit}",
    )


def _requests(context: Context) -> int:
    return 2_000 if context.quick else 10_000
