"""The client of the API server, against servers that misbehave."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.local.loopback import LoopbackHandler, LoopbackServer
from examples.local.pki import Authority, server_context
from sidecar.bootstrap_cluster.api import ApiClient
from sidecar.bootstrap_cluster.binding import Applied, apply
from sidecar.errors import SettingsError
from sidecar.issuer.cluster import ApiServer
from sidecar.issuer.reader import Trouble, Unreadable

Reply = Callable[[LoopbackHandler], None]
AUTHORITY = Authority("cluster CA")


class Heard:
    """What a server heard: method, path and Authorization of each request."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str | None]] = []


@contextlib.contextmanager
def serving(reply: Reply, heard: Heard) -> Iterator[str]:
    """Answer every GET and PATCH in one way; gives the URL."""

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            heard.requests.append((self.command, self.path, self.headers.get("Authorization")))
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


def test_an_anonymous_request_has_no_login_and_any_other_has_the_token_of_now(files: Path) -> None:
    heard = Heard()
    with serving(lambda handler: handler.reply(200, {}, b"{}"), heard) as url:
        api = client(url, files)
        assert api.anonymous("/livez") == 200
        api.get("/version", login=False)
        api.get("/version", login=True)
        (files / "token").write_text("the-next")
        api.apply("/apis", b"{}")
    assert heard.requests == [
        ("GET", "/livez", None),
        ("GET", "/version", None),
        ("GET", "/version", "Bearer the-token"),
        ("PATCH", "/apis", "Bearer the-next"),
    ]


def test_a_server_that_the_ca_does_not_vouch_for_hears_no_token(files: Path) -> None:
    heard = Heard()
    (files / "ca.crt").write_text(Authority("another CA").pem)
    with serving(lambda handler: handler.reply(200, {}, b"{}"), heard) as url:
        with pytest.raises(Unreadable) as raised:
            client(url, files).apply("/apis", b"{}")
        assert apply(client(url, files)) is Applied.UNREACHABLE
    assert (raised.value.trouble, heard.requests) == (Trouble.TLS, [])


def test_without_a_ca_only_this_machines_roots_count() -> None:
    heard = Heard()
    with serving(lambda handler: handler.reply(200, {}, b"{}"), heard) as url, pytest.raises(Unreadable) as raised:
        ApiClient(ApiServer(url, None, None)).anonymous("/livez")
    assert (raised.value.trouble, heard.requests) == (Trouble.TLS, [])


def test_a_redirect_is_an_answer_and_nothing_is_sent_on(files: Path) -> None:
    heard = Heard()
    with serving(lambda handler: handler.reply(307, {"Location": "https://127.0.0.1:1/"}, b""), heard) as url:
        assert client(url, files).get("/version", login=True).status == 307
    assert len(heard.requests) == 1


def test_a_proxy_of_the_environment_is_not_asked(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with serving(lambda handler: handler.reply(200, {}, b"{}"), Heard()) as url:
        assert client(url, files).anonymous("/livez") == 200


def test_a_large_body_is_left_unread_by_who_wants_the_status(files: Path) -> None:
    def endless(handler: LoopbackHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        handler.server.closing.wait(30)  # the body never comes

    with serving(endless, Heard()) as url:
        assert client(url, files).anonymous("/openapi/v2") == 200


def test_of_a_body_no_more_than_a_mib_is_kept(files: Path) -> None:
    with serving(lambda handler: handler.reply(200, {}, b"x" * (2 << 20)), Heard()) as url:
        assert len(client(url, files).get("/", login=False).content) == 1 << 20


def test_a_server_that_says_nothing_is_given_up(files: Path) -> None:
    def silence(handler: LoopbackHandler) -> None:
        handler.server.closing.wait(30)

    with serving(silence, Heard()) as url, pytest.raises(Unreadable) as raised:
        client(url, files, timeout_seconds=0.1).anonymous("/livez")
    assert raised.value.trouble is Trouble.TIMEOUT


@pytest.mark.parametrize("bytes_", [b"", b"HTTP/1.1 nonsense\r\n\r\n", b"\x00\x01"])
def test_what_is_no_http_is_no_answer(files: Path, bytes_: bytes) -> None:
    def nonsense(handler: LoopbackHandler) -> None:
        handler.wfile.write(bytes_)
        handler.drop()

    with serving(nonsense, Heard()) as url:
        with pytest.raises(Unreadable) as raised:
            client(url, files).anonymous("/livez")
        assert apply(client(url, files)) is Applied.UNREACHABLE
    assert raised.value.trouble is Trouble.CONNECTION


def test_no_token_where_one_is_needed_is_told(files: Path) -> None:
    (files / "token").write_text("")
    with serving(lambda handler: handler.reply(200, {}, b"{}"), Heard()) as url, pytest.raises(SettingsError):
        client(url, files).apply("/apis", b"{}")
