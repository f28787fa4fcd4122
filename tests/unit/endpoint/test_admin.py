import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.endpoint.admin import AdminServer
from sidecar.errors import StartError
from sidecar.http1.listener import bind
from tests.helpers.clock import FakeClock
from tests.helpers.peer import Peer, request, run

TYPE = "text/plain; version=1.0.0; charset=utf-8"


class AdminSetup:
    """A server and the state that it serves."""

    def __init__(self, address: str) -> None:
        self.clock = FakeClock()
        self.health = {"live": (True, "ok"), "ready": (False, "reader: no credentials"), "started": (True, "ok")}
        self.scrapes = 0
        self.server = AdminServer(
            live=lambda: self.health["live"],
            ready=lambda: self.health["ready"],
            started=lambda: self.health["started"],
            metrics=self.metrics,
            metrics_type=TYPE,
            clock=self.clock,
            port=0,
            address=address,
        )

    def metrics(self) -> bytes:
        self.scrapes += 1
        return b"scrape_number %d\n" % self.scrapes


@asynccontextmanager
async def site(address: str = "") -> AsyncIterator[tuple[AdminSetup, Peer]]:
    made = AdminSetup(address)
    await made.server.start()
    client = await Peer.connect(made.server.port, address or "127.0.0.1")
    try:
        yield made, client
    finally:
        await client.close()
        await made.server.stop(0)


@pytest.mark.rule("Kubernetes D6")
@pytest.mark.parametrize(("path", "check"), [("/livez", "live"), ("/readyz", "ready"), ("/startupz", "started")])
def test_each_check_is_200_or_503_with_its_reason(path: str, check: str) -> None:
    async def main() -> None:
        async with site() as (here, client):
            for good, status in ((True, 200), (False, 503)):
                here.health[check] = (good, f"{check} is {good}")
                reply = await client.ask(request(path + "?verbose"))
                assert (reply.status, reply.body) == (status, f"{check} is {good}\n".encode())
                assert reply.headers["content-type"].startswith("text/plain")

    run(main())


def test_checks_answer_head_without_a_body() -> None:
    async def main() -> None:
        async with site() as (_, client):
            client.send(request("/readyz", method="HEAD") + request("/livez"))
            assert (await client.reply(to_head=True)).status == 503
            assert (await client.reply()).status == 200

    run(main())


@pytest.mark.mutant("metrics are rendered for every scrape")
def test_metrics_have_the_given_type_and_are_rendered_once_a_second() -> None:
    async def main() -> None:
        async with site() as (here, client):
            for advance, expected in ((0, 1), (0.99, 1), (0.02, 2), (0.5, 2), (0.5, 3)):
                here.clock.advance(advance)
                reply = await client.ask(request("/metrics"))
                assert (reply.status, reply.body) == (200, b"scrape_number %d\n" % expected)
                assert reply.headers["content-type"] == TYPE
                here.clock.step_wall(-3_600)

    run(main())


def test_the_admin_port_accepts_any_host() -> None:
    async def main() -> None:
        async with site() as (_, client):
            asked = request("/livez", "Host: 10.0.0.7:9842", "X-Forwarded-For: 10.0.0.1", "User-Agent: kube-probe/1.36")
            assert (await client.ask(asked)).status == 200

    run(main())


@pytest.mark.rule("Kubernetes D6")
def test_other_paths_and_methods_are_rejected() -> None:
    async def main() -> None:
        async with site() as (_, client):
            assert (await client.ask(request("/v1/credentials"))).status == 404
            assert (await client.ask(request("/"))).status == 404
            reply = await client.ask(request("/metrics", method="POST"))
            assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
            assert (await client.ask(b"?\r\n\r\n")).status == 400

    run(main())


@pytest.mark.mutant("the number of admin connections has no limit")
def test_a_flood_of_connections_costs_the_oldest_idle_one() -> None:
    async def main() -> None:
        async with site() as (here, client):
            flood = [await Peer.connect(here.server.port) for _ in range(100)]
            for each in flood:
                each.send(b"GET /metrics")
            last = await Peer.connect(here.server.port)
            assert (await last.ask(request("/livez"))).status == 200
            assert here.server.connections == 16
            assert here.server.evicted == 86
            assert await client.rest() == b""
            for each in (*flood, last):
                await each.close()

    run(main())


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_by_default_both_families_are_served() -> None:
    async def main() -> None:
        async with site() as (here, client):
            assert here.server.address == "::"
            assert (await client.ask(request("/livez"))).status == 200
            six = await Peer.connect(here.server.port, "::1")
            assert (await six.ask(request("/livez", "Host: [::1]"))).status == 200
            await six.close()

    run(main())


def test_without_ipv6_every_ipv4_address_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a kernel that was booted with ipv6.disable=1: the family does not exist.
    monkeypatch.setattr(socket, "AF_INET6", socket.AF_APPLETALK)

    async def main() -> None:
        async with site() as (here, client):
            assert here.server.address == "0.0.0.0"
            assert (await client.ask(request("/livez"))).status == 200

    run(main())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_given_address_is_used(address: str) -> None:
    async def main() -> None:
        async with site(address) as (here, client):
            assert here.server.address == address
            assert (await client.ask(request("/livez"))).status == 200

    run(main())


@pytest.mark.parametrize(
    ("address", "message"),
    [("pod.example", "not an IP address; set the admin address"), ("192.0.2.1", "choose an address of this machine")],
)
def test_an_unusable_address_is_reported(address: str, message: str) -> None:
    with pytest.raises(StartError, match=message):
        run(AdminSetup(address).server.start())


def test_a_port_in_use_is_a_start_error_not_a_fallback_to_ipv4() -> None:
    async def main() -> None:
        async with site() as (here, _):
            other = AdminSetup("")
            other.server._port = here.server.port
            with pytest.raises(StartError, match="stop the program that uses this port"):
                await other.server.start()

    run(main())


def test_bind_closes_its_socket_when_it_fails() -> None:
    with pytest.raises(StartError):
        bind(socket.AF_INET, "192.0.2.1", 0)
