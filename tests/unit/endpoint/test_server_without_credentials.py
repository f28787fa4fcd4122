import asyncio
import json
from dataclasses import replace

import pytest

from sidecar.endpoint.server import EXPIRED, NO_CREDENTIALS
from sidecar.limits import BODY_MAX_BYTES
from tests.helpers.peer import run, until
from tests.unit.endpoint.endpoint_setup import AS_READER, site


def test_expired_credentials_are_served_again_after_a_clock_fix() -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            here.clock.step_wall(86_400)
            reply = await client.ask(AS_READER)
            assert (reply.status, json.loads(reply.body)["code"]) == (503, "expired")
            here.clock.step_wall(-86_400)
            assert (await client.ask(AS_READER)).status == 200

    run(main())


def test_a_waiting_request_is_answered_when_the_first_credentials_arrive() -> None:
    async def main() -> None:
        async with site(first_set_seconds=3_600) as (here, client):
            client.send(AS_READER)
            await until(lambda: here.server.waiting == 1)
            here.store.publish("writer", here.hold(2))
            await asyncio.sleep(0.01)
            assert here.server.waiting == 1
            here.store.publish("reader", here.hold(1))
            reply = await client.reply()
            assert (reply.status, json.loads(reply.body)["AccessKeyId"]) == (200, "ASIAEXAMPLE000000001")
            assert here.server.waiting == 0

    run(main())


@pytest.mark.rule("SDK 11")
def test_a_waiting_request_gets_503_after_its_timeout() -> None:
    async def main() -> None:
        async with site(first_set_seconds=0.01) as (here, client):
            reply = await client.ask(AS_READER)
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            assert here.counted() == {NO_CREDENTIALS: 1}
            assert here.server.waiting == 0

    run(main())


@pytest.mark.mutant("requests that waited get expired credentials")
def test_expired_first_credentials_are_not_served_to_waiting_requests() -> None:
    async def main() -> None:
        async with site(first_set_seconds=3_600) as (here, client):
            client.send(AS_READER)
            await until(lambda: here.server.waiting == 1)
            late = here.hold()
            here.clock.advance(3_600)
            here.store.publish("reader", late)
            assert (await client.reply()).status == 503
            assert here.counted() == {EXPIRED: 1}

    run(main())


def test_a_withdrawal_before_the_first_credentials_does_not_end_the_wait() -> None:
    async def main() -> None:
        async with site(first_set_seconds=3_600) as (here, client):
            client.send(AS_READER)
            await until(lambda: here.server.waiting == 1)
            here.store.publish("reader", None)
            assert here.server.waiting == 1
            here.store.publish("reader", here.hold())
            assert (await client.reply()).status == 200

    run(main())


@pytest.mark.rule("SDK 11")
@pytest.mark.mutant("a later request waits for the exchange too")
def test_after_a_withdrawal_the_answer_is_503_at_once() -> None:
    async def main() -> None:
        async with site(first_set_seconds=3_600) as (here, client):
            here.store.publish("reader", here.hold())
            here.store.publish("reader", None)
            assert (await client.ask(AS_READER)).status == 503
            assert here.counted() == {NO_CREDENTIALS: 1}

    run(main())


def test_after_the_expiration_the_answer_says_so_also_when_the_credentials_were_withdrawn() -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            here.clock.advance(3_570)
            for _ in range(2):
                here.store.publish("reader", None)
                assert json.loads((await client.ask(AS_READER)).body)["code"] == "expired"
            # A change of the role withdraws credentials that have time left.
            here.store.publish("reader", here.hold())
            here.store.publish("reader", None)
            assert json.loads((await client.ask(AS_READER)).body)["code"] == "no_credentials"

    run(main())


@pytest.mark.rule("Kubernetes D5")
def test_a_503_has_the_reason_of_its_profile() -> None:
    asked: list[str] = []

    def status(profile: str) -> str:
        asked.append(profile)
        return "let the role trust this ServiceAccount"

    async def main() -> None:
        async with site(status, first_set_seconds=0.0) as (_, client):
            body = json.loads((await client.ask(AS_READER)).body)
            assert body["code"] == body["Code"] == "no_credentials"
            assert body["message"] == body["Message"]
            assert body["message"] == "no credentials; let the role trust this ServiceAccount"
            assert asked == ["reader"]

    run(main())


@pytest.mark.rule("SDK 14")
@pytest.mark.mutant("a body with an empty field is rendered")
def test_credentials_too_large_for_some_clients_are_not_served() -> None:
    async def main() -> None:
        async with site() as (here, client):
            usual = here.hold()
            huge = replace(usual.result.credentials, session_token="t" * BODY_MAX_BYTES)
            here.store.publish("reader", replace(usual, result=replace(usual.result, credentials=huge)))
            reply = await client.ask(AS_READER)
            assert (reply.status, json.loads(reply.body)["code"]) == (503, "too_large")
            assert b"ttt" not in reply.body
            empty = replace(usual.result.credentials, session_token="")
            here.store.publish("reader", replace(usual, result=replace(usual.result, credentials=empty)))
            assert (await client.ask(AS_READER)).status == 503
            assert here.counted() == {(503, "too_large"): 1, (503, "incomplete"): 1}
            here.store.publish("reader", usual)
            assert (await client.ask(AS_READER)).status == 200

    run(main())


def test_stop_answers_waiting_requests_with_503_and_close() -> None:
    async def main() -> None:
        async with site(first_set_seconds=3_600) as (here, client):
            client.send(AS_READER)
            await until(lambda: here.server.waiting == 1)
            await here.server.stop(5)
            reply = await client.reply()
            assert (reply.status, reply.closes) == (503, True)

    run(main())
