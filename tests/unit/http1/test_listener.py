import asyncio
import errno
import gc
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from sidecar.errors import StartError
from sidecar.http1.connection import Limits, ServerConnection
from sidecar.http1.listener import bind
from sidecar.http1.parser import RequestReader
from sidecar.http1.response import encode_response
from sidecar.http1.transport import SocketTransport
from sidecar.limits import LISTEN_BACKLOG
from tests.helpers.peer import Peer, replies_in, request, run, until
from tests.unit.http1.echo_server import peer, site


@pytest.mark.mutant("no idle connection is closed at the connection limit")
def test_at_the_cap_the_connection_longest_without_a_request_goes() -> None:
    async def main() -> None:
        async with site(Limits(connections=3)) as here:
            first, second, third = [await Peer.connect(here.port) for _ in range(3)]
            for client in (first, second, third, first):
                await client.ask(request("/"))
            fourth = await Peer.connect(here.port)
            assert (await fourth.ask(request("/"))).status == 200
            assert await second.rest() == b""
            assert (here.listener.open, here.listener.evicted) == (3, 1)
            for client in (first, third, fourth):
                assert (await client.ask(request("/"))).status == 200
                await client.close()
            await second.close()

    run(main())


@pytest.mark.mutant("no idle connection is closed at the connection limit")
def test_stuck_connections_do_not_push_out_a_live_one() -> None:
    async def main() -> None:
        async with site(Limits(connections=4)) as here:
            live = await Peer.connect(here.port)
            stuck = []
            for number in range(40):
                assert (await live.ask(request("/"))).status == 200
                stuck.append(await Peer.connect(here.port))
                stuck[-1].send(b"GET /" if number % 2 else b"")
                await until(lambda: here.listener.open + here.listener.evicted == len(stuck) + 1)
            assert (await live.ask(request("/"))).status == 200
            assert here.listener.evicted == 37
            for client in (live, *stuck):
                await client.close()

    run(main())


def test_a_request_in_flight_is_not_dropped_for_a_new_connection() -> None:
    async def main() -> None:
        async with site(Limits(connections=2)) as here:
            busy = [await Peer.connect(here.port) for _ in range(2)]
            for client in busy:
                client.send(request("/later"))
            await until(lambda: len(here.pending) == 2)
            late = await Peer.connect(here.port)
            assert await late.rest() == b""
            assert (here.listener.turned_away, here.listener.evicted) == (1, 0)
            for client, pending in zip(busy, here.pending, strict=True):
                pending.resolve(encode_response(200, b"now"))
                assert (await client.reply()).body == b"now"
                await client.close()
            await late.close()

    run(main())


def at_once(stack: ExitStack, port: int, count: int, data: bytes = b"") -> list[socket.socket]:
    """Return connections that the kernel accepted and that sent these bytes, before the listener gets a turn."""
    made = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]
    for each in made:
        each.sendall(data)
        each.settimeout(0)
    return made


@pytest.mark.mutant("a connection is closed before its request is read")
@pytest.mark.parametrize("asked", [request("/probe"), request("/probe", "Connection: close")])
def test_a_probe_is_answered_during_a_flood_of_connections(asked: bytes) -> None:
    async def main() -> None:
        async with site(Limits(connections=4)) as here:
            with ExitStack() as stack:
                probes = []
                for number in range(100):
                    at_once(stack, here.port, number % 7)
                    probes += at_once(stack, here.port, 1, asked)
                loop = asyncio.get_running_loop()
                for probe in probes:
                    (reply,) = replies_in(await loop.sock_recv(probe, 4_096))
                    assert reply.body == b"/probe"
                assert here.listener.turned_away == 0
                assert here.listener.open <= 4

    run(main())


@pytest.mark.mutant("more connections are accepted in one turn than may be open")
def test_no_more_are_accepted_in_one_turn_than_are_kept() -> None:
    async def main() -> None:
        async with site(Limits(connections=8)) as here:
            with ExitStack() as stack:
                at_once(stack, here.port, 60)
                accepted = 0
                while accepted < 60:
                    await asyncio.sleep(0)
                    so_far = here.listener.open + here.listener.evicted
                    assert so_far - accepted <= 8, "some were closed before their first turn"
                    accepted = so_far

    run(main())


