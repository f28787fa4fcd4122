"""Many clients in a process of their own, as ``daemons.Crowd`` starts it.

It takes one JSON object as a line of standard input, does what it says, prints one JSON object, and holds its
connections until standard input ends.
"""

import json
import re
import resource
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from statistics import quantiles
from typing import Any

from examples.local.process import PATIENCE_SECONDS

__all__ = ("main",)

# botocore's pause between two attempts at a container endpoint (ContainerMetadataFetcher.SLEEP_TIME).
_SDK_PAUSE_SECONDS = 1.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


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
