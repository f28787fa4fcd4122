"""What the bytes are decides, never how they were cut into packets; and nothing without the token gets in."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import closing

from hypothesis import example, given, strategies as st

from sidecar.endpoint.guard import Admitted, Guard, Refusal
from sidecar.endpoint.http1 import Connection, Handler, Limits
from sidecar.endpoint.reader import Fault, FaultError, Heads, Request, RequestReader
from sidecar.endpoint.wire import Answer, render

HEAD_MAX = 256
TOKEN = b"T0ken-_" * 6 + b"z"
GUARD = Guard({"reader": TOKEN, "writer": TOKEN[::-1]})
REFUSED = ("origin", "via", "forwarded", "x-forwarded-for", "x-forwarded-host", "sec-fetch-site", "sec-fetch-dest")

Parsed = tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...], bool]


def read(pieces: Sequence[bytes]) -> tuple[list[Parsed], str, bool]:
    """Return every request, the fault that ended the stream if any, and whether a request is unfinished."""
    reader = RequestReader(HEAD_MAX)
    requests: list[Parsed] = []
    for piece in pieces:
        position = 0
        while position < len(piece):
            try:
                moved = reader.read(piece, position)
            except FaultError as exc:
                return requests, f"{exc.fault} {reader.is_head}", False
            assert moved > position
            position = moved
            if reader.request is not None:
                request = reader.request
                requests.append((request.method, request.target, tuple(request.headers), request.keep_alive))
    return requests, "", reader.size > 0


class Wire(asyncio.Transport):
    """The far side of a connection: keeps what was written and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def echo(request: Request) -> Answer:
    return render(200, repr((request.method, request.target, request.headers)).encode())


class Site:
    """An ``Owner`` whose handler echoes the whole request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.handler: Handler = echo
        self.limits = Limits(head_bytes=HEAD_MAX)
        self.draining = False
        self.heads: Heads = {}
        self.faults: list[Fault] = []

    def opened(self, connection: Connection) -> None:
        pass

    def closed(self, connection: Connection) -> None:
        pass

    def refused(self, fault: Fault) -> None:
        self.faults.append(fault)


def answer(pieces: Sequence[bytes]) -> tuple[bytes, bool, list[Fault]]:
    """Return what a connection writes, whether it closes, and what it counts."""
    with closing(asyncio.new_event_loop()) as loop:
        site, wire = Site(loop), Wire()
        connection = Connection(site)
        connection.connection_made(wire)
        for piece in pieces:
            connection.data_received(piece)
    return wire.written, wire.closed, site.faults


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


TARGETS = st.sampled_from(
    ["/", "/v1/credentials/reader", "*", "http://127.0.0.1/", "/\x7f", "/" + "a" * 240, "", "/ b"]
)
LINES = st.sampled_from(
    [
        "Host: 127.0.0.1:9841",
        "Host:",
        "Authorization: x",
        "Content-Length: 0",
        "Content-Length: 3",
        "Content-Length: 3, 3",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Connection: close",
        "Connection: keep-alive",
        "Connection: Upgrade",
        "Upgrade: h2c",
        "Expect: 100-continue",
        "A : b",
        " folded",
        ": nameless",
        "A: \x00",
        "B: " + "b" * 100,
    ]
)
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Bytes that get deep into the parser: requests, nearly requests, and noise between them."""
    parts: list[bytes] = []
    for _ in range(draw(st.integers(1, 4))):
        method = draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "CONNECT", "PRI", "get", "G"]))
        version = draw(st.sampled_from(["1.1", "1.1", "1.1", "1.0", "2.0", "0.9", "1.2", "x"]))
        lines = [f"{method} {draw(TARGETS)} HTTP/{version}", *draw(st.lists(LINES, max_size=4)), ""]
        parts.append("".join(line + draw(ENDS) for line in lines).encode("latin-1"))
        parts.append(draw(st.sampled_from([b"", b"", b"", b"\r\n", b"\r\n\r\n", b"abc", b"0\r\n\r\n"])))
    return b"".join(parts)


