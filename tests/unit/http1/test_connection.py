import asyncio
import socket
import time

import pytest

from sidecar.http1.connection import Limits
from sidecar.http1.parser import Fault
from sidecar.http1.response import encode_response
from sidecar.limits import PIPELINE_MAX
from tests.helpers.peer import Peer, replies_in, request, run, until
from tests.unit.http1.echo_server import EchoServer, exchange, peer, site


@pytest.mark.rule("SDK 12")
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
            here.pending[1].resolve(encode_response(200, b"second"))
            here.pending[0].resolve(encode_response(503, b"first"))
            replies = [await client.reply() for _ in range(4)]
            assert [reply.body for reply in replies] == [b"first", b"/b", b"second", b"/c"]
            assert (await client.ask(request("/d"))).body == b"/d"

    run(main())


def test_requests_behind_a_pending_answer_are_bounded_and_all_answered() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            more = 3 * PIPELINE_MAX
            client.send(request("/later"), *(request(f"/{number}") for number in range(5)))
            await until(lambda: len(here.targets) == 6)
            client.send(b"".join(request(f"/{number}") for number in range(5, more)))
            await until(lambda: len(here.targets) >= PIPELINE_MAX)
            here.sweep_in(1_000)  # a time limit does not apply while the peer waits for an answer
            await asyncio.sleep(0.02)
            assert len(here.targets) == PIPELINE_MAX
            here.pending[0].resolve(encode_response(200, b"now"))
            replies = [await client.reply() for _ in range(1 + more)]
            assert [reply.body for reply in replies] == [b"now", *(b"/%d" % number for number in range(more))]

    run(main())


def test_a_request_to_close_ends_the_connection_after_the_pending_answer() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            client.send(request("/later", "Connection: close"))
            await until(lambda: len(here.pending) == 1)
            here.pending[0].resolve(encode_response(200, b"now"))
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
            here.pending[0].resolve(encode_response(200, b"now"))
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
            here.pending[0].resolve(encode_response(200, b"now"))
            await asyncio.sleep(0)
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


async def begun_at(here: EchoServer, client: Peer, data: bytes) -> float:
    """Send the beginning of a request and return the time when the server received it."""
    client.send(data)
    await until(lambda: any(connection._partial_at for connection in here.listener._connections))
    (connection,) = here.listener._connections
    assert connection._partial_at is not None
    return connection._partial_at


@pytest.mark.mutant("a request that arrives slowly has no deadline")
def test_an_unfinished_request_is_answered_408_after_its_time() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            begun = await begun_at(here, client, b"GET / HT")
            here.listener.sweep(begun + 4.99)
            assert here.faults == []
            client.send(b"T")
            await asyncio.sleep(0.01)
            here.listener.sweep(begun + 5.0)  # the byte in between did not extend the time
            assert here.faults == [Fault.TIMEOUT]
            (reply,) = replies_in(await client.rest())
            assert (reply.status, reply.closes) == (408, True)

    run(main())


@pytest.mark.mutant("a stall resets requests that arrived during it")
@pytest.mark.parametrize("sent_before", [b"", b"GET / HT"])
def test_a_request_that_arrived_during_a_stall_is_answered(sent_before: bytes) -> None:
    """After SIGSTOP or a frozen control group the timer of the sweep is due, and epoll may not have been read yet."""

    async def main() -> None:
        async with peer(Limits(idle_seconds=0.05, request_seconds=0.05)) as (here, client):
            assert (await client.ask(request("/first"))).body == b"/first"
            if sent_before:
                await begun_at(here, client, sent_before)
            client.send(request("/")[len(sent_before) :])
            time.sleep(0.1)  # noqa: ASYNC251 - this is the stall
            here.listener._tick()
            assert (await client.reply()).body == b"/"

    run(main())


def test_each_request_has_its_own_time() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            first = await begun_at(here, client, b"GET /a HTTP/1.1\r\n")
            await asyncio.sleep(0.01)
            client.send(b"\r\nGET /b")
            assert (await client.reply()).body == b"/a"
            second = await begun_at(here, client, b"b")
            assert second > first
            here.listener.sweep(first + 5.0)
            client.send(b" HTTP/1.1\r\n\r\n")
            assert (await client.reply()).body == b"/bb"
            here.listener.sweep(second + 5.0)
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


def test_a_connection_without_a_request_is_closed() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            await until(lambda: here.listener.open == 1)
            here.sweep_in(30.1)
            assert await client.rest() == b""

    run(main())


def test_a_peer_that_does_not_read_is_paused_and_then_closed() -> None:
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
            # It sends requests until the kernel accepts no more bytes, because the server has stopped reading.
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


def test_a_connection_that_the_peer_does_not_close_is_aborted() -> None:
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
