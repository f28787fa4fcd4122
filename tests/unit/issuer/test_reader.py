"""What is read of an issuer, and what is said where nothing can be."""

import re
import socket
import time
from collections.abc import Iterator

import pytest

from examples.local.issuer import DISCOVERY_PATH, JWKS_PATH, Issuer
from examples.local.loopback import LoopbackHandler, LoopbackServer
from sidecar.connect_to import ConnectTo, redirected
from sidecar.issuer.documents import Discovery, parse_discovery, parse_keys
from sidecar.issuer.reader import Answer, IssuerReader, Trouble, Unreadable
from tests.unit.issuer.site import reply, serving


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


def read(url: str, connect_to: ConnectTo, timeout_seconds: float = 5.0) -> Answer:
    with redirected(connect_to):
        return IssuerReader(timeout_seconds=timeout_seconds).get(url)


def trouble(url: str, connect_to: ConnectTo, timeout_seconds: float = 5.0) -> tuple[Trouble, str]:
    with pytest.raises(Unreadable) as caught:
        read(url, connect_to, timeout_seconds)
    assert caught.value.url == url
    assert str(caught.value).startswith(f"{url}: ")
    return caught.value.trouble, str(caught.value).removeprefix(f"{url}: ")


# --- what is read ---


def test_both_documents_of_an_issuer_are_read(issuer: Issuer) -> None:
    reader = IssuerReader()
    answer = reader.get(issuer.url + DISCOVERY_PATH)
    assert answer.status == 200
    assert parse_discovery(answer.content) == Discovery(issuer.url, issuer.url + JWKS_PATH)
    # An API server answers 406 to whoever accepts application/json alone.
    keys = reader.get(issuer.url + JWKS_PATH)
    assert (keys.status, parse_keys(keys.content).kids) == (200, issuer.kids)


@pytest.mark.parametrize("status", [401, 404, 406, 429, 500, 503])
def test_an_answer_with_any_status_is_an_answer(status: int) -> None:
    with serving(reply(status, b"no")) as home:
        answer = read("https://issuer.test/x", home)
    assert (answer.status, answer.content) == (status, b"no")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    asked: list[str] = []

    def answer(handler: LoopbackHandler) -> None:
        asked.append(handler.path)
        handler.reply(status, {"Location": "https://issuer.test/elsewhere"}, b"")

    with serving(answer) as home:
        assert read("https://issuer.test/here", home).status == status
    assert asked == ["/here"]


def test_path_and_query_are_asked_for_as_they_are() -> None:
    with serving(lambda handler: handler.reply(200, {}, handler.path.encode())) as home:
        assert read("https://issuer.test", home).content == b"/"
        assert read("https://issuer.test/a%20b?c=d&e", home).content == b"/a%20b?c=d&e"


def test_another_port_than_443_is_asked_where_the_url_says_so(issuer: Issuer) -> None:
    port = issuer.connect_to["issuer.test", 443][1]
    home = {("issuer.test", port): ("127.0.0.1", port)}
    assert read(f"https://issuer.test:{port}{DISCOVERY_PATH}", home).status == 200


def test_no_token_is_sent_unless_there_is_one() -> None:
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
def test_the_servers_time_is_read_of_its_date(text: str | None, seconds: float | None) -> None:
    assert _date(text) == seconds


# --- what cannot be read ---


@pytest.mark.parametrize(
    "url", ["http://issuer.test/", "issuer.test", "https://", "https:///x", "", "https://[", "https://issuer.test:x/"]
)
def test_anything_but_an_https_url_is_not_asked(url: str) -> None:
    assert trouble(url, {}) == (Trouble.CONNECTION, "is not an https URL")


def test_a_name_that_nobody_knows() -> None:
    # RFC 6761, section 6.4: it never resolves.
    assert trouble("https://issuer.invalid/", {}) == (Trouble.NAME, "its name cannot be resolved")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        home = {("issuer.test", 443): taken.getsockname()}
    assert trouble("https://issuer.test/", home) == (Trouble.CONNECTION, "no connection (Connection refused)")


def test_no_answer_in_time(issuer: Issuer) -> None:
    issuer.delay_seconds = 60.0
    url = issuer.url + DISCOVERY_PATH
    assert trouble(url, issuer.connect_to, timeout_seconds=0.2) == (Trouble.TIMEOUT, "no answer in time")
    issuer.delay_seconds = 0.0


def test_a_handshake_that_is_never_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        home = {("issuer.test", 443): silent.getsockname()}
        assert trouble("https://issuer.test/", home, timeout_seconds=0.2)[0] is Trouble.TIMEOUT


def test_a_server_that_hangs_up(issuer: Issuer) -> None:
    issuer.down = True
    kind, text = trouble(issuer.url + DISCOVERY_PATH, issuer.connect_to)
    assert kind in (Trouble.CONNECTION, Trouble.TLS)
    assert text


def test_no_tls() -> None:
    server = LoopbackServer(LoopbackHandler)
    server.start()
    try:
        kind, text = trouble("https://issuer.test/", {("issuer.test", 443): server.address})
    finally:
        server.close()
    assert kind is Trouble.TLS
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
def test_no_usable_http(sent: bytes) -> None:
    def answer(handler: LoopbackHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(sent)

    with serving(answer) as home:
        kind, text = trouble("https://issuer.test/", home)
    assert kind is Trouble.HTTP or (kind, text) == (Trouble.CONNECTION, "no connection (RemoteDisconnected)")
    assert "OpenSSH" not in text


def test_a_body_may_take_the_limit() -> None:
    with serving(reply(body=bytes(1 << 20))) as home:
        assert len(read("https://issuer.test/", home).content) == 1 << 20


def test_a_url_with_a_line_feed_smuggles_no_request() -> None:
    with serving(lambda handler: handler.reply(200, {}, handler.path.encode())) as home:
        kind, _ = trouble("https://issuer.test/a b", home)
        assert kind is Trouble.HTTP
        # urlsplit drops the line feed.
        assert read("https://issuer.test/a\nHost:", home).content == b"/aHost:"