@pytest.mark.mutant("connections that were just answered are never closed for new ones")
def test_kept_connections_that_ask_at_once_do_not_turn_a_new_one_away() -> None:
    async def main() -> None:
        async with site(Limits(connections=4)) as here:
            with ExitStack() as stack:
                idle = at_once(stack, here.port, 4, request("/first"))
                loop = asyncio.get_running_loop()
                for each in idle:
                    await loop.sock_recv(each, 4_096)
                # In this order: it is accepted before the others are read.
                (late,) = at_once(stack, here.port, 1, request("/late"))
                for each in idle:
                    each.send(request("/second"))
                (reply,) = replies_in(await loop.sock_recv(late, 4_096))
                assert reply.body == b"/late"
                for each in idle:
                    (reply,) = replies_in(await loop.sock_recv(each, 4_096))
                    assert reply.body == b"/second"
                assert (here.listener.turned_away, here.listener.evicted) == (0, 1)

    run(main())


@pytest.mark.mutant("peers that pipeline block new connections")
def test_peers_that_ask_faster_than_they_are_served_do_not_keep_others_out() -> None:
    async def main() -> None:
        async with site(Limits(connections=2)) as here:
            with ExitStack() as stack:
                greedy = at_once(stack, here.port, 2, request("/first"))
                loop = asyncio.get_running_loop()
                for each in greedy:
                    await loop.sock_recv(each, 4_096)
                    each.send(request("/more") * 300)
                for _ in range(3):
                    (late,) = at_once(stack, here.port, 1, request("/late"))
                    (reply,) = replies_in(await loop.sock_recv(late, 4_096))
                    assert reply.body == b"/late"
                    assert here.listener.open <= 3
                assert here.listener.turned_away == 0

    run(main())


@pytest.mark.mutant("a busy connection is aborted instead of closed after its answer")
def test_a_peer_that_is_told_to_leave_gets_an_answer_that_says_so_and_none_is_cut() -> None:
    async def main() -> None:
        async with site(Limits(connections=1)) as here:
            greedy = await Peer.connect(here.port)
            await greedy.ask(request("/first"))
            with ExitStack() as stack:
                greedy.send(request("/more") * 300)
                (late,) = at_once(stack, here.port, 1, request("/late"))
                (reply,) = replies_in(await asyncio.get_running_loop().sock_recv(late, 4_096))
                assert reply.body == b"/late"
                replies = replies_in(await greedy.rest())
                assert [reply.closes for reply in replies] == [False] * (len(replies) - 1) + [True]
                assert 1 < len(replies) < 300
            await greedy.close()

    run(main())


def test_the_sweep_runs_by_itself_and_only_while_there_are_connections() -> None:
    async def main() -> None:
        async with site(Limits(idle_seconds=0.0, sweep_seconds=0.01)) as here:
            assert here.listener._timer is None
            client = await Peer.connect(here.port)
            assert await client.rest() == b""
            await until(lambda: here.listener.open == 0)
            await until(lambda: here.listener._timer is None)
            await client.close()

    run(main())


def test_a_closed_connection_is_freed_without_the_garbage_collector() -> None:
    kinds = (ServerConnection, RequestReader, SocketTransport)

    async def scene() -> None:
        async with site() as here:
            for _ in range(20):
                client = await Peer.connect(here.port)
                await client.ask(request("/x"))
                await client.close()
                await until(lambda: here.listener.open == 0)
            await asyncio.sleep(0)
            left = [type(one).__name__ for one in gc.get_objects() if isinstance(one, kinds)]
            assert left == [], "a thousand short connections a second must not pile up until a full collection"

    gc.collect()
    gc.disable()
    try:
        run(scene())
    finally:
        gc.enable()


