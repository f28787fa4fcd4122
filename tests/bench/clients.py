"""Many clients in a separate process, which ``daemons.ClientProcess`` starts.

It reads one command, a JSON object, as a line of standard input, executes it, prints its result as a JSON object, and
keeps its connections open until standard input ends.
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

from examples.local.process import TIMEOUT_SECONDS

__all__ = ("main",)

# botocore's pause between two attempts at a container endpoint (ContainerMetadataFetcher.SLEEP_TIME).
_SDK_PAUSE_SECONDS = 1.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def main() -> None:
    """Execute one command."""
    _write({"ready": True})
    command = json.loads(sys.stdin.readline() or "{}")
    if not command:
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    address = ("127.0.0.1", command["port"])
    lines = (
        "GET /v1/credentials/default HTTP/1.1",
        f"Host: 127.0.0.1:{address[1]}",
        f"Authorization: {command['token']}",
    )
    request = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
    if "new_clients" in command:
        connections, result = [], _arrive(address, request, command["new_clients"])
    else:
        connections = [socket.create_connection(address) for _ in range(command["connections"])]
        result = _send(connections, request, command["requests"], command["in_flight"])
    _write(result)
    sys.stdin.read()
    for sock in connections:
        sock.close()


def _write(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _send(connections: Sequence[socket.socket], request: bytes, requests: int, in_flight: int) -> dict[str, Any]:
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
    # The times at which clients without a connection open one; the pause is constant, so the queue stays sorted.
    due = deque([0.0] * count)
    connected: dict[int, _NewClient] = {}
    keys: set[str] = set()
    refused: Counter[str] = Counter()
    served = 0
    start = time.perf_counter()
    while served < count:
        now = time.perf_counter()
        if now - start > TIMEOUT_SECONDS:
            raise TimeoutError(f"only {served} of {count} clients got credentials")
        while due and due[0] <= now:
            due.popleft()
            client = _NewClient(poll, address)
            connected[client.sock.fileno()] = client
        for number, event in poll.poll(max(0.0, due[0] - now) if due else TIMEOUT_SECONDS):
            outcome = connected[number].advance(event, request)
            if outcome:
                client = connected.pop(number)
                client.sock.close()
                if outcome == "200":
                    served += 1
                    keys.add(json.loads(client.answer.partition(b"\r\n\r\n")[2])["AccessKeyId"])
                else:
                    refused[outcome] += 1
                    due.append(time.perf_counter() + _SDK_PAUSE_SECONDS)
    seconds = time.perf_counter() - start
    return {"served": served, "keys": sorted(keys), "refused": refused, "seconds": seconds}


class _NewClient:
    """One attempt of a client: a new connection, one request, one response."""

    def __init__(self, poll: select.epoll, address: tuple[str, int]) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(0)
        self.sock.connect_ex(address)
        self.answer = b""
        self._poll = poll
        poll.register(self.sock, select.EPOLLOUT)

    def advance(self, event: int, request: bytes) -> str:
        """Send or receive; return the status of a complete response, "closed" without one, else ""."""
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
    ready = poll.poll(TIMEOUT_SECONDS)
    if not ready:
        raise TimeoutError("no response")
    return [number for number, _ in ready]


def _whole(answer: bytes) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    return bool(blank) and length is not None and len(body) == int(length[1])


if __name__ == "__main__":
    main()
