"""The credentials endpoint of a real daemon, with all checks and metrics, compared with Go's net/http and uvicorn."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from tests.bench import servers
from tests.bench.daemons import Bench, Context, cores
from tests.bench.job import Job, Result
from tests.bench.offer import offer
from tests.bench.rows import Bar, Row, Sample
from tests.bench.servers import Server

__all__ = ("Point", "correctness", "measure", "rows_of")

SECTION = "Endpoint"
FULL = 0.95
"""From this share on a core counts as full; a rate is a limit of the server only if the server's core was full."""
_CHECK_SECONDS = 0.2


@dataclass(frozen=True)
class _Load:
    what: str
    kind: Literal["kept", "new"]
    connections: int
    limit: str
    bar: float | None = None  # times Go's


_LOADS = (
    _Load(
        "1 kept", "kept", 1, "the kernel, which wakes the server and the client in turn; neither uses its core fully"
    ),
    _Load("32 kept", "kept", 32, "the CPU of one thread; latency is the queue of the other 31", bar=1.2),
    _Load("256 kept", "kept", 256, "the CPU of one thread; latency is the queue of the other 255"),
    _Load(
        "32 at once, new for each request", "new", 32, "the CPU of one thread, and the client's kernel half", bar=0.75
    ),
)


@dataclass(frozen=True)
class Point:
    """One server under one load in one round.

    Attributes:
        result: the result of the client.
        cpu: the share of its core that the server used.
    """

    result: Result
    cpu: float

    @property
    def rate(self) -> float:
        """Right responses per second."""
        return self.result.answers / self.result.seconds

    @property
    def full_rate(self) -> float:
        """Right responses per second of the server's CPU time: the rate with a full core."""
        return self.rate / self.cpu


def measure(context: Context) -> Iterator[Row]:
    """Yield the rows of this section.

    Raises:
        RuntimeError: a server sends wrong responses, or the client failed.
        TimeoutError: the daemon did not start or refresh in time.
    """
    if len(set(cores())) == 1:
        yield Row(SECTION, "requests/s", "not measured: needs two cores, one for the server and one for the client")
        return
    with contextlib.ExitStack() as stack:
        bench, token = stack.enter_context(Bench.ready(context))
        sidecar = stack.enter_context(bench.daemon(token))
        ours = servers.ours(sidecar)
        beside = [stack.enter_context(start(context, ours)) for start in (servers.go, servers.uvicorn)]
        running = [ours, *(server for server in beside if isinstance(server, Server))]
        absent = [reason for reason in beside if isinstance(reason, str)]
        points = _rounds(context, running)
        checked: list[Result] = []
        for load in _LOADS:
            by_name = {server.name: points[load, server.name] for server in running}
            checked += [point.result for point in by_name["ours"]]
            yield from rows_of(load.what, by_name, fills=load.connections > 1, bar=load.bar, limit=load.limit)
        yield correctness(checked)
        for reason in absent:
            yield Row(SECTION, "comparison", "not measured", reason)


def _rounds(context: Context, running: Sequence[Server]) -> dict[tuple[_Load, str], list[Point]]:
    points: dict[tuple[_Load, str], list[Point]] = {(load, server.name): [] for load in _LOADS for server in running}
    jobs = {}
    for load in _LOADS:
        for server in running:
            close = load.kind == "new"
            jobs[load, server.name] = (server.port, server.request(close=close), server.answer(close=close))
    for number in range(context.rounds + 1):
        context.report(
            f"endpoint, round {number} of {context.rounds}" if number else "endpoint, check of the responses"
        )
        seconds = _CHECK_SECONDS if number == 0 else 0.4 if context.quick else 1.5
        for load in _LOADS:
            # Another server is the first in each round, so that a periodic disturbance does not affect one server more.
            for place in range(len(running)):
                server = running[(place + number) % len(running)]
                job = Job(load.kind, *jobs[load, server.name], load.connections, seconds)
                before = server.cpu_seconds()
                result = offer(job, context.python)
                if number:
                    points[load, server.name].append(Point(result, (server.cpu_seconds() - before) / result.seconds))
                elif result.errors:
                    raise RuntimeError(f"{server.name} fails with {load.what}: {result.errors}")
    return points