@given(st.one_of(streams(), st.binary(max_size=600)), st.lists(st.integers(min_value=0), max_size=8))
@example(b"GET / HTTP/1.1\r\n\r\n" * 3, [17, 18, 35])
@example(b"\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", [1, 2, 3])
@example(b"GET /" + b"a" * 236 + b" HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", [254, 255, 256])
@example(b"GET /" + b"a" * 237 + b" HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", [254, 255, 256])
@example(b"HEAD / HTTP/1.1\r\n\r\n?", [])
def test_the_same_bytes_get_the_same_answers_however_they_are_cut(data: bytes, places: list[int]) -> None:
    bytewise = [data[index : index + 1] for index in range(len(data))]
    assert read([data]) == read(bytewise) == read(cut(data, places))
    assert answer([data]) == answer(bytewise) == answer(cut(data, places))


ALIKE = (
    b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /two HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /one HTTP/1.1\r\nHost: b\r\n\r\n",
    b"HEAD /on HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /one HTTP/1.0\r\nHost: a\r\n\r\n",
    b"GET /one HTTP/1.1\r\nConnection: close\r\n\r\n",
    b"GET /one HTTP/1.1\r\nHost: a\r\n",
    b"\r\n",
    b"?",
)


@given(st.lists(st.sampled_from(ALIKE), max_size=8))
@example([ALIKE[0], ALIKE[0], ALIKE[1], ALIKE[0]])
@example([ALIKE[3], ALIKE[6], b"\r\n", ALIKE[3], b"?"])
def test_requests_that_come_again_are_read_as_if_for_the_first_time(pieces: list[bytes]) -> None:
    bytewise = [bytes([letter]) for piece in pieces for letter in piece]
    assert read(pieces) == read(bytewise)
    assert answer(pieces) == answer(bytewise)


@given(streams())
def test_no_request_is_larger_than_the_limit(data: bytes) -> None:
    requests, _, _ = read([data])
    for method, target, headers, _ in requests:
        size = len(method) + len(target) + sum(len(name) + len(value) for name, value in headers)
        assert size <= HEAD_MAX


NAMES = st.sampled_from(["/v1/credentials/reader", "/v1/credentials/writer", "/v1/credentials", "/v1/credentials/x"])
SCHEMES = st.sampled_from([b"", b"Bearer ", b"bearer ", b"Basic "])


@given(NAMES, SCHEMES, st.one_of(st.binary(max_size=50), st.just(TOKEN), st.just(TOKEN[::-1])))
def test_nothing_but_the_exact_token_of_the_profile_is_admitted(path: str, scheme: bytes, token: bytes) -> None:
    verdict = GUARD.judge(b"GET", path.encode(), [(b"Host", b"localhost"), (b"Authorization", scheme + token)])
    bare = (scheme + token).strip()
    if bare[:7].lower() == b"bearer ":
        bare = bare[7:].strip()
    right = {"/v1/credentials/reader": TOKEN, "/v1/credentials/writer": TOKEN[::-1]}.get(path)
    assert isinstance(verdict, Admitted) is (bare == right)


@given(
    st.binary(max_size=20), st.binary(max_size=40), st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=60)))
)
def test_no_noise_is_admitted_and_nothing_raises(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    assert isinstance(GUARD.judge(method, target, headers), Refusal)


HEADER_NAMES = st.one_of(
    st.sampled_from(REFUSED),
    st.sampled_from(["Accept", "User-Agent", "Accept-Encoding", "Connection", "X-Amz-Date", "sec-fetchless", "vi"]),
    st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).filter(
        lambda name: name not in {"host", "authorization"}
    ),
)


@given(st.lists(st.tuples(HEADER_NAMES, st.booleans(), st.binary(max_size=9)), max_size=6), st.integers(0, 6))
def test_a_valid_request_is_admitted_unless_it_carries_a_refused_header(
    extra: list[tuple[str, bool, bytes]], place: int
) -> None:
    headers = [((name.upper() if upper else name).encode(), value) for name, upper, value in extra]
    headers[place:place] = [(b"Host", b"127.0.0.1:9841"), (b"Authorization", TOKEN)]
    verdict = GUARD.judge(b"GET", b"/v1/credentials/reader", headers)
    refused = any(name in REFUSED or name.startswith("sec-fetch-") for name, _, _ in extra)
    assert isinstance(verdict, Refusal) is refused
