"""An STS with false answers: any bytes that it sends give a valid result or a failure."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from typing import Any
from xml.sax.saxutils import escape

import boto3.session
import botocore.credentials
import botocore.session
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from sidecar.errors import Failure, Outcome
from sidecar.exchange import worker
from sidecar.exchange.messages import request_line
from sidecar.model import AssumeRoleResult
from tests.fuzz.fuzz_answers import results_of
from tests.fuzz.properties import CLOCK, REQUESTS, result_is_good

NOW = CLOCK.wall
HUGE = "(longer than the maximum line of the worker)"
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


class FalseSts:
    """Listens on loopback and sends the same bytes to each client."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="false-sts")
        self._thread.start()

    def _serve(self) -> None:
        while True:
            peer, _ = self._socket.accept()
            with peer:
                head, _, body = self._until(peer, b"", b"\r\n\r\n").partition(b"\r\n\r\n")
                if not head:
                    return
                (length,) = (int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:")
                while len(body) < length:
                    body += peer.recv(65_536)
                peer.sendall(self.answer)

    @staticmethod
    def _until(peer: socket.socket, data: bytes, end: bytes) -> bytes:
        while end not in data and (more := peer.recv(65_536)):
            data += more
        return data

    def close(self) -> None:
        """End the server, by a connection without a request."""
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        self._socket.close()


@pytest.fixture(scope="module")
def sts() -> Iterator[FalseSts]:
    server = FalseSts()
    yield server
    server.close()


@pytest.fixture(scope="module")
def session() -> Iterator[boto3.session.Session]:
    """The session that the worker creates, in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().endswith("_PROXY") or name.startswith("AWS_")]:
            patch.delenv(name)
        plain = botocore.session.Session()
        plain.register_component("credential_provider", botocore.credentials.CredentialResolver([]))
        yield boto3.session.Session(botocore_session=plain)


def ask(sts: FalseSts, session: boto3.session.Session, answer: bytes) -> list[AssumeRoleResult | Failure]:
    """Run the real worker for each request, and the real client with the worker's output."""
    sts.answer = answer
    output = b""
    for request in REQUESTS:
        there = replace(request, profile=replace(request.profile, endpoint_url=sts.url))
        line: dict[str, Any] = json.loads(json.dumps(request_line(there, "")))
        output += json.dumps({"profile": request.profile.name, **worker.exchange(session, line)}).encode() + b"\n"
    assert REQUESTS[0].token.raw.encode() not in output
    results = results_of(output)
    for request, result in zip(REQUESTS, results, strict=True):
        result_is_good(request, result)
    return results


def http(body: bytes, status: str = "200 OK", date: str = "") -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        "Content-Type: text/xml",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"Date: {date}"] if date else []
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body


def result_xml(**fields: str) -> bytes:
    """Return the XML that STS sends, with the elements of both calls."""
    values = {
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": SECRET,
        "SessionToken": "IQoJb3JpZ2luX2VjEXAMPLETOKEN==",
        "Expiration": "2027-01-15T09:00:00Z",
    } | fields
    arn = values.pop("Arn", "arn:aws:sts::123456789012:assumed-role/R/s")
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in values.items() if value != "absent")
    result = (
        f"<Credentials>{inside}</Credentials>"
        f"<AssumedRoleUser><Arn>{arn}</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser>"
    )
    calls = ("AssumeRoleWithWebIdentity", "AssumeRole")
    # A client reads the result of its call and ignores the other.
    result = result.replace(HUGE, "k" * 140_000)
    return ("<Response>" + "".join(f"<{call}Result>{result}</{call}Result>" for call in calls) + "</Response>").encode()


def error_xml(code: str, message: str) -> bytes:
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>".encode()


