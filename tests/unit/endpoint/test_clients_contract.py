"""What the SDKs send and what they put up with, as far as one answer shows it."""

import hmac
import json

import pytest

from sidecar.endpoint import guard
from sidecar.endpoint.guard import REFUSALS, Guard
from sidecar.endpoint.reader import Fault
from sidecar.endpoint.server import REQUEST_LABELS
from sidecar.endpoint.wire import error, error_body
from tests.helpers.peer import replies_in, request, run
from tests.unit.endpoint.credential_site import AS_READER, READER, site

AUTHORIZED = f"Authorization: {READER}"
PATH = "/v1/credentials/reader"


@pytest.mark.parametrize(
    "headers",
    [
        ("Accept: application/json", "User-Agent: Botocore/1.43"),
        ("Accept: */*",),  # C++, object_store
        (),  # JS v3, minio-py: neither Accept nor User-Agent
        ("Accept-Encoding: gzip", "User-Agent: Go-http-client/1.1"),
        ("Accept: text/html", "Accept-Language: de", "Cookie: a=b"),
        ("Host: 127.0.0.1", "User-Agent: "),  # the CRT names no port
        ("Host: localhost:9841", "Connection: keep-alive"),
        ("Content-Length: 0",),
    ],
)
def test_every_client_gets_the_same_plain_answer_whatever_it_sends_along(headers: tuple[str, ...]) -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            plain = await client.ask(AS_READER)
            reply = await client.ask(request(PATH, AUTHORIZED, *headers))
            assert reply == plain
            assert reply.status == 200
            assert reply.headers == {
                "content-type": "application/json",
                "content-length": str(len(reply.body)),
                "cache-control": "no-store",
            }

    run(main())


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_wants_the_connection_closed_gets_that(version: str) -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            client.send(request(PATH, AUTHORIZED, "Connection: close", version=version))
            (reply,) = replies_in(await client.rest())
            assert (reply.status, reply.closes) == (200, True)

    run(main())


def test_unknown_query_parameters_and_a_trailing_slash_change_nothing() -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            for suffix in ("?role=a&x=b%20c", "/", "/?", "?"):
                assert (await client.ask(request(PATH + suffix, AUTHORIZED))).status == 200

    run(main())


def test_a_client_that_sent_a_wrong_token_a_hundred_times_is_not_locked_out() -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            for _ in range(100):
                assert (await client.ask(request(PATH))).status == 403
                assert (await client.ask(request(PATH, "Authorization: x"))).status == 403
            assert (await client.ask(AS_READER)).status == 200

    run(main())


def test_no_status_is_one_that_sends_a_client_elsewhere() -> None:
    """404 has a meaning of its own for two clients, 401 starts a challenge, 429 and redirects are followed."""
    statuses = {status for status, _ in REQUEST_LABELS}
    assert statuses == {200, 400, 403, 404, 405, 408, 413, 431, 500, 503, 505}
    assert [refusal.cause for refusal in REFUSALS if refusal.status == 404] == [guard.Cause.PATH]
    assert {cause for status, cause in REQUEST_LABELS if status == 503} >= {"no_set", "expired"}


def test_every_error_body_has_both_spellings_and_is_short() -> None:
    refusals = [error(refusal.status, refusal.cause, refusal.message) for refusal in REFUSALS]
    for answer in (*refusals, *(error(fault.status, fault, fault.text) for fault in Fault)):
        (reply,) = replies_in(answer.keep)
        body = json.loads(reply.body)
        assert set(body) == {"code", "message", "Code", "Message"}
        assert (body["code"], body["message"]) == (body["Code"], body["Message"])
        assert len(reply.body) < 1_000


def test_an_error_body_is_json_whatever_its_message_holds() -> None:
    assert json.loads(error_body("x", 'a "quoted" \n line'))["Message"] == 'a "quoted" \n line'


def test_every_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    class Recorded:
        @staticmethod
        def compare_digest(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(guard, "hmac", Recorded)
    judge = Guard({"reader": READER.encode()}).judge
    host = (b"Host", b"127.0.0.1")
    for target in (b"/v1/credentials/reader", b"/v1/credentials/nobody"):
        for token in (READER.encode(), b"x", b"\xff\xfe", b"r" * 42):
            judge(b"GET", target, [host, (b"Authorization", token)])
    assert len(compared) == 8
    assert {len(expected) for _, expected in compared} == {len(READER)}, "an unknown profile takes as long"