def test_stop_answers_requests_in_flight_with_close() -> None:
    async def main() -> None:
        async with site() as here:
            waiting, begun, idle = [await Peer.connect(here.port) for _ in range(3)]
            waiting.send(request("/later"))
            begun.send(b"GET /begun HTTP/1.1\r\n")
            await idle.ask(request("/"))
            await until(lambda: len(here.pending) == 1)
            idle.send(request("/in-the-kernel"))
            stopping = asyncio.create_task(here.listener.stop(5))
            (reply,) = replies_in(await idle.rest())
            assert (reply.body, reply.closes) == (b"/in-the-kernel", True)
            begun.send(b"\r\n")
            (reply,) = replies_in(await begun.rest())
            assert (reply.body, reply.closes) == (b"/begun", True)
            assert not stopping.done()
            here.pending[0].resolve(encode_response(200, b"now"))
            (reply,) = replies_in(await waiting.rest())
            assert (reply.body, reply.closes) == (b"now", True)
            await stopping
            with pytest.raises(ConnectionRefusedError):
                await Peer.connect(here.port)
            for client in (waiting, begun, idle):
                await client.close()

    run(main())


def test_stop_does_not_wait_for_more_than_the_drain_time() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            client.send(request("/later"))
            await until(lambda: len(here.pending) == 1)
            await here.listener.stop(0.01)
            assert here.listener.open == 0
            assert await client.rest() == b""

    run(main())


def test_a_cancelled_stop_leaves_nothing_open() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            client.send(request("/later"))
            await until(lambda: len(here.pending) == 1)
            stopping = asyncio.create_task(here.listener.stop(60))
            await until(lambda: here.listener._empty is not None)
            stopping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stopping
            assert here.listener.open == 0
            assert await client.rest() == b""

    run(main())


def test_stop_before_start_and_twice_does_nothing() -> None:
    async def main() -> None:
        async with site() as here:
            await here.listener.stop(1)
            await here.listener.stop(1)

    run(main())


def test_the_listen_backlog_is_set() -> None:
    with bind(socket.AF_INET, "127.0.0.1", 0) as sock:
        # TCP_INFO of a listening socket: tcpi_sacked is its backlog (include/uapi/linux/tcp.h).
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        assert int.from_bytes(info[28:32], "little") == LISTEN_BACKLOG


def test_a_listener_without_descriptors_pauses_and_resumes() -> None:
    async def main() -> None:
        async with site() as here:
            with socket.create_connection(("127.0.0.1", here.port)) as client:
                with no_descriptor_left():
                    await until(lambda: not here.listener.accepting)
                client.settimeout(0)
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(client, request("/late"))
                (reply,) = replies_in(await loop.sock_recv(client, 4_096))
                assert reply.body == b"/late"

    run(main())


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.mutant(
    "a connection is closed before its request is read", "no idle connection is closed when descriptors run out"
)
def test_without_descriptors_an_idle_connection_is_closed_after_requests_are_answered() -> None:
    async def main() -> None:
        async with site() as here:
            loop = asyncio.get_running_loop()
            with ExitStack() as stack:
                asks, idle, other = at_once(stack, here.port, 3)
                await until(lambda: here.listener.open == 3)
                (late,) = at_once(stack, here.port, 1, request("/late"))
                with no_descriptor_left():
                    asks.send(request("/asked"))
                    (reply,) = replies_in(await loop.sock_recv(late, 4_096))
                    assert reply.body == b"/late"
                    (reply,) = replies_in(await loop.sock_recv(asks, 4_096))
                    assert reply.body == b"/asked"
                    assert await loop.sock_recv(idle, 1) == b""
                    assert here.listener.accepting
                assert (here.listener.open, here.listener.evicted) == (3, 1)
                other.send(request("/other"))
                (reply,) = replies_in(await loop.sock_recv(other, 4_096))
                assert reply.body == b"/other"

    run(main())


def test_a_port_in_use_is_reported_with_the_fix() -> None:
    with bind(socket.AF_INET, "127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port}; stop the program that uses this port") as caught:
            bind(socket.AF_INET, "127.0.0.1", port)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EADDRINUSE
