"""Measures everything that has a bar in one run and prints one table.

make bench                      everything: less than eight minutes
make bench ARGS=--quick         short rounds: shows that it works, and what is far off
make bench ARGS=--only=endpoint one section
make bench ARGS=--document      everything, and docs/performance.md anew
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench import endpoint, memory, process_start, quota, rest, scale
from tests.bench.daemons import Context
from tests.bench.machine import Disturbance, machine, versions
from tests.bench.rows import Row
from tests.bench.table import markdown, missed, show, summary

__all__ = ("SECTIONS", "main")

Section = Callable[[Context], Iterator[Row]]

SECTIONS: Mapping[str, Section] = {
    "endpoint": endpoint.measure,
    "quota": quota.measure,
    "start": process_start.measure,
    "memory": memory.measure,
    "rest": rest.measure,
    "scale": scale.measure,
}
_PAGE = Path(__file__).parent.parent.parent / "docs" / "performance.md"
_ROUNDS = 5
_QUICK_ROUNDS = 2
_GUIDE = """\
# How fast it is, what it costs, and what limits it

<!-- Made by `make bench ARGS=--document` from one run; run it again rather than edit. -->

{when}, {machine}; {versions}.
{disturbance}; rounds: {rounds}.

Figures are medians of the rounds, with the least and the greatest round behind them; the rounds of what is compared
are interleaved, and a ratio is one of this run. The server and the client are pinned to a core each. Figures of
another machine are other figures: compare ratios, and run it where you want to know.

- What is measured is the daemon as it ships: a real `aws-oidc-sidecar run` with credentials from a strict AWS on this
  machine, every check of a request and every metric on.
- Beside it stand Go's net/http and uvicorn with httptools, each a few lines that look at the same token and answer with
  the same body (`tests/bench/peer.go`, `tests/bench/peer_asgi.py`), each on one core. They do none of the rest.
- `kept` are connections that stay open, each with one request in flight all the time; `new` is a connection for each
  request. `cores` is how much of their two cores the server and the client took: a rate is the server's own where the
  server's is full.
- The client (`tests/bench/load.py`) compares each answer with the right one, byte for byte; one that is wrong, cut or
  late is an error and is not counted. A first round, which is not timed, has to be free of errors.
- `CLIENT-BOUND` means that the client's core was full: the server can do more than the row says. `DISTURBED` means
  that neither core was full of what was measured: others had business on the machine. In both cases the ratio is
  the lower of two, of requests in a second and of requests in a second of the server's own CPU, and the bar says so:
  run it again on a machine that is at rest.
- Latency counts from when a request was sent. Under the quota requests are due at fixed times and it counts from then,
  so a server that stalls is charged with every request that had to wait.

"""


def main(arguments: Sequence[str] | None = None, sections: Mapping[str, Section] = SECTIONS) -> int:
    """Measure; return 0, or 1 where a bar was missed."""
    parser = argparse.ArgumentParser("python -m tests.bench", description="Measures and prints one table.")
    parser.add_argument("--quick", action="store_true", help="short rounds, and fewer")
    parser.add_argument("--only", choices=sections, metavar="SECTION", help=f"one of {', '.join(sections)}")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"how many; {_ROUNDS}, or {_QUICK_ROUNDS} with --quick")
    parser.add_argument("--document", action="store_true", help="write docs/performance.md too; takes a whole run")
    given = parser.parse_args(arguments)
    rounds = (_QUICK_ROUNDS if given.quick else _ROUNDS) if given.rounds is None else given.rounds
    if rounds < 1:
        parser.error("--rounds must be 1 or more")
    if given.document and (given.quick or given.only):
        parser.error("--document takes a whole run: leave out --quick and --only")
    disturbance = Disturbance()
    began = time.perf_counter()

    def tell(text: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - began:6.1f} s  {text}\n")

    rows: list[Row] = []
    try:
        for name in (given.only,) if given.only else sections:
            with tempfile.TemporaryDirectory(prefix="aws-oidc-sidecar-bench-") as folder:
                for row in sections[name](Context(rounds, given.quick, Path(folder), tell)):
                    tell(f"{row.what}: {row.ours}{' | ' if row.beside else ''}{row.beside}")
                    rows.append(row)
    finally:
        show(rows)  # also of a run that ends early: it took minutes
    sys.stdout.write(f"\n{machine()}; {versions()}\n{disturbance}; rounds: {rounds}\n{summary(rows)}")
    if given.document:
        page = _GUIDE.format(
            when=time.strftime("%Y-%m-%d", time.gmtime()),
            machine=machine(),
            versions=versions(),
            disturbance=str(disturbance).capitalize(),
            rounds=rounds,
        )
        _PAGE.write_text(page + markdown(rows) + summary(rows))
    return 1 if missed(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
