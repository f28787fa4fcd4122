"""The documents of an issuer are read, and failures are reported."""

import re
import socket
import time
from collections.abc import Iterator

import pytest

from examples.local.issuer import DISCOVERY_PATH, JWKS_PATH, Issuer
from examples.local.loopback import LoopbackHandler, LoopbackServer
from sidecar.https.connect_to import ConnectTo, redirected
from sidecar.https.failures import FailureKind, FetchError
from sidecar.issuer.documents import Discovery, parse_discovery, parse_keys
from sidecar.issuer.reader import IssuerReader, IssuerResponse
from tests.unit.https.site import reply, serving


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(running: Issuer) -> Iterator[Issuer]:
    running.reset()
    with redirected(running.connect_to):
        yield running
    running.reset()


def read(url: str, connect_to: ConnectTo, timeout_seconds: float = 5.0) -> IssuerResponse:
    with redirected(connect_to):
        return IssuerReader(timeout_seconds=timeout_seconds).get(url)


def failure(url: str, connect_to: ConnectTo, timeout_seconds: float = 5.0) -> tuple[FailureKind, str]:
    with pytest.raises(FetchError) as caught:
        read(url, connect_to, timeout_seconds)
    assert caught.value.url == url
    assert str(caught.value).startswith(f"{url}: ")
    return caught.value.kind, str(caught.value).removeprefix(f"{url}: ")


# --- what is read ---


def test_the_addresses_of_the_name_are_returned_but_not_those_of_connect_to() -> None:
    with serving(reply()) as home, redirected(home):
        assert IssuerReader().get("https://issuer.test/").addresses == ("127.0.0.1",)
        assert IssuerReader(connect_to=home).get("https://issuer.test/").addresses == ()
    nowhere = {("issuer.test", 443): ("127.0.0.1", 1)}
    with redirected(nowhere):
        for given, addresses in (({}, ("127.0.0.1",)), (nowhere, ())):
            with pytest.raises(FetchError) as caught:
                IssuerReader(connect_to=given).get("https://issuer.test/")
            assert caught.value.addresses == addresses


def test_the_time_of_a_response_is_measured(issuer: Issuer) -> None:
    issuer.delay_seconds = 0.2
    assert 0.2 <= IssuerReader().get(issuer.url + DISCOVERY_PATH).seconds < 2


def test_both_documents_of_an_issuer_are_read(issuer: Issuer) -> None:
    reader = IssuerReader()
    answer = reader.get(issuer.url + DISCOVERY_PATH)
    assert answer.status == 200
    assert parse_discovery(answer.content) == Discovery(issuer.url, issuer.url + JWKS_PATH)
    # An API server returns 406 to a client that accepts application/json only.
    keys = reader.get(issuer.url + JWKS_PATH)
    assert (keys.status, parse_keys(keys.content).kids) == (200, issuer.kids)


@pytest.mark.parametrize("status", [401, 404, 406, 429, 500, 503])
def test_a_response_with_any_status_is_returned(status: int) -> None:
    with serving(reply(status, b"no")) as home:
        answer = read("https://issuer.test/x", home)
    assert (answer.status, answer.content) == (status, b"no")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    requested: list[str] = []

    def answer(handler: LoopbackHandler) -> None:
        requested.append(handler.path)
        handler.reply(status, {"Location": "https://issuer.test/elsewhere"}, b"")

    with serving(answer) as home:
        assert read("https://issuer.test/here", home).status == status
    assert requested == ["/here"]


def test_path_and_query_are_sent_unchanged() -> None:
    with serving(lambda handler: handler.reply(200, {}, handler.path.encode())) as home:
        assert read("https://issuer.test", home).content == b"/"
        assert read("https://issuer.test/a%20b?c=d&e", home).content == b"/a%20b?c=d&e"


def test_the_port_of_the_url_is_used(issuer: Issuer) -> None:
    port = issuer.connect_to["issuer.test", 443][1]
    home = {("issuer.test", port): ("127.0.0.1", port)}
    assert read(f"https://issuer.test:{port}{DISCOVERY_PATH}", home).status == 200


def test_without_a_token_no_authorization_header_is_sent() -> None:
    with serving(lambda handler: handler.reply(200, {}, str(handler.headers["Authorization"]).encode())) as home:
        assert read("https://issuer.test/", home).content == b"None"


