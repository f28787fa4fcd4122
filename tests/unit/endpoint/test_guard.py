import pytest

from sidecar.endpoint.guard import REJECTIONS, Accepted, Decision, Guard, Rejection, RejectionReason

READER, WRITER = b"r" * 43, b"w" * 43
GUARD = Guard({"reader": READER, "writer": WRITER})
HOST = (b"Host", b"127.0.0.1:9841")
TOKEN = (b"Authorization", READER)
PATH = b"/v1/credentials/reader"


def check(
    *headers: tuple[bytes, bytes], target: bytes = PATH, method: bytes = b"GET", guard: Guard = GUARD
) -> Decision:
    return guard.check(method, target, headers)


def rejection(decision: Decision) -> tuple[int, RejectionReason]:
    assert isinstance(decision, Rejection)
    return decision.status, decision.reason


@pytest.mark.rule("SDK 8")
def test_the_right_token_for_the_path_is_accepted() -> None:
    assert check(HOST, TOKEN) == Accepted("reader")


@pytest.mark.rule("SDK 8")
@pytest.mark.parametrize("value", [b"Bearer " + READER, b"bearer  " + READER, b" \t" + READER + b" \t"])
def test_a_bearer_prefix_and_white_space_are_ignored(value: bytes) -> None:
    assert check(HOST, (b"authorization", value)) == Accepted("reader")


@pytest.mark.rule("SDK 8")
@pytest.mark.mutant(
    "the beginning of an auth token is accepted", "the auth token of one profile is accepted for all profiles"
)
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
def test_any_other_token_is_rejected_with_403(value: bytes) -> None:
    assert rejection(check(HOST, (b"Authorization", value))) == (403, RejectionReason.AUTHORIZATION_WRONG)


@pytest.mark.rule("SDK 10")
@pytest.mark.mutant("a request without an auth token is accepted")
@pytest.mark.parametrize("headers", [(), ((b"Authorization", b""),), ((b"Authorization", b" \t"),)])
def test_a_missing_token_is_rejected_with_403_not_401(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    assert rejection(check(HOST, *headers)) == (403, RejectionReason.AUTHORIZATION_MISSING)


def test_two_authorization_headers_are_rejected_even_if_both_are_right() -> None:
    assert rejection(check(HOST, TOKEN, TOKEN)) == (400, RejectionReason.AUTHORIZATION_REPEATED)


@pytest.mark.rule("SDK 17")
def test_an_unknown_profile_has_the_answer_of_a_wrong_token() -> None:
    unknown = check(HOST, TOKEN, target=b"/v1/credentials/unknown")
    assert unknown == check(HOST, (b"Authorization", b"x" * 43))
    no_token = check(HOST, target=b"/v1/credentials/unknown")
    assert no_token == check(HOST)


def test_the_filler_for_unknown_profiles_is_not_accepted_as_a_token() -> None:
    filler = (b"Authorization", GUARD._absent)
    assert rejection(check(HOST, filler, target=b"/v1/credentials/none")) == (403, RejectionReason.AUTHORIZATION_WRONG)


@pytest.mark.rule("SDK 4")
@pytest.mark.parametrize("suffix", [b"/", b"?a=b", b"/?a=b&c=%20", b"?"])
def test_query_and_one_trailing_slash_are_dropped(suffix: bytes) -> None:
    assert check(HOST, TOKEN, target=PATH + suffix) == Accepted("reader")


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
def test_another_spelling_of_the_path_is_rejected(target: bytes) -> None:
    assert rejection(check(HOST, TOKEN, target=target)) == (403, RejectionReason.AUTHORIZATION_WRONG)


@pytest.mark.parametrize("target", [b"/", b"//", b"/v1", b"/v1/credentialsX", b"/V1/credentials/reader", b"/metrics"])
def test_other_paths_are_404(target: bytes) -> None:
    assert rejection(check(HOST, TOKEN, target=target)) == (404, RejectionReason.PATH)


@pytest.mark.parametrize("target", [b"http://127.0.0.1:9841" + PATH, b"*", b"", b"127.0.0.1:9841"])
def test_targets_other_than_origin_form_are_rejected(target: bytes) -> None:
    assert rejection(check(HOST, TOKEN, target=target)) == (400, RejectionReason.TARGET)


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"get"])
def test_other_methods_are_405(method: bytes) -> None:
    assert rejection(check(HOST, TOKEN, method=method)) == (405, RejectionReason.METHOD)


