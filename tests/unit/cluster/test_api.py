"""The client of the API server, against servers with faults."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.local.loopback import LoopbackHandler, LoopbackServer
from examples.local.pki import Authority, server_context
from sidecar.cluster.api import ApiClient
from sidecar.cluster.binding import Applied, apply
from sidecar.errors import SettingsError
from sidecar.https.failures import FailureKind, FetchError
from sidecar.issuer.cluster import ApiServer

Reply = Callable[[LoopbackHandler], None]
AUTHORITY = Authority("cluster CA")


class Requests:
    """The requests that a server received: method, path and Authorization of each."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None]] = []


@contextlib.contextmanager
def serving(reply: Reply, requests: Requests) -> Iterator[str]:
    """Run a server that answers every GET and PATCH with `reply`; the value is its URL."""

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            requests.seen.append((self.command, self.path, self.headers.get("Authorization")))
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            reply(self)

        do_PATCH = do_GET  # noqa: N815 - as above

    context = server_context(AUTHORITY.issue(["api.test"], ["127.0.0.1"]))
    server = LoopbackServer(Handler, tls=lambda: context)
    server.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.close()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("the-token\n")
    (tmp_path / "ca.crt").write_text(AUTHORITY.pem)
    return tmp_path


def client(url: str, files: Path, timeout_seconds: float = 5) -> ApiClient:
    return ApiClient(ApiServer(url, files / "token", files / "ca.crt"), timeout_seconds)


def test_an_anonymous_request_has_no_login_and_other_requests_have_the_current_token(files: Path) -> None:
    requests = Requests()
    with serving(lambda handler: handler.reply(200, {}, b"{}"), requests) as url:
        api = client(url, files)
        assert api.anonymous("/livez") == 200
        api.get("/version", login=False)
        api.get("/version", login=True)
        (files / "token").write_text("the-next")
        api.apply("/apis", b"{}")
    assert requests.seen == [
        ("GET", "/livez", None),
        ("GET", "/version", None),
        ("GET", "/version", "Bearer the-token"),
        ("PATCH", "/apis", "Bearer the-next"),
    ]


def test_a_server_that_the_ca_does_not_verify_receives_no_token(files: Path) -> None:
    requests = Requests()
    (files / "ca.crt").write_text(Authority("another CA").pem)
    with serving(lambda handler: handler.reply(200, {}, b"{}"), requests) as url:
        with pytest.raises(FetchError) as raised:
            client(url, files).apply("/apis", b"{}")
        assert apply(client(url, files)) is Applied.UNREACHABLE
    assert (raised.value.kind, requests.seen) == (FailureKind.CERTIFICATE, [])


def test_without_a_ca_only_this_machines_roots_are_trusted() -> None:
    requests = Requests()
    with serving(lambda handler: handler.reply(200, {}, b"{}"), requests) as url, pytest.raises(FetchError) as raised:
        ApiClient(ApiServer(url, None, None)).anonymous("/livez")
    assert (raised.value.kind, requests.seen) == (FailureKind.CERTIFICATE, [])


def test_a_redirect_is_not_followed_by_the_client_of_the_api_server(files: Path) -> None:
    requests = Requests()
    with serving(lambda handler: handler.reply(307, {"Location": "https://127.0.0.1:1/"}, b""), requests) as url:
        assert client(url, files).get("/version", login=True).status == 307
    assert len(requests.seen) == 1


def test_a_proxy_of_the_environment_is_not_used_for_the_api_server(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with serving(lambda handler: handler.reply(200, {}, b"{}"), Requests()) as url:
        assert client(url, files).anonymous("/livez") == 200


def test_a_request_for_the_status_does_not_read_the_body(files: Path) -> None:
    def endless(handler: LoopbackHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        handler.server.closing.wait(30)  # the body never comes

    with serving(endless, Requests()) as url:
        assert client(url, files).anonymous("/openapi/v2") == 200


def test_a_body_of_more_than_a_mib_is_an_error(files: Path) -> None:
    body = b"x" * (2 << 20)
    with serving(lambda handler: handler.reply(200, {}, body), Requests()) as url, pytest.raises(FetchError) as raised:
        client(url, files).get("/", login=False)
    assert raised.value.kind is FailureKind.HTTP


def test_the_path_of_the_servers_url_is_a_prefix_of_each_request(files: Path) -> None:
    requests = Requests()
    with serving(lambda handler: handler.reply(200, {}, b"{}"), requests) as url:
        client(f"{url}/clusters/1", files).anonymous("/livez")
    assert requests.seen == [("GET", "/clusters/1/livez", None)]


def test_a_server_that_sends_nothing_is_a_timeout(files: Path) -> None:
    def silence(handler: LoopbackHandler) -> None:
        handler.server.closing.wait(30)

    with serving(silence, Requests()) as url, pytest.raises(FetchError) as raised:
        client(url, files, timeout_seconds=0.1).anonymous("/livez")
    assert raised.value.kind is FailureKind.TIMEOUT


@pytest.mark.parametrize("bytes_", [b"", b"HTTP/1.1 nonsense\r\n\r\n", b"\x00\x01"])
def test_a_response_that_is_not_http_is_an_error(files: Path, bytes_: bytes) -> None:
    def nonsense(handler: LoopbackHandler) -> None:
        handler.wfile.write(bytes_)
        handler.drop()

    with serving(nonsense, Requests()) as url:
        with pytest.raises(FetchError) as raised:
            client(url, files).anonymous("/livez")
        assert apply(client(url, files)) is Applied.UNREACHABLE
    assert raised.value.kind in (FailureKind.CONNECTION, FailureKind.HTTP)


def test_a_missing_token_is_an_error(files: Path) -> None:
    (files / "token").write_text("")
    with serving(lambda handler: handler.reply(200, {}, b"{}"), Requests()) as url, pytest.raises(SettingsError):
        client(url, files).apply("/apis", b"{}")
