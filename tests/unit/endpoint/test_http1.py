import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.endpoint.http1 import PIPELINE_MAX, Limits
from sidecar.endpoint.listener import Listener, bind
from sidecar.endpoint.reader import Fault, Request
from sidecar.endpoint.wire import Answer, Pending, render
from tests.helpers.peer import Peer, Reply, replies_in, request, run, until


class Site:
    """A handler that echoes the target, and what became of it."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.targets: list[bytes] = []
        self.pending: list[Pending] = []
        self.body = b"x"
        self.port = 0
        self.listener = Listener(self.handle, Limits(), self.faults.append)

    def handle(self, asked: Request) -> Answer | Pending:
        self.targets.append(asked.target)
        if asked.target == b"/later":
            self.pending.append(Pending())
            return self.pending[-1]
        if asked.target == b"/bug":
            raise ZeroDivisionError
        return render(200, self.body if asked.target == b"/body" else asked.target)

    def sweep_in(self, seconds: float) -> None:
        self.listener.sweep(self.listener.loop.time() + seconds)


@asynccontextmanager
async def site(limits: Limits | None = None) -> AsyncIterator[Site]:
    made = Site()
    made.listener.limits = limits or made.listener.limits
    sock = bind(socket.AF_INET, "127.0.0.1", 0)
    made.port = sock.getsockname()[1]
    made.listener.start(sock)
    try:
        yield made
    finally:
        await made.listener.stop(0)
        assert made.listener.open == 0


@asynccontextmanager
async def peer(limits: Limits | None = None) -> AsyncIterator[tuple[Site, Peer]]:
    async with site(limits) as here:
        client = await Peer.connect(here.port)
        try:
            yield here, client
        finally:
            await client.close()


async def exchange(data: bytes) -> tuple[list[Reply], list[Fault]]:
    """Send bytes, half-close, and return what came back until the server closed."""
    async with peer() as (here, client):
        client.send(data)
        client.half_close()
        return replies_in(await client.rest()), here.faults


def test_a_connection_stays_open_for_the_next_request() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            for target in ("/one", "/two", "/three"):
                reply = await client.ask(request(target))
                assert (reply.status, reply.body, reply.closes) == (200, target.encode(), False)
            assert here.listener.open == 1

    run(main())


@pytest.mark.parametrize(
    "asked",
    [
        request("/", "Connection: close"),
        request("/", "Connection: foo, CLOSE"),
        request("/", version="1.0"),
        request("/", "Connection: keep-alive", version="1.0"),
    ],
)
def test_the_answer_announces_the_close_that_the_request_asks_for(asked: bytes) -> None:
    async def main() -> None:
        async with peer() as (_, client):
            client.send(asked, request("/never"))
            (reply,) = replies_in(await client.rest())
            assert reply.status == 200
            assert reply.closes

    run(main())


def test_pipelined_requests_are_answered_in_order() -> None:
    targets = [f"/{number}" for number in range(5 * PIPELINE_MAX)]
    replies, _ = run(exchange(b"".join(map(request, targets))))
    assert [reply.body.decode() for reply in replies] == targets


def test_later_requests_wait_for_an_earlier_pending_answer() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            client.send(request("/a") + request("/later") + request("/b") + request("/later") + request("/c"))
            assert (await client.reply()).body == b"/a"
            await until(lambda: len(here.pending) == 2)
            here.pending[1].resolve(render(200, b"second"))
            here.pending[0].resolve(render(503, b"first"))
            replies = [await client.reply() for _ in range(4)]
            assert [reply.body for reply in replies] == [b"first", b"/b", b"second", b"/c"]
            assert (await client.ask(request("/d"))).body == b"/d"

    run(main())


def test_requests_behind_a_pending_answer_are_bounded_and_all_answered() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            more = 3 * PIPELINE_MAX
            client.send(request("/later"), *(request(f"/{number}") for number in range(more)))
            await until(lambda: len(here.targets) == PIPELINE_MAX)
            here.sweep_in(1_000)  # an unanswered request is our turn: no limit of time applies
            await asyncio.sleep(0)
            assert len(here.targets) == PIPELINE_MAX
            here.pending[0].resolve(render(200, b"now"))
            replies = [await client.reply() for _ in range(1 + more)]
            assert [reply.body for reply in replies] == [b"now", *(b"/%d" % number for number in range(more))]

    run(main())


def test_a_request_to_close_ends_the_connection_after_the_pending_answer() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            client.send(request("/later", "Connection: close"))
            await until(lambda: len(here.pending) == 1)
            here.pending[0].resolve(render(200, b"now"))
            (reply,) = replies_in(await client.rest())
            assert (reply.body, reply.closes) == (b"now", True)

    run(main())


def test_a_peer_that_half_closes_still_gets_its_pending_answer() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            client.send(request("/later"))
            client.half_close()
            await until(lambda: len(here.pending) == 1)
            await asyncio.sleep(0.01)
            here.pending[0].resolve(render(200, b"now"))
            (reply,) = replies_in(await client.rest())
            assert (reply.body, reply.closes) == (b"now", True)

    run(main())


def test_a_pending_answer_for_a_peer_that_is_gone_is_dropped() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            client.send(request("/later"))
            await until(lambda: len(here.pending) == 1)
            here.listener.limits = Limits(connections=0)
            for connection in here.listener._connections:
                connection.abort()
            await until(lambda: here.listener.open == 0)
            here.pending[0].resolve(render(200, b"now"))
            await asyncio.sleep(0)
            assert await client.rest() == b""

    run(main())


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Fault.MALFORMED),
        (b"GET / HTTP/1.1\nHost: a\n\n", Fault.MALFORMED),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", Fault.MALFORMED),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", Fault.MALFORMED),
        (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", Fault.MALFORMED),
        (b"GET /\xff HTTP/1.1\r\n\r\n", Fault.MALFORMED),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault.MALFORMED),
        (request("/", "Content-Length: 1", "Content-Length: 1") + b"x", Fault.MALFORMED),
        (request("/", "Content-Length: -1"), Fault.MALFORMED),
        (request("/", "Content-Length: 5") + b"hello", Fault.BODY),
        (request("/", "Content-Length: 5"), Fault.BODY),
        (request("/", "Content-Length: 5", method="POST") + b"hello", Fault.BODY),
        (request("/", "Content-Length: 5", "Expect: 100-continue"), Fault.BODY),
        (request("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n", Fault.BODY),
        (request("/", "Transfer-Encoding: chunked", "Content-Length: 5"), Fault.MALFORMED),
        (request("/", "Connection: Upgrade", "Upgrade: h2c"), Fault.UPGRADE),
        (request("127.0.0.1:1", method="CONNECT"), Fault.UPGRADE),
        (request(version="2.0"), Fault.VERSION),
        (b"GET /\r\n\r\n", Fault.VERSION),
        (request("/" + "a" * 8_192), Fault.HEAD_TOO_LARGE),
        (b"GET /" + b"a" * 20_000, Fault.HEAD_TOO_LARGE),
        (request("/", *(f"H{number}: v" for number in range(1_000))), Fault.HEAD_TOO_LARGE),
    ],
)
def test_what_is_no_plain_request_gets_one_answer_that_closes(data: bytes, fault: Fault) -> None:
    replies, faults = run(exchange(data + request("/smuggled")))
    assert [(reply.status, reply.closes) for reply in replies] == [(fault.status, True)]
    assert faults == [fault]


def test_a_body_is_refused_before_it_arrives_and_never_asked_for() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            client.send(request("/", "Content-Length: 5", "Expect: 100-continue"))
            reply = await client.reply()
            assert reply.status == 413
            assert here.targets == []

    run(main())


def test_a_content_length_of_zero_is_no_body() -> None:
    replies, _ = run(exchange(request("/a", "Content-Length: 0") + request("/b")))
    assert [reply.body for reply in replies] == [b"/a", b"/b"]


def _head_of(size: int) -> bytes:
    return request("/" + "a" * (size - len(request("/"))))


def test_a_head_may_take_the_limit_and_not_a_byte_more() -> None:
    fits, faults = run(exchange(_head_of(8_192) + _head_of(8_192)))
    assert ([reply.status for reply in fits], faults) == ([200, 200], [])
    too_large, faults = run(exchange(_head_of(8_192) + _head_of(8_193)))
    assert ([reply.status for reply in too_large], faults) == ([200, 431], [Fault.HEAD_TOO_LARGE])


def test_a_refusal_survives_bytes_that_are_still_under_way() -> None:
    async def main() -> None:
        async with peer() as (_, client):
            client.send(b"GET /" + b"a" * 2_000_000)
            assert [reply.status for reply in replies_in(await client.rest())] == [431]

    run(main())


def test_head_never_gets_a_body() -> None:
    async def main() -> None:
        async with peer() as (_, client):
            client.send(request("/abc", method="HEAD") + request("/next"))
            reply = await client.reply(to_head=True)
            assert reply.headers["content-length"] == "4"
            assert (await client.reply()).body == b"/next"
            client.send(request("/", "Content-Length: 5", method="HEAD"))
            reply = await client.reply(to_head=True)
            assert reply.status == 413
            assert await client.rest() == b""

    run(main())


def test_a_bug_in_a_handler_is_a_500_and_is_reported_once() -> None:
    async def main() -> None:
        reported: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        async with peer() as (here, client):
            reply = await client.ask(request("/bug"))
            assert (reply.status, reply.closes) == (500, True)
            assert b"ZeroDivision" not in reply.body
            assert here.faults == [Fault.INTERNAL]
            assert [type(error) for error in reported] == [ZeroDivisionError]

    run(main())


def test_an_unfinished_request_is_answered_408_after_its_time() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            client.send(b"GET / HT")
            await until(lambda: any(connection._partial_at for connection in here.listener._connections))
            here.sweep_in(4.9)
            client.send(b"T")
            await asyncio.sleep(0.01)
            here.sweep_in(5.1)  # the byte in between bought no time
            (reply,) = replies_in(await client.rest())
            assert (reply.status, reply.closes) == (408, True)
            assert here.faults == [Fault.TIMEOUT]

    run(main())


def test_a_request_that_follows_another_has_its_own_time() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            assert (await client.ask(request("/a") + b"GET /b")).body == b"/a"
            (connection,) = here.listener._connections
            begun = connection._partial_at
            assert begun is not None
            here.listener.sweep(begun + 4.9)
            client.send(b" HTTP/1.1\r\n\r\n")
            assert (await client.reply()).body == b"/b"
            here.listener.sweep(begun + 5.1)
            assert (await client.ask(request("/c"))).body == b"/c"

    run(main())


def test_an_idle_connection_is_closed_without_an_answer() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            await client.ask(request("/"))
            here.sweep_in(29.9)
            assert (await client.ask(request("/"))).status == 200
            here.sweep_in(30.1)
            assert await client.rest() == b""
            assert here.faults == []

    run(main())


def test_a_connection_that_never_says_anything_is_closed() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            await until(lambda: here.listener.open == 1)
            here.sweep_in(30.1)
            assert await client.rest() == b""

    run(main())


def test_a_peer_that_does_not_read_is_not_read_from_and_then_cut() -> None:
    async def main() -> None:
        async with site() as here:
            here.body = b"b" * 9_000
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.settimeout(0)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", here.port))
            asked = request("/body") * 100
            sent = 0
            # It asks until the kernel takes no more, because we have stopped reading.
            for _ in range(100_000):
                try:
                    sent += sock.send(asked)
                except BlockingIOError:
                    served = len(here.targets)
                    await asyncio.sleep(0.02)
                    if served == len(here.targets):
                        break
                await asyncio.sleep(0)
            (connection,) = here.listener._connections
            assert connection._stalled_at is not None
            assert connection._transport.get_write_buffer_size() < 20_000 + 17 * 9_200
            assert len(here.targets) * len(request("/body")) < sent
            here.listener.sweep(connection._stalled_at + 29.9)
            assert here.listener.open == 1
            here.listener.sweep(connection._stalled_at + 30.1)
            await until(lambda: here.listener.open == 0)
            sock.close()

    run(main())


def test_a_peer_that_reads_again_gets_every_answer() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            here.body = b"b" * 9_000
            count = 2_000
            client.send(request("/body") * count)
            await until(lambda: any(connection._stalled_at for connection in here.listener._connections))
            for _ in range(count):
                assert len((await client.reply()).body) == 9_000
            assert (await client.ask(request("/end"))).body == b"/end"

    run(main())


def test_a_closed_connection_that_the_peer_keeps_open_is_cut() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            client.send(b"?\r\n\r\n")
            assert (await client.reply()).status == 400
            assert here.listener.open == 1
            here.sweep_in(0.9)
            await asyncio.sleep(0)
            assert here.listener.open == 1
            here.sweep_in(1.1)
            await until(lambda: here.listener.open == 0)

    run(main())


def test_small_answers_are_not_held_back() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            await client.ask(request("/"))
            (connection,) = here.listener._connections
            sock = connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1

    run(main())


def test_no_header_or_target_is_in_a_repr() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            await client.ask(request("/?secret", "Authorization: secret"))
            (connection,) = here.listener._connections
            assert "secret" not in repr(connection) + repr(here.listener)
            assert "secret" not in repr(Request(b"GET", b"/?secret", [(b"Authorization", b"secret")], keep_alive=True))

    run(main())
