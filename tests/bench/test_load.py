"""The client counts wrong responses of a server as errors."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import pytest

from tests.bench.job import Job, Result
from tests.bench.offer import Load, offer
from tests.bench.servers import Server

BODY = b'{"AccessKeyId": "ASIAEXAMPLE"}'
RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n" + BODY
REQUEST = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
Kind = Literal["kept", "new", "paced"]
Script = Callable[[int], tuple[bytes, bool]]
"""Returns the bytes to send for the n-th request of a connection, and whether the connection stays open."""


@contextlib.contextmanager
def listener(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    def run_one(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            serve(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=run_one, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def server(script: Script) -> contextlib.AbstractContextManager[int]:
    def serve(sock: socket.socket) -> None:
        number = 0
        stays = True
        while stays and sock.recv(65_536):
            sent, stays = script(number)
            sock.sendall(sent)
            number += 1

    return listener(serve)


def job(kind: Kind, port: int) -> Job:
    answer = RIGHT.decode()
    return Job(kind, port, REQUEST, answer, 4, 0.2, per_second=100, timeout_seconds=0.2)


def run(kind: Kind, port: int) -> Result:
    load = Load(job(kind, port))
    if kind == "paced":
        time.sleep(0.5)  # it ends with its standard input, which `result` closes
    return load.result()


@pytest.fixture(params=["kept", "new", "paced"])
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


def test_right_responses_are_counted_without_errors(kind: Kind) -> None:
    with server(lambda _: (RIGHT, kind != "new")) as port:
        result = run(kind, port)
    assert result.answers > 10
    assert result.errors == {}
    assert 0 < result.p50_ms <= result.p99_ms <= result.worst_ms < 300


WRONG = {
    "closed without a response": (b"", False, "cut"),
    "cut in its head": (RIGHT[:20], False, "cut"),
    "cut in its body": (RIGHT[:-1], False, "cut"),
    "a body shorter than its length, on an open connection": (RIGHT[:-1], True, "late"),
    "no response": (b"", True, "late"),
    "a shorter body": (RIGHT.replace(b"30", b"29")[:-1], False, "wrong"),
    "a longer body": (RIGHT + b"}", False, "wrong"),
    "a wrong byte": (RIGHT.replace(b"EXAMPLE", b"EXAMPLF"), False, "wrong"),
    "503": (RIGHT.replace(b"200 OK", b"503 No"), False, "wrong"),
    "503 without a length": (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False, "wrong"),
    "two responses": (RIGHT + RIGHT, False, "wrong"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_responses_are_errors_and_are_not_counted(kind: Kind, name: str) -> None:
    sent, stays, error = WRONG[name]
    with server(lambda _: (sent, stays)) as port:
        result = run(kind, port)
    assert result.answers == 0
    assert set(result.errors) == {error}
    assert result.p50_ms == float("inf")


def test_a_reset_is_an_error_of_kind_cut(kind: Kind) -> None:
    def reset(sock: socket.socket) -> None:
        sock.recv(1)
        sock.close()  # with bytes unread: the kernel resets the connection

    with listener(reset) as port:
        result = run(kind, port)
    assert result.answers == 0
    assert set(result.errors) == {"cut"}


def test_responses_without_a_request_are_errors() -> None:
    def twice(sock: socket.socket) -> None:
        while sock.recv(65_536):
            sock.sendall(RIGHT)
            time.sleep(0.005)
            sock.sendall(RIGHT)

    with listener(twice) as port:
        result = offer(replace(job("kept", port), connections=1))
    assert result.errors["wrong"] > 0


def test_if_each_third_response_is_wrong_a_third_are_errors() -> None:
    with server(lambda number: (RIGHT if number % 3 < 2 else RIGHT.replace(b"200", b"500"), True)) as port:
        result = offer(job("kept", port))
    # Each wrong response closes its connection, and a new connection begins with two right ones.
    assert set(result.errors) == {"wrong"}
    assert abs(result.answers - 2 * result.errors["wrong"]) <= 2 * 4


def test_a_closed_port_is_an_error(kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    result = run(kind, port)
    assert result.answers == 0
    assert result.errors["ECONNREFUSED"] == 4


def test_a_response_in_two_parts_is_right() -> None:
    def slowly(sock: socket.socket) -> None:
        while sock.recv(65_536):
            sock.sendall(RIGHT[:50])
            time.sleep(0.01)
            sock.sendall(RIGHT[50:])

    with listener(slowly) as port:
        result = offer(job("kept", port))
    assert result.errors == {}
    assert result.answers > 4
    assert result.p50_ms >= 10


def test_a_response_with_another_date_is_right() -> None:
    def dated(number: int) -> bytes:
        return RIGHT.replace(b"\r\n\r\n", b"\r\nDate: Mon, 24 Nov 2025 12:00:%02d GMT\r\n\r\n" % (number % 60))

    with server(lambda number: (dated(number), True)) as port:
        good = offer(replace(job("kept", port), answer=dated(0).decode()))
    assert good.errors == {}
    assert good.answers > 10


def test_the_response_may_change_as_many_times_as_the_job_allows() -> None:
    other = RIGHT.replace(b"EXAMPLE", b"ANOTHER")
    third = RIGHT.replace(b"EXAMPLE", b"A THIRD")
    with server(lambda number: (RIGHT if number < 3 else other, True)) as port:
        once = offer(replace(job("kept", port), refreshes=1))
    assert once.errors == {}
    assert once.refreshed.encode() == other
    with server(lambda number: (RIGHT if number < 3 else other if number < 6 else third, True)) as port:
        twice = offer(replace(job("kept", port), refreshes=1))
    assert twice.errors["wrong"] > 0


def test_requests_that_are_due_during_a_stall_have_its_latency() -> None:
    began = time.perf_counter()

    def script(_: int) -> tuple[bytes, bool]:
        time.sleep(max(0.0, began + 0.8 - time.perf_counter()))
        return RIGHT, True

    with server(script) as port:
        load = Load(replace(job("paced", port), connections=1, seconds=5, timeout_seconds=5))
        time.sleep(1.0)
        result = load.result()
    assert result.errors == {}
    # With a client that sends the next request after the response, only one request would have been slow.
    assert result.p50_ms > 50


def test_a_compared_server_must_send_right_responses_and_check_the_token() -> None:
    with server(lambda _: (RIGHT, True)) as port:
        with pytest.raises(RuntimeError, match="does not check the token"):
            Server("peer", 1, port, "token", BODY).answer(close=False)
        with pytest.raises(RuntimeError, match="sends a wrong response: status 200, length 30"):
            Server("peer", 1, port, "token", BODY[:-1]).answer(close=False)
    unavailable = RIGHT.replace(b"200", b"503")
    wrong = "sends a wrong response: status 503"
    with server(lambda _: (unavailable, True)) as port, pytest.raises(RuntimeError, match=wrong):
        Server("peer", 1, port, "token", BODY).answer(close=False)
