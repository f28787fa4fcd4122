"""Requests as the SDKs send them, and answers that all SDKs accept."""

import hmac
import json

import pytest

from sidecar.endpoint import guard
from sidecar.endpoint.guard import REJECTIONS, Guard
from sidecar.endpoint.server import REQUEST_LABELS
from sidecar.http1.parser import Fault
from sidecar.http1.response import error, error_body
from tests.helpers.peer import replies_in, request, run
from tests.unit.endpoint.endpoint_setup import AS_READER, READER, site

AUTHORIZED = f"Authorization: {READER}"
PATH = "/v1/credentials/reader"


@pytest.mark.rule("SDK 12")
@pytest.mark.parametrize(
    "headers",
    [
        ("Accept: application/json", "User-Agent: Botocore/1.43"),
        ("Accept: */*",),  # C++, object_store
        (),  # JS v3, minio-py: no Accept and no User-Agent
        ("Accept-Encoding: gzip", "User-Agent: Go-http-client/1.1"),
        ("Accept: text/html", "Accept-Language: de", "Cookie: a=b"),
        ("Host: 127.0.0.1", "User-Agent: "),  # the CRT sends no port
        ("Host: localhost:9841", "Connection: keep-alive"),
        ("Content-Length: 0",),
    ],
)
def test_the_answer_does_not_depend_on_other_headers(headers: tuple[str, ...]) -> None:
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


@pytest.mark.rule("SDK 12")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_can_close_the_connection(version: str) -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            client.send(request(PATH, AUTHORIZED, "Connection: close", version=version))
            (reply,) = replies_in(await client.rest())
            assert (reply.status, reply.closes) == (200, True)

    run(main())


@pytest.mark.rule("SDK 4")
def test_query_parameters_and_a_trailing_slash_are_ignored() -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            for suffix in ("?role=a&x=b%20c", "/", "/?", "?"):
                assert (await client.ask(request(PATH + suffix, AUTHORIZED))).status == 200

    run(main())


@pytest.mark.rule("SDK 10")
def test_a_client_that_sent_a_wrong_token_a_hundred_times_is_not_locked_out() -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            for _ in range(100):
                assert (await client.ask(request(PATH))).status == 403
                assert (await client.ask(request(PATH, "Authorization: x"))).status == 403
            assert (await client.ask(AS_READER)).status == 200

    run(main())


@pytest.mark.rule("SDK 17")
def test_the_statuses_have_no_special_meaning_for_clients() -> None:
    """Two clients treat 404 in a special way, 401 starts a challenge, and clients follow 429 and redirects."""
    statuses = {status for status, _ in REQUEST_LABELS}
    assert statuses == {200, 400, 403, 404, 405, 408, 413, 431, 500, 503, 505}
    assert [rejection.reason for rejection in REJECTIONS if rejection.status == 404] == [guard.RejectionReason.PATH]
    assert {reason for status, reason in REQUEST_LABELS if status == 503} >= {"no_credentials", "expired"}


@pytest.mark.rule("SDK 16")
def test_every_error_body_has_both_spellings_and_is_short() -> None:
    rejections = [error(rejection.status, rejection.reason, rejection.message) for rejection in REJECTIONS]
    for answer in (*rejections, *(error(fault.status, fault, fault.text) for fault in Fault)):
        (reply,) = replies_in(answer.keep)
        body = json.loads(reply.body)
        assert set(body) == {"code", "message", "Code", "Message"}
        assert (body["code"], body["message"]) == (body["Code"], body["Message"])
        assert len(reply.body) < 1_000


@pytest.mark.rule("SDK 16")
def test_an_error_body_escapes_its_message() -> None:
    assert json.loads(error_body("x", 'a "quoted" \n line'))["Message"] == 'a "quoted" \n line'


@pytest.mark.rule("SDK 8")
@pytest.mark.mutant("the time of an answer depends on how much of an auth token is right")
def test_every_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    class Recorded:
        @staticmethod
        def compare_digest(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(guard, "hmac", Recorded)
    check = Guard({"reader": READER.encode()}).check
    host = (b"Host", b"127.0.0.1")
    for target in (b"/v1/credentials/reader", b"/v1/credentials/unknown"):
        for token in (READER.encode(), b"x", b"\xff\xfe", b"r" * 42):
            check(b"GET", target, [host, (b"Authorization", token)])
    assert len(compared) == 8
    assert {len(expected) for _, expected in compared} == {len(READER)}, "an unknown profile takes as long"