# --- the Date header ---


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _date(text: str | None) -> float | None:
    def answer(handler: LoopbackHandler) -> None:
        line = "" if text is None else f"Date: {text}\r\n"
        handler.wfile.write(f"HTTP/1.1 200 OK\r\n{line}Content-Length: 0\r\n\r\n".encode())

    with serving(answer) as home:
        return read("https://issuer.test/", home).date


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Tue, 24 Nov 2026 15:00:00 GMT", 1795532400.0),
        ("Tue, 24 Nov 2026 16:00:00 +0100", 1795532400.0),
        ("Tue, 24 Nov 2026 15:00:00 -0000", 1795532400.0),
        ("tomorrow", None),
        ("Tue, 24 Nov 2026 15:00:00 +999999999999", None),
        (None, None),
    ],
)
@pytest.mark.usefixtures("far_from_utc")
def test_the_date_header_is_parsed(text: str | None, seconds: float | None) -> None:
    assert _date(text) == seconds


# --- what cannot be read ---


@pytest.mark.parametrize(
    "url", ["http://issuer.test/", "issuer.test", "https://", "https:///x", "", "https://[", "https://issuer.test:x/"]
)
def test_an_invalid_url_is_not_requested(url: str) -> None:
    assert failure(url, {}) == (FailureKind.CONNECTION, "is not an https URL")


def test_an_unresolvable_name_is_reported() -> None:
    # RFC 6761, section 6.4: it never resolves.
    assert failure("https://issuer.invalid/", {}) == (FailureKind.NAME, "its name cannot be resolved")


def test_a_refused_connection_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        home = {("issuer.test", 443): taken.getsockname()}
    assert failure("https://issuer.test/", home) == (FailureKind.CONNECTION, "no connection (Connection refused)")


def test_a_timeout_is_reported(issuer: Issuer) -> None:
    issuer.delay_seconds = 60.0
    url = issuer.url + DISCOVERY_PATH
    assert failure(url, issuer.connect_to, timeout_seconds=0.2) == (FailureKind.TIMEOUT, "no answer in time")
    issuer.delay_seconds = 0.0


def test_a_handshake_without_a_response_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        home = {("issuer.test", 443): silent.getsockname()}
        assert failure("https://issuer.test/", home, timeout_seconds=0.2)[0] is FailureKind.TIMEOUT


def test_a_closed_connection_is_reported(issuer: Issuer) -> None:
    issuer.down = True
    kind, text = failure(issuer.url + DISCOVERY_PATH, issuer.connect_to)
    assert kind in (FailureKind.CONNECTION, FailureKind.TLS)
    assert text


def test_a_server_without_tls_is_reported() -> None:
    server = LoopbackServer(LoopbackHandler)
    server.start()
    try:
        kind, text = failure("https://issuer.test/", {("issuer.test", 443): server.address})
    finally:
        server.close()
    assert kind is FailureKind.PLAINTEXT
    assert re.fullmatch(r"TLS failed \(\w+\)", text)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + bytes(2_000_000),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000 + b"\r\n",
    ],
    ids=["nothing", "another protocol", "no status", "half a body", "no chunk", "too much", "too many headers"],
)
def test_invalid_http_is_reported(sent: bytes) -> None:
    def answer(handler: LoopbackHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(sent)

    with serving(answer) as home:
        kind, text = failure("https://issuer.test/", home)
    assert kind is FailureKind.HTTP or (kind, text) == (FailureKind.CONNECTION, "no connection (RemoteDisconnected)")
    assert "OpenSSH" not in text


def test_a_body_of_the_maximum_size_is_read() -> None:
    with serving(reply(body=bytes(1 << 20))) as home:
        assert len(read("https://issuer.test/", home).content) == 1 << 20


def test_a_url_with_a_line_feed_smuggles_no_request() -> None:
    with serving(lambda handler: handler.reply(200, {}, handler.path.encode())) as home:
        kind, _ = failure("https://issuer.test/a b", home)
        assert kind is FailureKind.HTTP
        # urlsplit drops the line feed.
        assert read("https://issuer.test/a\nHost:", home).content == b"/aHost:"
