import pytest

from sidecar.http1.parser import Fault, Request
from tests.helpers.peer import replies_in, request, run
from tests.unit.http1.echo_server import exchange, peer

# The headers that the JDK's HttpClient and curl with --http2 add (RFC 7540 section 3.2).
UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")


@pytest.mark.mutant("the body of a request with Upgrade is read as the next request")
@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Fault.MALFORMED),
        (b"GET / HTTP/1.1\nHost: a\n\n", Fault.MALFORMED),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", Fault.MALFORMED),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", Fault.MALFORMED),
        (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", Fault.MALFORMED),
        (b"GET /\xff HTTP/1.1\r\n\r\n", Fault.MALFORMED),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault.VERSION),
        (request("/", "Content-Length: 1", "Content-Length: 1") + b"x", Fault.MALFORMED),
        (request("/", "Content-Length: -1"), Fault.MALFORMED),
        (request("/", "Content-Length: 5") + b"hello", Fault.BODY),
        (request("/", "Content-Length: 5"), Fault.BODY),
        (request("/", "Content-Length: 5", method="POST") + b"hello", Fault.BODY),
        (request("/", "Content-Length: 5", "Expect: 100-continue"), Fault.BODY),
        (request("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n", Fault.BODY),
        (request("/", "Transfer-Encoding: chunked", "Content-Length: 5"), Fault.MALFORMED),
        (request("/", *UPGRADE, "Content-Length: 5") + b"hello", Fault.BODY),
        (request("/", *UPGRADE, "Transfer-Encoding: chunked") + b"0\r\n\r\n", Fault.BODY),
        (request("127.0.0.1:1", method="CONNECT"), Fault.CONNECT),
        (request("127.0.0.1:1", *UPGRADE, method="CONNECT"), Fault.CONNECT),
        (request(version="2.0"), Fault.VERSION),
        (b"GET /\r\n\r\n", Fault.MALFORMED),
        (request("/" + "a" * 8_192), Fault.HEAD_TOO_LARGE),
        (b"GET /" + b"a" * 20_000, Fault.HEAD_TOO_LARGE),
        (request("/", *(f"H{number}: v" for number in range(1_000))), Fault.HEAD_TOO_LARGE),
    ],
)
def test_an_invalid_request_gets_one_answer_with_close(data: bytes, fault: Fault) -> None:
    replies, faults = run(exchange(data + request("/smuggled")))
    assert [(reply.status, reply.closes) for reply in replies] == [(fault.status, True)]
    assert faults == [fault]


@pytest.mark.parametrize(
    "headers",
    [
        UPGRADE,
        ("Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        ("Connection: Upgrade", "Upgrade: h2c, TLS/1.0", "Content-Length: 0"),
        ("Upgrade: h2c",),
        ("Connection: Upgrade",),
    ],
)
def test_an_upgrade_is_ignored_and_the_connection_stays_open(headers: tuple[str, ...]) -> None:
    async def main() -> None:
        async with peer() as (here, client):
            # Pipelined, and then each again on the same connection: earlier requests must make no difference.
            client.send(request("/a", *headers) + request("/b") + request("/c", *headers))
            for target in ("/a", "/b", "/c"):
                reply = await client.reply()
                assert (reply.status, reply.body, reply.closes) == (200, target.encode(), False)
            for target in ("/d", "/d", "/e"):
                assert (await client.ask(request(target, *headers))).body == target.encode()
            reply = await client.ask(request("/f", "Connection: Upgrade, close", "Upgrade: h2c"))
            assert (reply.body, reply.closes) == (b"/f", True)
            assert here.faults == []

    run(main())


@pytest.mark.mutant("CONNECT is treated as a request for an upgrade")
def test_a_connect_is_told_what_is_allowed() -> None:
    (reply,), _ = run(exchange(request("127.0.0.1:1", method="CONNECT")))
    assert (reply.status, reply.headers["allow"]) == (405, "GET")
    assert b"not a proxy" in reply.body


def test_http_2_is_rejected_at_its_first_line() -> None:
    async def main() -> None:
        async with peer() as (_, client):
            client.send(b"PRI * HTTP/2.0\r\n")
            (reply,) = replies_in(await client.rest())
            assert (reply.status, b"HTTP/1.1 only" in reply.body) == (505, True)

    run(main())


def test_a_body_is_rejected_before_it_arrives() -> None:
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


def test_a_head_can_have_exactly_the_maximum_size() -> None:
    fits, faults = run(exchange(_head_of(8_192) + _head_of(8_192)))
    assert ([reply.status for reply in fits], faults) == ([200, 200], [])
    too_large, faults = run(exchange(_head_of(8_192) + _head_of(8_193)))
    assert ([reply.status for reply in too_large], faults) == ([200, 431], [Fault.HEAD_TOO_LARGE])


def test_a_rejection_arrives_although_the_peer_still_sends() -> None:
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


@pytest.mark.mutant("the headers of a request show in its repr")
def test_no_header_or_target_is_in_a_repr() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            await client.ask(request("/?secret", "Authorization: secret"))
            (connection,) = here.listener._connections
            assert "secret" not in repr(connection) + repr(here.listener)
            assert "secret" not in repr(Request(b"GET", b"/?secret", ((b"Authorization", b"secret"),), keep_alive=True))

    run(main())
