import json

import pytest

from sidecar.http1.response import EncodedResponse, Pending, encode_response, error, error_body
from tests.helpers.peer import replies_in


def test_error_bodies_carry_both_spellings() -> None:
    assert json.loads(error_body("host", "no")) == {"code": "host", "message": "no", "Code": "host", "Message": "no"}


@pytest.mark.rule("SDK 12")
def test_a_response_is_complete_and_not_cached() -> None:
    answer = encode_response(200, b"{}", headers=(("Allow", "GET"),))
    assert answer.keep == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        b"Cache-Control: no-store\r\nAllow: GET\r\n\r\n{}"
    )
    assert replies_in(answer.close)[0].closes
    assert answer.close.replace(b"\r\nConnection: close", b"") == answer.keep


@pytest.mark.rule("SDK 17")
def test_503_has_retry_after() -> None:
    assert replies_in(error(503, "no_credentials", "wait").keep)[0].headers["retry-after"] == "1"
    assert "retry-after" not in replies_in(error(403, "host", "no").keep)[0].headers


def test_no_secret_is_in_the_repr_of_an_answer() -> None:
    assert repr(encode_response(200, b"secret")) == "EncodedResponse()"


def test_a_second_answer_of_a_pending_one_is_ignored() -> None:
    calls: list[bool] = []
    first, second = EncodedResponse(b"1", b"1"), EncodedResponse(b"2", b"2")
    pending = Pending()
    pending.notify(lambda: calls.append(True))
    pending.resolve(first)
    pending.resolve(second)
    assert pending.answer is first
    assert calls == [True]
