"""How it grows: memory and latency with profiles, and with open connections.

As a program it is the crowd that ``daemons.Crowd`` starts: it takes one JSON object as a line of standard input, does
what it says, prints one JSON object, and holds its connections until standard input ends.
"""

import json
import re
import resource
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from examples.local.process import PATIENCE_SECONDS
from examples.local.world import World
from tests.bench.daemons import Bench, Context, Crowd, memory_of, settle
from tests.bench.rows import Bar, Row, Sample

__all__ = ("main", "measure")

SECTION = "Scale"
_PROFILES = (1, 10, 100)
_PROFILE_MAX_BYTES = 150_000
_CONNECTIONS = (1, 32, 256, 512)
# botocore's pause between two attempts at a container endpoint (ContainerMetadataFetcher.SLEEP_TIME).
_SDK_PAUSE_SECONDS = 1.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def measure(context: Context) -> Iterator[Row]:
    """Yield the rows of this section.

    Raises:
        TimeoutError: a daemon did not do what it had to.
        RuntimeError: a crowd did not get its answers.
    """
    with World() as world:
        world.reset()
        bench = Bench(world, context)
        with bench.token() as token:
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


def main() -> None:
    """Be a crowd, for one order."""
    _say({"ready": True})
    order = json.loads(sys.stdin.readline() or "{}")
    if not order:
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    address = ("127.0.0.1", order["port"])
    lines = (
        "GET /v1/credentials/default HTTP/1.1",
        f"Host: 127.0.0.1:{address[1]}",
        f"Authorization: {order['token']}",
    )
    request = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
    if "newcomers" in order:
        held, result = [], _arrive(address, request, order["newcomers"])
    else:
        held = [socket.create_connection(address) for _ in range(order["connections"])]
        result = _ask(held, request, order["requests"], order["in_flight"])
    _say(result)
    sys.stdin.read()
    for sock in held:
        sock.close()


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _ask(connections: Sequence[socket.socket], request: bytes, requests: int, in_flight: int) -> dict[str, Any]:
    poll = select.epoll()
    by_number = {sock.fileno(): sock for sock in connections}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    free = deque(by_number)
    asked: dict[int, float] = {}
    answers = dict.fromkeys(by_number, b"")
    statuses: Counter[str] = Counter()
    took: list[float] = []
    start = time.perf_counter()
    while len(took) < requests:
        while free and len(asked) < min(in_flight, requests - len(took)):
            number = free.popleft()
            asked[number] = time.perf_counter()
            by_number[number].sendall(request)
        for number in _ready(poll):
            answers[number] += _received(by_number[number])
            if _whole(answers[number]):
                took.append(time.perf_counter() - asked.pop(number))
                statuses[answers[number][9:12].decode()] += 1
                answers[number] = b""
                free.append(number)
    seconds = time.perf_counter() - start
    parts = quantiles(took, n=100)
    return {"statuses": statuses, "seconds": seconds, "p50": parts[49], "p99": parts[98]}


def _arrive(address: tuple[str, int], request: bytes, count: int) -> dict[str, Any]:
    poll = select.epoll()
    # When each client that has no connection begins one; all pause as long, so the order stays.
    due = deque([0.0] * count)
    talking: dict[int, _Newcomer] = {}
    keys: set[str] = set()
    refused: Counter[str] = Counter()
    served = 0
    start = time.perf_counter()
    while served < count:
        now = time.perf_counter()
        if now - start > PATIENCE_SECONDS:
            raise TimeoutError(f"{served} of {count} were served")
        while due and due[0] <= now:
            due.popleft()
            newcomer = _Newcomer(poll, address)
            talking[newcomer.sock.fileno()] = newcomer
        for number, event in poll.poll(max(0.0, due[0] - now) if due else PATIENCE_SECONDS):
            outcome = talking[number].hear(event, request)
            if outcome:
                newcomer = talking.pop(number)
                newcomer.sock.close()
                if outcome == "200":
                    served += 1
                    keys.add(json.loads(newcomer.answer.partition(b"\r\n\r\n")[2])["AccessKeyId"])
                else:
                    refused[outcome] += 1
                    due.append(time.perf_counter() + _SDK_PAUSE_SECONDS)
    seconds = time.perf_counter() - start
    return {"served": served, "keys": sorted(keys), "refused": refused, "seconds": seconds}


class _Newcomer:
    """One attempt of a client: a connection of its own, one request, one answer."""

    def __init__(self, poll: select.epoll, address: tuple[str, int]) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(0)
        self.sock.connect_ex(address)
        self.answer = b""
        self._poll = poll
        poll.register(self.sock, select.EPOLLOUT)

    def hear(self, event: int, request: bytes) -> str:
        """Go on; return the status of the answer, "closed" where none will come, "" where one still may."""
        try:
            if event & select.EPOLLOUT:
                self.sock.send(request)
                self._poll.modify(self.sock, select.EPOLLIN)
                return ""
            part = self.sock.recv(65_536)
        except OSError:
            return "closed"
        self.answer += part
        if not part:
            return "closed"
        return self.answer[9:12].decode() if _whole(self.answer) else ""


def _received(sock: socket.socket) -> bytes:
    part = sock.recv(65_536)
    if not part:
        raise ConnectionError("the daemon closed a connection")
    return part


def _ready(poll: select.epoll) -> list[int]:
    ready = poll.poll(PATIENCE_SECONDS)
    if not ready:
        raise TimeoutError("no answer")
    return [number for number, _ in ready]


def _whole(answer: bytes) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    return bool(blank) and length is not None and len(body) == int(length[1])


if __name__ == "__main__":
    main()
