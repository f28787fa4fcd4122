"""The endpoint with a CPU quota of 0.1, while five profiles are exchanged in one worker process."""

import os
import signal
import time
from collections.abc import Iterator

from examples.local.process import Sidecar
from tests.bench import servers
from tests.bench.daemons import Bench, Context, group, no_group
from tests.bench.job import Job, Result
from tests.bench.offer import Load
from tests.bench.rows import Bar, Row, Sample

__all__ = ("measure", "row_of")

SECTION = "Endpoint under a CPU quota of 0.1"
_PROFILES = 5
_CONNECTIONS = 8
_PER_SECOND = 200.0
_WORST_MS = 1_000.0
# An exchange that takes longer counts as failed.
_MAX_SECONDS = 60.0
_AROUND_SECONDS = 0.3


def measure(context: Context) -> Iterator[Row]:
    """Yield the rows of this section.

    Raises:
        RuntimeError: the endpoint sends a wrong response, or the client failed.
        TimeoutError: the daemon did not start or refresh in time.
    """
    if no_group():
        yield Row(SECTION, "200 requests/s during an exchange of five profiles", no_group())
        return
    with (
        group("endpoint", 0.1) as inside,
        Bench.ready(context) as (bench, token),
        bench.daemon(token, profiles=_PROFILES, inside=inside) as sidecar,
    ):
        context.report("endpoint under a quota, first credentials")
        sidecar.wait_for("credentials_refreshed", _PROFILES)
        results = [_exchange(context, sidecar) for _ in range(context.slow_rounds)]
    yield row_of(results)


def _exchange(context: Context, sidecar: Sidecar) -> Result:
    context.report("endpoint under a quota, five profiles refresh")
    while sidecar.children():
        sidecar.wait(0.1)
    before = sidecar.count("credentials_refreshed")
    server = servers.ours(sidecar)
    job = Job(
        "paced",
        server.port,
        server.request(close=False),
        server.answer(close=False),
        _CONNECTIONS,
        _MAX_SECONDS,
        _PER_SECOND,
        refreshes=1,
    )
    load = Load(job, context.python)
    time.sleep(_AROUND_SECONDS)
    os.kill(sidecar.process.pid, signal.SIGHUP)
    sidecar.wait_for("credentials_refreshed", before + _PROFILES)
    while sidecar.children():
        sidecar.wait(0.1)
    time.sleep(_AROUND_SECONDS)
    result = load.result()
    if result.refreshed != servers.ours(sidecar).answer(close=False):
        raise RuntimeError("the endpoint did not replace the credentials by those of the exchange")
    return result


def row_of(results: list[Result]) -> Row:
    """Return the row of these exchanges."""
    p50, p99, worst = (
        Sample([getattr(result, name) for result in results], "ms") for name in ("p50_ms", "p99_ms", "worst_ms")
    )
    errors = sum(sum(result.errors.values()) for result in results)
    answers = sum(result.answers for result in results)
    return Row(
        SECTION,
        "200 requests/s during an exchange of five profiles",
        f"p50 {p50}, p99 {p99}, worst {worst}; {answers:,} responses, {errors} errors",
        bar=Bar("no error, no response over 1 s", not errors and max(worst.values) <= _WORST_MS),
        limit="the quota: it stops all processes of the container for most of each 100 ms while the worker runs",
    )
