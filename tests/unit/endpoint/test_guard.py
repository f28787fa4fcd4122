import pytest

from sidecar.endpoint.guard import REFUSALS, Admitted, Cause, Guard, Refusal, Verdict

READER, WRITER = b"r" * 43, b"w" * 43
GUARD = Guard({"reader": READER, "writer": WRITER})
HOST = (b"Host", b"127.0.0.1:9841")
TOKEN = (b"Authorization", READER)
PATH = b"/v1/credentials/reader"


def judge(*headers: tuple[bytes, bytes], target: bytes = PATH, method: bytes = b"GET", guard: Guard = GUARD) -> Verdict:
    return guard.judge(method, target, headers)


def refused(verdict: Verdict) -> tuple[int, Cause]:
    assert isinstance(verdict, Refusal)
    return verdict.status, verdict.cause


def test_the_right_token_for_the_path_is_admitted() -> None:
    assert judge(HOST, TOKEN) == Admitted("reader")


@pytest.mark.parametrize("value", [b"Bearer " + READER, b"bearer  " + READER, b" \t" + READER + b" \t"])
def test_a_bearer_prefix_and_white_space_change_nothing(value: bytes) -> None:
    assert judge(HOST, (b"authorization", value)) == Admitted("reader")


@pytest.mark.parametrize(
    "value",
    [
        WRITER,
        READER[:-1],
        READER + b"r",
        READER.upper(),
        b"Basic " + READER,
        b"Bearer Bearer " + READER,
        "r\u00e9".encode(),
        b"\xff" * 43,
        b"\0" * 43,
    ],
)
def test_any_other_token_is_refused_with_403(value: bytes) -> None:
    assert refused(judge(HOST, (b"Authorization", value))) == (403, Cause.AUTHORIZATION_WRONG)


@pytest.mark.parametrize("headers", [(), ((b"Authorization", b""),), ((b"Authorization", b" \t"),)])
def test_a_missing_token_is_refused_with_403_not_401(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    assert refused(judge(HOST, *headers)) == (403, Cause.AUTHORIZATION_MISSING)


def test_two_authorization_headers_are_refused_even_if_both_are_right() -> None:
    assert refused(judge(HOST, TOKEN, TOKEN)) == (400, Cause.AUTHORIZATION_REPEATED)


def test_an_unknown_profile_looks_exactly_like_a_wrong_token() -> None:
    unknown = judge(HOST, TOKEN, target=b"/v1/credentials/nobody")
    assert unknown == judge(HOST, (b"Authorization", b"x" * 43))
    no_token = judge(HOST, target=b"/v1/credentials/nobody")
    assert no_token == judge(HOST)


def test_the_filler_for_unknown_profiles_is_no_token() -> None:
    filler = (b"Authorization", GUARD._absent)
    assert refused(judge(HOST, filler, target=b"/v1/credentials/nobody")) == (403, Cause.AUTHORIZATION_WRONG)


@pytest.mark.parametrize("suffix", [b"/", b"?a=b", b"/?a=b&c=%20", b"?"])
def test_query_and_one_trailing_slash_are_dropped(suffix: bytes) -> None:
    assert judge(HOST, TOKEN, target=PATH + suffix) == Admitted("reader")


@pytest.mark.parametrize(
    "target",
    [
        PATH + b"//",
        PATH + b"/more",
        b"/v1/credentials/%72eader",
        b"/v1/credentials/READER",
        b"/v1/credentials//",
        b"/v1/credentials/../credentials/reader",
        PATH + b"#",
    ],
)
def test_no_other_spelling_of_the_path_is_admitted(target: bytes) -> None:
    assert refused(judge(HOST, TOKEN, target=target)) == (403, Cause.AUTHORIZATION_WRONG)


@pytest.mark.parametrize("target", [b"/", b"//", b"/v1", b"/v1/credentialsX", b"/V1/credentials/reader", b"/metrics"])
def test_other_paths_are_404(target: bytes) -> None:
    assert refused(judge(HOST, TOKEN, target=target)) == (404, Cause.PATH)


@pytest.mark.parametrize("target", [b"http://127.0.0.1:9841" + PATH, b"*", b"", b"127.0.0.1:9841"])
def test_only_origin_form_is_a_target(target: bytes) -> None:
    assert refused(judge(HOST, TOKEN, target=target)) == (400, Cause.TARGET)


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"get"])
def test_other_methods_are_405(method: bytes) -> None:
    assert refused(judge(HOST, TOKEN, method=method)) == (405, Cause.METHOD)


