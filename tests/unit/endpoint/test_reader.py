import pytest

from sidecar.endpoint.reader import Fault, Request
from tests.helpers.peer import replies_in, request, run
from tests.unit.endpoint.site import exchange, peer


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
        (b"GET /\r\n\r\n", Fault.MALFORMED),
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


def test_no_header_or_target_is_in_a_repr() -> None:
    async def main() -> None:
        async with peer() as (here, client):
            await client.ask(request("/?secret", "Authorization: secret"))
            (connection,) = here.listener._connections
            assert "secret" not in repr(connection) + repr(here.listener)
            assert "secret" not in repr(Request(b"GET", b"/?secret", ((b"Authorization", b"secret"),), keep_alive=True))

    run(main())