@pytest.mark.rule("SDK 13")
@pytest.mark.parametrize(
    "value", [b"127.0.0.1", b"127.0.0.1:1", b"localhost", b"LocalHost:9841", b"[::1]", b"[::1]:9841", b" 127.0.0.1 "]
)
def test_loopback_names_are_accepted_as_host_with_any_port_or_none(value: bytes) -> None:
    assert check((b"host", value), TOKEN) == Accepted("reader")


@pytest.mark.rule("SDK 13")
@pytest.mark.mutant("any Host is accepted")
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
def test_a_foreign_host_is_rejected_against_dns_rebinding(value: bytes) -> None:
    assert rejection(check((b"Host", value), TOKEN)) == (403, RejectionReason.HOST)


@pytest.mark.parametrize("hosts", [(), (HOST, HOST), (HOST, (b"hOST", b"evil.example"))])
def test_a_missing_or_repeated_host_is_rejected(hosts: tuple[tuple[bytes, bytes], ...]) -> None:
    assert rejection(check(*hosts, TOKEN)) == (400, RejectionReason.HOST)


@pytest.mark.rule("SDK 5", "SDK 13")
@pytest.mark.mutant("requests of a browser are accepted", "requests through a proxy are accepted")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"Origin", RejectionReason.ORIGIN),
        (b"ORIGIN", RejectionReason.ORIGIN),
        (b"Sec-Fetch-Site", RejectionReason.ORIGIN),
        (b"sec-fetch-mode", RejectionReason.ORIGIN),
        (b"Sec-Fetch-Storage-Access", RejectionReason.ORIGIN),
        (b"X-Forwarded-For", RejectionReason.FORWARDED),
        (b"x-forwarded-host", RejectionReason.FORWARDED),
        (b"Forwarded", RejectionReason.FORWARDED),
        (b"Via", RejectionReason.FORWARDED),
    ],
)
@pytest.mark.parametrize("value", [b"", b"null", b"127.0.0.1"])
def test_headers_of_browsers_and_proxies_are_rejected_with_any_value(
    name: bytes, reason: RejectionReason, value: bytes
) -> None:
    assert rejection(check(HOST, TOKEN, (name, value))) == (403, reason)
    assert rejection(check((name, value), HOST, TOKEN)) == (403, reason)


def test_dns_rebinding_reveals_nothing_about_paths_or_tokens() -> None:
    foreign = (b"Host", b"evil.example")
    answers = {check(foreign, TOKEN), check(foreign), check(foreign, target=b"/x"), check(foreign, target=PATH + b"y")}
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [(("default", "other"), "default"), (("only",), "only")],
)
def test_the_path_without_a_profile_serves_default_or_the_one_profile(profiles: tuple[str, ...], expected: str) -> None:
    guard = Guard(dict.fromkeys(profiles, READER))
    assert check(HOST, TOKEN, target=b"/v1/credentials", guard=guard) == Accepted(expected)
    assert check(HOST, TOKEN, target=b"/v1/credentials/", guard=guard) == Accepted(expected)


def test_the_path_without_a_profile_is_rejected_for_several_profiles() -> None:
    assert rejection(check(HOST, TOKEN, target=b"/v1/credentials")) == (403, RejectionReason.AUTHORIZATION_WRONG)


@pytest.mark.rule("Kubernetes D7")
@pytest.mark.parametrize("tokens", [{}, {"a": b""}, {"a": READER, "b": b" "}])
def test_a_guard_without_a_token_is_an_error(tokens: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="every profile needs an auth token"):
        Guard(tokens)


def test_no_token_is_in_the_repr() -> None:
    assert READER.decode() not in repr(GUARD)


def test_each_rejection_has_a_message_and_is_listed() -> None:
    assert {found.reason for found in REJECTIONS} == set(RejectionReason)
    assert all(found.message for found in REJECTIONS)
