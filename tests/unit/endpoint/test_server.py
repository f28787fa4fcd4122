import json

import pytest

from sidecar.credentials.store import Store
from sidecar.endpoint.server import EXPIRED, OK, REQUEST_LABELS, CredentialServer
from sidecar.errors import StartError
from tests.helpers.clock import FakeClock
from tests.helpers.peer import Peer, held, request, run
from tests.helpers.values import ROLE_ARN
from tests.unit.endpoint.endpoint_setup import AS_READER, AS_WRITER, READER, site


@pytest.mark.mutant("the auth token of one profile is accepted for all profiles")
def test_credentials_are_served_to_a_client_with_the_auth_token_of_the_profile() -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold(1))
            here.store.publish("writer", here.hold(2))
            reply = await client.ask(AS_READER)
            assert reply.status == 200
            assert reply.headers["content-type"] == "application/json"
            assert reply.headers["cache-control"] == "no-store"
            assert json.loads(reply.body) == {
                "AccessKeyId": "ASIAEXAMPLE000000001",
                "SecretAccessKey": "secret-access-key-0000000000000000000001",
                "Token": "session-token-00000000000000000000000001",
                "Expiration": "2027-01-15T09:00:00Z",
                "AccountId": "123456789012",
                "RoleArn": ROLE_ARN,
            }
            assert json.loads((await client.ask(AS_WRITER)).body)["AccessKeyId"] == "ASIAEXAMPLE000000002"
            crossed = await client.ask(request("/v1/credentials/writer", f"Authorization: {READER}"))
            assert crossed.status == 403
            assert here.counted() == {OK: 2, (403, "authorization_wrong"): 1}

    run(main())


def test_each_request_of_a_connection_is_checked_separately() -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            statuses = [
                (await client.ask(asked)).status
                for asked in (AS_READER, request("/v1/credentials/reader"), AS_READER, request("/v1/credentials/x"))
            ]
            assert statuses == [200, 403, 200, 403]

    run(main())


def test_each_rejected_request_is_reported_with_the_fix_of_its_answer() -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            asked = (AS_READER, request("/v1/credentials/reader", "Authorization: guessed"), b"not a request\r\n\r\n")
            replies = [json.loads((await client.ask(one)).body) for one in asked][1:]
            reported = [(reason, fix) for _, reason, fix in here.rejected]
            assert reported == [(reply["code"], reply["message"]) for reply in replies]
            assert [reason for reason, _ in reported] == ["authorization_wrong", "malformed"]
            assert [status for status, _, _ in here.rejected] == [403, 400]

    run(main())


@pytest.mark.rule("SDK 18")
def test_new_credentials_are_served_at_once_and_complete() -> None:
    async def main() -> None:
        async with site() as (here, client):
            for number in (1, 2, 3):
                here.store.publish("reader", here.hold(number))
                body = json.loads((await client.ask(AS_READER)).body)
                assert {int(body[key][-9:]) for key in ("AccessKeyId", "SecretAccessKey", "Token")} == {number}

    run(main())


@pytest.mark.rule("SDK 21", "Kubernetes D5")
@pytest.mark.mutant(
    "a request does not check the clocks", "only the monotonic clock decides", "only the wall clock decides"
)
@pytest.mark.parametrize(
    ("wall", "mono", "status"),
    [(3_569, 3_569, 200), (3_570, 3_569, 503), (3_569, 3_570, 503), (-86_400, 3_570, 503), (86_400, 0, 503)],
)
def test_credentials_are_not_served_after_expiration_by_either_clock(wall: float, mono: float, status: int) -> None:
    async def main() -> None:
        async with site() as (here, client):
            here.store.publish("reader", here.hold())
            here.clock.wall += wall
            here.clock.mono += mono
            reply = await client.ask(AS_READER)
            assert reply.status == status
            assert here.counted() == {OK if status == 200 else EXPIRED: 1}

    run(main())