DATES = st.sampled_from(
    ["", formatdate(NOW, usegmt=True), formatdate(NOW - 86_400), "yesterday", "Fri, 31 Dec 9999 23:59:59 GMT", "0"]
)
TIMES = st.sampled_from(
    [
        "2027-01-15T09:00:00Z", "2027-01-15T08:00:20Z", "2001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "1800003600", "-1", "1e400", "NaN", "", "soon",
        "absent",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.just("absent"),
    st.text(max_size=12).map(escape),
    st.text("<>&\n\t\x7f aé]", max_size=8),
    st.sampled_from([SECRET, HUGE, "a&#10;b", "a&#0;b", "<![CDATA[a]]>", "<a>b</a>"]),
)
STATUSES = st.sampled_from(
    ["200 OK", "200 OK", "200 OK", "400 Bad Request", "403 No", "429 Slow", "500 Oh", "302 Found"]
)
BODIES = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "AccessKeyId": TEXTS,
            "SecretAccessKey": TEXTS,
            "SessionToken": TEXTS,
            "Expiration": TIMES,
            "Arn": TEXTS,
        },
    ).map(lambda fields: result_xml(**fields)),
    TIMES.map(lambda time: result_xml(Expiration=time)),
    st.builds(error_xml, TEXTS, TEXTS),
    st.binary(max_size=100),
    st.sampled_from([b"", b"<html><body>Sign in to the network</body></html>", b'{"Credentials": {}}', b"<a>" * 5_000]),
)
USUAL = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@USUAL
@given(BODIES, STATUSES, DATES)
@example(result_xml(Expiration="9999-12-31T23:59:59-12:00"), "200 OK", "")
@example(result_xml(Expiration="2001-01-01T00:00:00Z"), "200 OK", "")
@example(result_xml(Arn="arn:aws:sts::evil.example/:assumed-role/R/s"), "200 OK", "")
def test_any_answer(sts: FalseSts, session: boto3.session.Session, body: bytes, status: str, date: str) -> None:
    ask(sts, session, http(body, status, date))


@USUAL
@given(st.integers(0, 1_500), st.integers(0, 20), st.binary(max_size=4))
def test_a_valid_answer_cut_or_overwritten(
    sts: FalseSts, session: boto3.session.Session, at: int, gone: int, come: bytes
) -> None:
    good = http(result_xml(), date=formatdate(NOW, usegmt=True))
    at %= len(good)
    ask(sts, session, good[:at] + come + (good[at + gone :] if come else b""))


@USUAL
@given(st.binary(max_size=200))
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
@example(b"HTTP/1.1 100 Continue\r\n\r\n" * 50)
def test_bytes_that_are_not_http(sts: FalseSts, session: boto3.session.Session, answer: bytes) -> None:
    assert all(isinstance(result, Failure) for result in ask(sts, session, answer))


@pytest.mark.mutant("a Date that cannot be right leaves no credentials")
@pytest.mark.parametrize(
    "date",
    [
        "", "yesterday", "Fri, 99 Foo 2027 08:00:00 GMT", "Fri, 01 Jan 99999999999 08:00:00 GMT",
        *(formatdate(NOW + off, usegmt=True) for off in (-86_400, -600, 0, 600, 7_200)),
    ],
)  # fmt: skip
def test_a_valid_answer_gives_a_result_whatever_its_date(
    sts: FalseSts, session: boto3.session.Session, date: str
) -> None:
    for result in ask(sts, session, http(result_xml(), date=date)):
        assert isinstance(result, AssumeRoleResult)
        assert 3_000 <= result.lifetime_seconds <= 3_600
        assert result.credentials.secret_access_key == SECRET
        assert result.credentials.account_id == "123456789012"


def test_an_error_answer_gives_a_failure(sts: FalseSts, session: boto3.session.Session) -> None:
    for result in ask(sts, session, http(error_xml("AccessDenied", "no"), "403 Forbidden")):
        assert isinstance(result, Failure)
        assert (result.outcome, result.code, result.status) == (Outcome.ACCESS_DENIED, "AccessDenied", 403)
