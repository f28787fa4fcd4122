"""Writes docs/performance.md from the record of a full run; ``--check`` exits 7 if they differ."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.rows import Bar, Row
from tests.bench.table import markdown, summary

__all__ = ("main", "page")

_DOCS = Path(__file__).parent.parent.parent / "docs"
_EXIT_DRIFT = 7
_GUIDE = """\
# Performance: latency, throughput, CPU and memory

<!-- Made from docs/records/bench.json, which `make long SUITE=bench` writes; do not edit this page. -->

Commit {commit}, {date}, {machine}; {versions}.
{disturbance}; rounds: {rounds}. The run's record is [records/bench.json](records/bench.json).

Figures are medians of the rounds, followed by the minimum and the maximum; the rounds of compared figures are
interleaved, and each ratio is of this run. The server and the client are pinned to one core each. Figures of another
machine differ: compare ratios, or run the benchmark on your machine.

- The daemon is unmodified: a real `aws-oidc-sidecar run` with credentials from a strict AWS on this machine, with all
  checks of requests and all metrics.
- It is compared with Go's net/http and uvicorn with httptools, each a few lines that compare the same token and send
  the same body (`tests/bench/peer.go`, `tests/bench/peer_asgi.py`), each on one core. They do no other work.
- `kept` are connections that stay open, each with one request in flight at any time; `new` is a connection for each
  request. `cores` is the share of their two cores that the server and the client used: the server limits a rate only
  if the server's core is full.
- The client (`tests/bench/load.py`) compares each response with the right one, byte for byte; a wrong, incomplete or
  late response is an error and is not counted. A first round, which is not timed, must have no errors.
- `CLIENT-BOUND` means that the client's core was full: the server can do more than the row shows. `DISTURBED` means
  that neither core was full, because other programs used the machine. In both cases the ratio is the lower of two, of
  requests per second and of requests per second of the server's CPU time, and the bar says so: run it again on a
  machine that is at rest.
- Latency is measured from the time when a request was sent. Under the quota requests are due at fixed times, and
  latency is measured from then, so the waiting time of requests in a server that stalls is included.

"""


def page(record: Mapping[str, Any]) -> str:
    """Return the page of a record that scripts/long.py wrote."""
    rows = [
        Row(**{**row, "bar": Bar(**row["bar"]) if row["bar"] else None})
        for case in record["cases"].values()
        for row in case["rows"]
    ]
    about = record["about"]
    head = _GUIDE.format(
        commit=record["commit"][:12],
        date=record["date"],
        machine=about["machine"],
        versions=about["versions"],
        disturbance=about["disturbance"].capitalize(),
        rounds=about["rounds"],
    )
    return head + markdown(rows) + summary(rows)


def main(arguments: Sequence[str], docs: Path = _DOCS) -> int:
    """Write the page, or compare it with ``--check``; return the exit status."""
    record, written = docs / "records" / "bench.json", docs / "performance.md"
    if not record.exists():  # no record yet
        return 0
    wanted = page(json.loads(record.read_text()))
    if arguments != ["--check"]:
        written.write_text(wanted)
    elif written.read_text() != wanted:
        sys.stdout.write("docs/performance.md differs from docs/records/bench.json: run make generate\n")
        return _EXIT_DRIFT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