def test_credentials_that_are_already_in_the_store_are_served() -> None:
    clock = FakeClock()
    store = Store(["only"])
    store.publish("only", held(7, now=clock.now()))

    async def main() -> None:
        server = CredentialServer(store, {"only": READER}, clock, 0)
        await server.start()
        client = await Peer.connect(server.port)
        reply = await client.ask(request("/v1/credentials", f"Authorization: Bearer {READER}"))
        assert json.loads(reply.body)["AccessKeyId"].endswith("7")
        await client.close()
        await server.stop()

    run(main())


@pytest.mark.rule("SDK 17")
def test_rejections_are_json_and_counted_by_reason() -> None:
    async def main() -> None:
        async with site() as (here, client):
            for asked, status, reason in (
                (request("/v1/credentials/reader", method="POST"), 405, "method"),
                (request("/elsewhere"), 404, "path"),
                (request("/v1/credentials/reader", "Origin: null"), 403, "origin"),
                (request("/v1/credentials/reader", "Host: evil.example"), 403, "host"),
                (request("/v1/credentials/reader"), 403, "authorization_missing"),
            ):
                reply = await client.ask(asked)
                body = json.loads(reply.body)
                assert (reply.status, body["code"], body["Code"], reply.closes) == (status, reason, reason, False)
                assert reply.headers.get("allow") == ("GET" if status == 405 else None)
                assert here.server.requests[status, reason] == 1
            assert (await client.ask(b"?\r\n\r\n")).status == 400
            assert here.server.requests[400, "malformed"] == 1

    run(main())


def test_all_labels_exist_from_the_start() -> None:
    server = CredentialServer(Store(["a"]), {"a": READER}, FakeClock(), 0)
    assert server.requests == dict.fromkeys(REQUEST_LABELS, 0)
    assert len(set(REQUEST_LABELS)) == len(REQUEST_LABELS)
    assert all(type(reason) is str for _, reason in REQUEST_LABELS)


def test_connections_and_evictions_can_be_read() -> None:
    async def main() -> None:
        async with site() as (here, client):
            await client.ask(request("/"))
            assert (here.server.connections, here.server.evicted, here.server.turned_away) == (1, 0, 0)

    run(main())


@pytest.mark.rule("SDK 1", "Kubernetes D6")
@pytest.mark.mutant("credentials are served on every address")
def test_it_listens_on_loopback_only() -> None:
    async def main() -> None:
        async with site() as (here, _):
            sock = here.server._listener._socket
            assert sock is not None
            assert sock.getsockname() == ("127.0.0.1", here.server.port)

    run(main())


def test_a_port_in_use_is_a_start_error() -> None:
    async def main() -> None:
        async with site() as (here, _):
            second = CredentialServer(Store(["a"]), {"a": READER}, here.clock, here.server.port)
            with pytest.raises(StartError, match="stop the program that uses this port"):
                await second.start()

    run(main())


def test_a_port_can_be_used_again_right_after_stop() -> None:
    async def main() -> None:
        async with site() as (here, client):
            await client.ask(request("/", "Connection: close"))
            await here.server.stop()
            again = CredentialServer(Store(["a"]), {"a": READER}, here.clock, here.server.port)
            await again.start()
            await again.stop()

    run(main())


@pytest.mark.parametrize(
    ("tokens", "message"),
    [({}, "every profile needs an auth token"), ({"reader": READER, "x": READER}, "not in the store")],
)
def test_tokens_must_be_for_profiles_of_the_store(tokens: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CredentialServer(Store(["reader", "writer"]), tokens, FakeClock(), 0)


def test_no_secret_is_in_the_repr() -> None:
    async def main() -> None:
        async with site() as (here, _):
            here.store.publish("reader", here.hold())
            text = repr(here.server) + repr(here.server._served["reader"])
            assert READER not in text
            assert "secret-access-key" not in text
            assert "1 of 2 profiles with credentials" in text

    run(main())
