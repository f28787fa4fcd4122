"""Offers load to an HTTP server, and compares each byte of the responses.

As a program it reads a ``Job`` as one line of JSON from standard input, runs it, and prints a ``Result`` as JSON.

Only responses that are equal to the expected one count, so a server does not seem fast because it is wrong: a response
that is cut, too short, too long or different is an error, and its connection is closed. The comparison takes 20 ns of
the 7 us that a request takes here, so it is also made in timed rounds. A connection has at most one request in flight.
"""

import contextlib
import dataclasses
import errno
import gc
import json
import select
import socket
import struct
import sys
import time
from array import array
from collections import Counter, deque
from typing import Final

from tests.bench.compare import Expected, is_short
from tests.bench.job import Job, Result

# SO_LINGER of 0: a connection that was read to its end is reset. A FIN costs the client a tenth of a new connection
# more, and leaves a TIME_WAIT entry in the kernel; a load of some seconds would use up the entries.
_RESET: Final = struct.pack("ii", 1, 0)


class _Client:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._request = job.request.encode("latin-1")
        self._expected = Expected(job.answer.encode("latin-1"), job.refreshes)
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._asked: dict[int, int] = {}  # when, of each unanswered request
        self._free: deque[int] = deque()  # connections without one
        self._parts: dict[int, bytes] = {}
        self._took = array("q")
        self._errors: Counter[str] = Counter()

    def run(self) -> Result:
        if self._job.kind != "new":
            for _ in range(self._job.connections):
                self._connect()
        start, cpu = time.perf_counter_ns(), time.process_time_ns()
        end = start + int(self._job.seconds * 1e9)
        {"kept": self._kept, "new": self._new, "paced": self._paced}[self._job.kind](end)
        elapsed, cpu = time.perf_counter_ns() - start, time.process_time_ns() - cpu
        for number in self._free:
            self._expect_end(self._sockets[number])
        took = sorted(self._took)
        p50, p99, worst = (took[int(part * (len(took) - 1))] / 1e6 if took else float("inf") for part in (0.5, 0.99, 1))
        errors = {kind: count for kind, count in self._errors.items() if kind and count}
        refreshed = self._expected.refreshed.decode("latin-1")
        return Result(len(took), errors, elapsed / 1e9, p50, p99, worst, cpu / elapsed, refreshed)

    def _kept(self, end: int) -> None:
        clock, wait, note = time.perf_counter_ns, self._poll.poll, self._took.append
        timeout = self._job.timeout_seconds
        sockets, asked, parts, request = self._sockets, self._asked, self._parts, self._request
        # One byte more than expected, so that a longer response is not equal.
        expected, size = self._expected.expected, len(self._expected.expected) + 1
        self._ask_free(clock())
        while asked:
            ready = wait(timeout)
            if not ready or clock() > end + timeout * 1e9:
                break
            for number, _ in ready:
                try:
                    data = sockets[number].recv(size)
                except OSError:
                    data = b""
                now = clock()
                if data == expected and number in asked and number not in parts:
                    note(now - asked[number])
                    if now < end:
                        asked[number] = now
                        try:
                            sockets[number].send(request)
                        except OSError:
                            self._replace(number, "cut")
                    else:
                        del asked[number]
                        self._free.append(number)
                else:
                    self._take(number, data, now)
                    expected = self._expected.expected
                    if now < end:
                        self._ask_free(now)
        self._errors["late"] += len(asked)

    def _new(self, end: int) -> None:
        clock, timeout = time.perf_counter_ns, self._job.timeout_seconds
        for _ in range(self._job.connections):
            self._begin(clock())
        while self._asked:
            ready = self._poll.poll(timeout)
            if not ready or clock() > end + timeout * 1e9:
                break
            for number, events in ready:
                try:
                    if events & select.EPOLLOUT:
                        self._sockets[number].send(self._request)
                        self._poll.modify(number, select.EPOLLIN)
                        continue
                    data = self._sockets[number].recv(65_536)
                    if data:
                        self._parts[number] += data
                        continue
                    error = self._expected.error(self._parts[number])
                except OSError:
                    error = "cut"
                now = clock()
                if not error:
                    self._took.append(now - self._asked[number])
                self._errors[error] += 1
                del self._asked[number], self._parts[number]
                self._sockets.pop(number).close()
                if now < end:
                    self._begin(now)
        self._errors["late"] += len(self._asked)

    def _paced(self, end: int) -> None:
        gap = int(1e9 / self._job.per_second)
        due: deque[int] = deque()
        comes = time.perf_counter_ns()
        self._poll.register(sys.stdin, select.EPOLLIN)
        while True:
            now = time.perf_counter_ns()
            while comes <= now and comes < end:
                due.append(comes)
                comes += gap
            while due and self._free:
                # From the due time, so that requests that a stalled server delays have their full latency.
                self._ask(self._free.popleft(), due.popleft())
            wait = self._job.timeout_seconds if now >= end else (comes - now) / 1e9
            if now >= end and (not self._asked or now > end + wait * 1e9):
                break
            for number, _ in self._poll.poll(max(0.0, wait)):
                if number == sys.stdin.fileno():
                    end = now
                    self._poll.unregister(number)
                else:
                    self._take(number, self._receive(number), time.perf_counter_ns())
        self._errors["late"] += len(self._asked) + len(due)

    def _begin(self, now: int) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        code = sock.connect_ex(("127.0.0.1", self._job.port))
        if code not in {0, errno.EINPROGRESS}:
            self._errors[errno.errorcode[code]] += 1
            sock.close()
            return
        events = select.EPOLLIN
        try:
            # On loopback the connection is established when connect returns, unless the backlog is full.
            sock.send(self._request)
        except BlockingIOError:
            events = select.EPOLLOUT
        except OSError as error:
            self._errors[errno.errorcode[error.errno or 0]] += 1
            sock.close()
            return
        number = sock.fileno()
        self._sockets[number], self._asked[number], self._parts[number] = sock, now, b""
        self._poll.register(number, events)

    def _connect(self) -> None:
        try:
            sock = socket.create_connection(("127.0.0.1", self._job.port), self._job.timeout_seconds)
        except OSError as error:
            self._errors[errno.errorcode.get(error.errno or 0, "no connection")] += 1
            return
        sock.setblocking(False)  # noqa: FBT003 - the method's name explains the argument
        self._sockets[sock.fileno()] = sock
        self._free.append(sock.fileno())
        self._poll.register(sock, select.EPOLLIN)

    def _ask_free(self, now: int) -> None:
        for _ in range(len(self._free)):
            self._ask(self._free.popleft(), now)

    def _ask(self, number: int, since: int) -> None:
        self._asked[number] = since
        try:
            self._sockets[number].send(self._request)
        except OSError:
            self._replace(number, "cut")

    def _receive(self, number: int) -> bytes:
        try:
            return self._sockets[number].recv(65_536)
        except OSError:
            return b""

    def _expect_end(self, sock: socket.socket) -> None:
        # A server that sends a response without a request may have sent earlier ones too soon: its rate is not valid.
        sock.settimeout(self._job.timeout_seconds)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            self._errors["wrong"] += sock.recv(1) != b""

    def _take(self, number: int, data: bytes, now: int) -> None:
        # Data that is not the expected response in one piece.
        whole = self._parts.pop(number, b"") + data
        if number not in self._asked:
            # A closed connection without a request is no error; bytes without a request are an error.
            self._replace(number, "wrong" if data else "")
        elif data and is_short(whole):
            self._parts[number] = whole
        elif error := self._expected.error(whole) if data else "cut":
            self._replace(number, error)
        else:
            self._took.append(now - self._asked.pop(number))
            self._free.append(number)

    def _replace(self, number: int, error: str) -> None:
        self._errors[error] += 1
        self._asked.pop(number, None)
        if number in self._free:
            self._free.remove(number)
        self._sockets.pop(number).close()
        self._connect()


if __name__ == "__main__":
    gc.disable()  # the client makes no reference cycles, and a pause would count as the server's latency
    result = _Client(Job(**json.loads(sys.stdin.readline()))).run()
    sys.stdout.write(json.dumps(dataclasses.asdict(result)) + "\n")