@pytest.mark.parametrize(
    "value", [b"127.0.0.1", b"127.0.0.1:1", b"localhost", b"LocalHost:9841", b"[::1]", b"[::1]:9841", b" 127.0.0.1 "]
)
def test_our_own_names_are_accepted_as_host_with_any_port_or_none(value: bytes) -> None:
    assert judge((b"host", value), TOKEN) == Admitted("reader")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"evil.example",
        b"evil.example:9841",
        b"127.0.0.1.evil.example",
        b"127.0.0.1:80@evil.example",
        b"127.0.0.1:",
        b"127.0.0.2",
        b"localhost.",
        b"[::1].evil.example",
        b"[::1]:x",
        b"[::1]:",
        b"::1",
        b"0.0.0.0",
        b"169.254.170.2",
        b"127.0.0.1, evil.example",
    ],
)
def test_a_foreign_host_is_refused_against_dns_rebinding(value: bytes) -> None:
    assert refused(judge((b"Host", value), TOKEN)) == (403, Cause.HOST)


@pytest.mark.parametrize("hosts", [(), (HOST, HOST), (HOST, (b"hOST", b"evil.example"))])
def test_host_must_come_exactly_once(hosts: tuple[tuple[bytes, bytes], ...]) -> None:
    assert refused(judge(*hosts, TOKEN)) == (400, Cause.HOST)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        (b"Origin", Cause.ORIGIN),
        (b"ORIGIN", Cause.ORIGIN),
        (b"Sec-Fetch-Site", Cause.ORIGIN),
        (b"sec-fetch-mode", Cause.ORIGIN),
        (b"Sec-Fetch-Storage-Access", Cause.ORIGIN),
        (b"X-Forwarded-For", Cause.FORWARDED),
        (b"x-forwarded-host", Cause.FORWARDED),
        (b"Forwarded", Cause.FORWARDED),
        (b"Via", Cause.FORWARDED),
    ],
)
@pytest.mark.parametrize("value", [b"", b"null", b"127.0.0.1"])
def test_what_browsers_and_proxies_add_is_refused_whatever_its_value(name: bytes, cause: Cause, value: bytes) -> None:
    assert refused(judge(HOST, TOKEN, (name, value))) == (403, cause)
    assert refused(judge((name, value), HOST, TOKEN)) == (403, cause)


def test_a_rebound_page_learns_nothing_of_paths_or_tokens() -> None:
    foreign = (b"Host", b"evil.example")
    answers = {judge(foreign, TOKEN), judge(foreign), judge(foreign, target=b"/x"), judge(foreign, target=PATH + b"y")}
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [(("default", "other"), "default"), (("only",), "only")],
)
def test_the_plain_path_serves_default_or_the_only_profile(profiles: tuple[str, ...], expected: str) -> None:
    guard = Guard(dict.fromkeys(profiles, READER))
    assert judge(HOST, TOKEN, target=b"/v1/credentials", guard=guard) == Admitted(expected)
    assert judge(HOST, TOKEN, target=b"/v1/credentials/", guard=guard) == Admitted(expected)


def test_the_plain_path_of_several_profiles_is_refused_like_a_wrong_token() -> None:
    assert refused(judge(HOST, TOKEN, target=b"/v1/credentials")) == (403, Cause.AUTHORIZATION_WRONG)


@pytest.mark.parametrize("tokens", [{}, {"a": b""}, {"a": READER, "b": b" "}])
def test_a_guard_without_a_token_cannot_be_made(tokens: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="every profile needs an auth token"):
        Guard(tokens)


def test_no_token_is_in_the_repr() -> None:
    assert READER.decode() not in repr(GUARD)


def test_every_refusal_has_a_message_and_is_listed() -> None:
    assert {refusal.cause for refusal in REFUSALS} == set(Cause)
    assert all(refusal.message for refusal in REFUSALS)
