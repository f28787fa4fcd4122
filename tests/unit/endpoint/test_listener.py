import asyncio
import errno
import gc
import os
import resource
import socket

import pytest

from sidecar.endpoint.http1 import Connection, Limits
from sidecar.endpoint.listener import bind
from sidecar.endpoint.reader import RequestReader
from sidecar.endpoint.transport import SocketTransport
from sidecar.endpoint.wire import render
from sidecar.errors import StartError
from sidecar.limits import LISTEN_BACKLOG
from tests.helpers.peer import Peer, replies_in, request, run, until
from tests.unit.endpoint.site import peer, site


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


def test_a_request_in_flight_is_never_cut_for_a_new_connection() -> None:
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
                pending.resolve(render(200, b"now"))
                assert (await client.reply()).body == b"now"
                await client.close()
            await late.close()

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


def test_a_connection_that_is_over_is_freed_without_the_garbage_collector() -> None:
    kinds = (Connection, RequestReader, SocketTransport)

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


def test_stop_answers_what_is_in_flight_and_says_close() -> None:
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
            here.pending[0].resolve(render(200, b"now"))
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


def test_the_kernel_queue_is_the_long_one() -> None:
    with bind(socket.AF_INET, "127.0.0.1", 0) as sock:
        # TCP_INFO of a listening socket: tcpi_sacked is its backlog (include/uapi/linux/tcp.h).
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        assert int.from_bytes(info[28:32], "little") == LISTEN_BACKLOG


def test_a_listener_without_descriptors_looks_away_and_comes_back() -> None:
    async def main() -> None:
        async with site() as here:
            with socket.create_connection(("127.0.0.1", here.port)) as client:
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                free = os.dup(0)
                os.close(free)
                resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
                try:
                    await until(lambda: not here.listener.accepting)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                client.settimeout(0)
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(client, request("/late"))
                (reply,) = replies_in(await loop.sock_recv(client, 4_096))
                assert reply.body == b"/late"

    run(main())


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with bind(socket.AF_INET, "127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port}; stop what listens there") as caught:
            bind(socket.AF_INET, "127.0.0.1", port)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EADDRINUSE
