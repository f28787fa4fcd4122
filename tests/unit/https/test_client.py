"""Requests with a slow or faulty server or proxy, or with invalid arguments."""

import contextlib
import socket
import threading
import traceback
from collections.abc import Iterator

import pytest

from examples.local.loopback import LoopbackHandler
from sidecar.https import timed
from sidecar.https.client import ClientConnection
from sidecar.https.connect_to import redirected
from sidecar.https.failures import FailureKind, FetchError
from sidecar.https.trust import no_trust
from tests.helpers.clock import FakeClock
from tests.unit.https.site import reply, serving

URL = "https://issuer.test/"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"


@contextlib.contextmanager
def dripping_proxy(clock: FakeClock) -> Iterator[str]:
    """A proxy that needs ten seconds for each byte of a header, and then closes."""

    def serve() -> None:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            for _ in range(100):
                clock.advance(10)
                client.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("sent", [HEAD + b"X: ", HEAD + b"\r\n"], ids=["head", "body"])
def test_a_server_that_sends_one_byte_at_a_time_times_out(sent: bytes) -> None:
    clock = FakeClock()

    def drip(handler: LoopbackHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(sent)
        for _ in range(100):
            clock.advance(10)
            handler.wfile.write(b"x")

    with (
        serving(drip) as home,
        redirected(home),
        pytest.raises(FetchError) as caught,
        ClientConnection(URL, no_trust(), timeout_seconds=5, total_seconds=30, clock=clock) as connection,
    ):
        connection.ask(body_max=1000)
    assert caught.value.kind is FailureKind.TIMEOUT


def test_a_proxy_that_sends_one_byte_at_a_time_times_out() -> None:
    clock = FakeClock()
    with (
        dripping_proxy(clock) as proxy,
        pytest.raises(FetchError) as caught,
        ClientConnection(URL, no_trust(), lambda _: proxy, timeout_seconds=5, total_seconds=30, clock=clock),
    ):
        pass
    assert (caught.value.kind, caught.value.proxy) == (FailureKind.TIMEOUT, proxy)


def test_a_name_with_many_addresses_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tried = FakeClock(), []
    refusing = socket.getaddrinfo("127.0.0.1", 1, type=socket.SOCK_STREAM)

    def connect(_: socket.socket, place: object) -> None:
        clock.advance(10)
        tried.append(place)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: refusing * 100)
    monkeypatch.setattr(timed._PlainSocket, "connect", connect)
    with (
        pytest.raises(FetchError) as caught,
        ClientConnection(URL, no_trust(), timeout_seconds=5, total_seconds=30, clock=clock),
    ):
        pass
    assert (caught.value.kind, len(tried)) == (FailureKind.TIMEOUT, 3)


@pytest.mark.parametrize("token", ["s3cret\nX: y", "s3cret\r\nX: y", "s3cret\n y", "s3cretä", "s3cret\x00"])
def test_a_token_with_a_line_break_is_not_sent_and_not_quoted(token: str) -> None:
    asked: list[str] = []

    def answer(handler: LoopbackHandler) -> None:
        asked.append(handler.path)
        reply()(handler)

    with (
        serving(answer) as home,
        redirected(home),
        pytest.raises(FetchError) as caught,
        ClientConnection(URL, no_trust(), timeout_seconds=5) as connection,
    ):
        connection.ask(headers={"Authorization": f"Bearer {token}"}, body_max=10)
    assert (caught.value.kind, asked) == (FailureKind.HTTP, [])
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
