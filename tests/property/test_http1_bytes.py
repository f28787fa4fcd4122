"""The answer depends on the bytes, never on the packets; no request without the auth token is accepted."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import closing

import pytest
from hypothesis import example, given, strategies as st

from sidecar.endpoint.guard import Accepted, Guard, Rejection
from sidecar.http1.connection import Handler, Limits, ServerConnection
from sidecar.http1.parser import Fault, FaultError, Heads, Request, RequestReader
from sidecar.http1.response import EncodedResponse, encode_response

HEAD_MAX = 256
TOKEN = b"T0ken-_" * 6 + b"z"
GUARD = Guard({"reader": TOKEN, "writer": TOKEN[::-1]})
REJECTED = ("origin", "via", "forwarded", "x-forwarded-for", "x-forwarded-host", "sec-fetch-site", "sec-fetch-dest")

Parsed = tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...], bool]


def read(pieces: Sequence[bytes]) -> tuple[list[Parsed], str, bool]:
    """Return the requests, the fault that ended the stream or "", and whether a request is unfinished."""
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
    """The transport of a connection: saves the bytes written and whether it was closed."""

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


def echo(request: Request) -> EncodedResponse:
    return encode_response(200, repr((request.method, request.target, request.headers)).encode())


class ConnectionOwner:
    """An ``Owner`` whose handler echoes the whole request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.handler: Handler = echo
        self.limits = Limits(head_bytes=HEAD_MAX)
        self.draining = False
        self.heads: Heads = {}
        self.faults: list[Fault] = []

    def closed(self, connection: ServerConnection) -> None:
        pass

    def rejected(self, fault: Fault) -> None:
        self.faults.append(fault)


def answer(pieces: Sequence[bytes]) -> tuple[bytes, bool, list[Fault]]:
    """Return the bytes that a connection writes, whether it closes, and the faults that it counts."""
    with closing(asyncio.new_event_loop()) as loop:
        site, wire = ConnectionOwner(loop), Wire()
        connection = ServerConnection(site)
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
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "Upgrade: websocket\r\nConnection: keep-alive, Upgrade",
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
    """Bytes that reach many branches of the parser: requests, malformed requests, and random bytes between them."""
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
@example(b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", [13])
@example(b"PRI * HTTP/2.\r\n\r\n", [13])
@example(b"PRI * HTTP/2.0\r\n\r", [])
@example(b"\r\nPRI * HTTP/2.1\r\n\r\n", [15])
@example(b"\r\n" * 119 + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [])
def test_the_same_bytes_get_the_same_answers_in_any_packets(data: bytes, places: list[int]) -> None:
    bytewise = [data[index : index + 1] for index in range(len(data))]
    assert read([data]) == read(bytewise) == read(cut(data, places))
    assert answer([data]) == answer(bytewise) == answer(cut(data, places))


UPGRADE = b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.mark.mutant("the body of a request with Upgrade is read as the next request")
@given(streams(), st.lists(st.integers(min_value=0), max_size=8))
@example(UPGRADE + b"Content-Length: 3\r\n\r\nabc", [])
@example(UPGRADE + b"Content-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n", [])
@example(UPGRADE + b"Connection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n", [])
@example(UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [])
def test_a_request_is_read_as_if_it_requested_no_upgrade(data: bytes, places: list[int]) -> None:
    def kind(fault: str) -> str:
        # If one request has two framing faults, such as a length and an encoding, the parser may name the other one.
        return "framing" if fault.partition(" ")[0] in {Fault.BODY, Fault.MALFORMED} else fault

    # The same length, but no field of HTTP.
    requests, fault, unfinished = read(cut(data.replace(b"Upgrade: ", b"Upgrada: "), places))
    plain = [
        (method, target, tuple((name.replace(b"Upgrada", b"Upgrade"), value) for name, value in headers), keep)
        for method, target, headers, keep in requests
    ]
    requests, asked_fault, asked_unfinished = read(cut(data, places))
    assert (requests, kind(asked_fault), asked_unfinished) == (plain, kind(fault), unfinished)


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


@pytest.mark.mutant("a request of the same length is taken for the previous one")
@given(st.lists(st.sampled_from(ALIKE), max_size=8))
@example([ALIKE[0], ALIKE[0], ALIKE[1], ALIKE[0]])
@example([ALIKE[3], ALIKE[6], b"\r\n", ALIKE[3], b"?"])
def test_repeated_requests_are_read_like_the_first_one(pieces: list[bytes]) -> None:
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
def test_only_the_exact_auth_token_of_the_profile_is_accepted(path: str, scheme: bytes, token: bytes) -> None:
    result = GUARD.check(b"GET", path.encode(), [(b"Host", b"localhost"), (b"Authorization", scheme + token)])
    bare = (scheme + token).strip()
    if bare[:7].lower() == b"bearer ":
        bare = bare[7:].strip()
    right = {"/v1/credentials/reader": TOKEN, "/v1/credentials/writer": TOKEN[::-1]}.get(path)
    assert isinstance(result, Accepted) is (bare == right)


@given(
    st.binary(max_size=20), st.binary(max_size=40), st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=60)))
)
def test_random_bytes_are_rejected_and_nothing_raises(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    assert isinstance(GUARD.check(method, target, headers), Rejection)


HEADER_NAMES = st.one_of(
    st.sampled_from(REJECTED),
    st.sampled_from(
        ["Accept", "User-Agent", "Accept-Encoding", "ServerConnection", "X-Amz-Date", "sec-fetchless", "vi"]
    ),
    st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).filter(
        lambda name: name not in {"host", "authorization"}
    ),
)


@given(st.lists(st.tuples(HEADER_NAMES, st.booleans(), st.binary(max_size=9)), max_size=6), st.integers(0, 6))
def test_a_valid_request_is_accepted_unless_it_has_a_rejected_header(
    extra: list[tuple[str, bool, bytes]], place: int
) -> None:
    headers = [((name.upper() if upper else name).encode(), value) for name, upper, value in extra]
    headers[place:place] = [(b"Host", b"127.0.0.1:9841"), (b"Authorization", TOKEN)]
    result = GUARD.check(b"GET", b"/v1/credentials/reader", headers)
    rejected = any(name in REJECTED or name.startswith("sec-fetch-") for name, _, _ in extra)
    assert isinstance(result, Rejection) is rejected