def rows_of(
    what: str, points: Mapping[str, Sequence[Point]], *, fills: bool, bar: float | None, limit: str
) -> Iterator[Row]:
    """Yield the rows of one load.

    Args:
        what: the load.
        points: the points of each server by its name, one for each round; one server is ``ours``.
        fills: whether the load fills the server's core.
        bar: the minimum ratio to Go's requests/s; None for no bar.
        limit: what limits the figure.
    """
    beside = {name: series for name, series in points.items() if name != "ours"}
    ours = points["ours"]
    for name, series in beside.items():
        ratio, how = _ratio(ours, series, fills=fills)
        checked = Bar(f">= {bar} x Go{how}", ratio >= bar) if bar is not None and name == "Go" else None
        rate = f"{name} {_rate(series, fills=fills)}"
        yield Row(SECTION, f"{what}: requests/s", _rate(ours, fills=fills), rate, ratio, checked, limit)
    if not beside:
        yield Row(SECTION, f"{what}: requests/s", _rate(ours, fills=fills), limit=limit)
    for name, series in beside.items() or (("", ()),):
        latency = f"{name} {_latency(series)}" if series else ""
        yield Row(SECTION, f"{what}: p50; p99", _latency(ours), latency)
    others = "; ".join(f"{name} {_shares(series)}" for name, series in beside.items())
    yield Row(SECTION, f"{what}: cores", _shares(ours), others)


def _ratio(ours: Sequence[Point], beside: Sequence[Point], *, fills: bool) -> tuple[float, str]:
    ratio = _of(ours, "rate").median / _of(beside, "rate").median
    if not fills or min(_server(ours), _server(beside)) >= FULL:
        return ratio, ""
    # The client or another program on this machine slowed one of them down. Then the ratio per second of CPU time is
    # more exact, but it is not complete: the lower of the two ratios is used, so that the result is not too good.
    return min(ratio, _of(ours, "full_rate").median / _of(beside, "full_rate").median), ", the lower of two ratios"


def _of(points: Sequence[Point], name: Literal["rate", "full_rate"]) -> Sample:
    return Sample([getattr(point, name) for point in points], "/s")


def _server(points: Sequence[Point]) -> float:
    return median(point.cpu for point in points)


def _client(points: Sequence[Point]) -> float:
    return median(point.result.cpu for point in points)


def _rate(points: Sequence[Point], *, fills: bool) -> str:
    errors = sum(sum(point.result.errors.values()) for point in points)
    rate = f"{_of(points, 'rate')}{f' {errors} ERRORS' if errors else ''}"
    if _client(points) >= FULL:
        return f"{rate} CLIENT-BOUND"
    return f"{rate} DISTURBED" if fills and _server(points) < FULL else rate


def _latency(points: Sequence[Point]) -> str:
    p50, p99 = (Sample([getattr(point.result, name) for point in points], "ms") for name in ("p50_ms", "p99_ms"))
    return f"{p50}; {p99}"


def _shares(points: Sequence[Point]) -> str:
    return f"server {_server(points):.0%}, client {_client(points):.0%}"


def correctness(results: Sequence[Result]) -> Row:
    """Return the row of all responses of the endpoint."""
    errors = {kind: sum(result.errors.get(kind, 0) for result in results) for kind in ("cut", "wrong", "late")}
    others = sum(sum(result.errors.values()) for result in results) - sum(errors.values())
    answers = sum(result.answers for result in results)
    counts = ", ".join(f"{count} {kind}" for kind, count in errors.items())
    return Row(
        SECTION,
        "responses of all rounds, each compared completely",
        f"{answers:,} right, {counts}, {others} not connected",
        bar=Bar("no connection closed before its response, no wrong response", not others and not sum(errors.values())),
        limit="nothing: each error is a bug",
    )
