"""Each answer of a server that is not the issuer's document, by its body: which server it is, and what is wrong."""

import pytest

from sidecar.https.failures import FailureKind, FetchError
from sidecar.issuer import faults
from sidecar.issuer.answers import (
    Sender,
    Verdict,
    discovery_of,
    judge_error,
    judge_jwks_uri,
    judge_seconds,
    keys_of,
    sender_of,
)
from sidecar.issuer.certificates import Chain
from sidecar.issuer.documents import Discovery, Keys
from sidecar.issuer.faults import IssuerFault
from sidecar.issuer.reader import IssuerResponse

ISSUER = "https://issuer.test"
STATUS = b'{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403}'
S3 = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
AZURE = b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>PublicAccessNotPermitted</Code></Error>"
PAGE = b"<html><head><title>401 Authorization Required</title></head><body>nginx</body></html>"
DOCTYPE = b'\r\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">\n<html>'
JSON = b'{"message": "Forbidden"}'


def answer(status: int, content: bytes = b"", location: str = "", seconds: float = 0.0) -> IssuerResponse:
    return IssuerResponse(status, content, None, Chain((), public=True), location, seconds)


def verdict(status: int, content: bytes = b"", location: str = "") -> Verdict:
    found = discovery_of(ISSUER, answer(status, content, location))
    assert isinstance(found, Verdict)
    found.line, found.fix  # noqa: B018 - each text has its facts
    return found


@pytest.mark.parametrize(
    ("content", "sender"),
    [
        (STATUS, Sender.API_SERVER),
        (S3, Sender.BUCKET),
        (AZURE, Sender.BUCKET),
        (PAGE, Sender.PAGE),
        (DOCTYPE, Sender.PAGE),
        (b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>", Sender.PAGE),
        (JSON, Sender.OTHER),
        (b"[" * 100_000, Sender.OTHER),
        (b'{"kind": "Pod"}', Sender.OTHER),
        (b"<Error>no code</Error>", Sender.OTHER),
        (b"404 page not found\n", Sender.OTHER),
        (b"", Sender.OTHER),
    ],
)
def test_the_body_tells_who_answered(content: bytes, sender: Sender) -> None:
    assert sender_of(content) is sender


@pytest.mark.mutant("the status tells who answered", case="401-page")
@pytest.mark.parametrize(
    ("status", "content", "fault"),
    [
        (401, STATUS, faults.ANONYMOUS_OFF),
        (403, STATUS, faults.BINDING_MISSING),
        pytest.param(401, PAGE, faults.LOGIN, id="401-page"),
        (403, PAGE, faults.LOGIN),
        (403, JSON, faults.LOGIN),
        (407, b"", faults.LOGIN),
        (403, S3, faults.CLOSED),
        (409, AZURE, faults.NO_DOCUMENT),
        (404, S3, faults.NO_DOCUMENT),
        (404, PAGE, faults.NO_DOCUMENT),
        (404, STATUS, faults.NO_DOCUMENT),
        (406, b"", faults.NO_DOCUMENT),
        (200, PAGE, faults.PAGE),
        (200, DOCTYPE, faults.PAGE),
        (200, b"ok", faults.NO_DOCUMENT),
        (200, STATUS, faults.NO_DOCUMENT),
        (204, b"", faults.NO_DOCUMENT),
        (429, STATUS, faults.BUSY),
        (429, PAGE, faults.BUSY),
        (500, b"", faults.BUSY),
        (502, PAGE, faults.BUSY),
        (503, S3, faults.BUSY),
        (504, PAGE, faults.BUSY),
        (301, S3, faults.REDIRECT),
        (302, b"", faults.REDIRECT),
        (307, PAGE, faults.REDIRECT),
        (308, b"", faults.REDIRECT),
    ],
)
def test_status_and_body_give_the_fault(status: int, content: bytes, fault: IssuerFault) -> None:
    assert verdict(status, content).fault is fault


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://user:s3cret@login.example.org/auth?state=s3cret#s3cret", "https://login.example.org/auth"),
        ("/dex/auth?state=s3cret", "https://issuer.test/dex/auth"),
        (
            "https://10.0.0.10:6443/x",
            "https://10.0.0.10:6443/x (10.0.0.10 is a private address, which AWS cannot reach)",
        ),
        ("", "no valid URL"),
        ("https://[", "no valid URL"),
    ],
)
def test_the_target_of_a_redirect_is_shown_without_secrets(location: str, shown: str) -> None:
    found = verdict(302, b"", location)
    assert found.facts["location"] == shown
    assert "s3cret" not in found.evidence + found.line


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (FailureKind.NAME, faults.UNREACHABLE),
        (FailureKind.CONNECTION, faults.UNREACHABLE),
        (FailureKind.TIMEOUT, faults.UNREACHABLE),
        (FailureKind.PROXY, faults.PROXY),
        (FailureKind.PLAINTEXT, faults.PLAINTEXT),
        (FailureKind.TLS, faults.TLS),
        (FailureKind.CERTIFICATE, faults.CERTIFICATE),
        (FailureKind.HTTP, faults.NO_DOCUMENT),
    ],
)
def test_each_failure_has_a_fault(kind: FailureKind, fault: IssuerFault) -> None:
    assert judge_error(FetchError(ISSUER, kind, "why")).fault is fault


def test_a_connection_that_a_proxy_did_not_make_says_nothing_about_the_issuer() -> None:
    for kind in (FailureKind.NAME, FailureKind.CONNECTION, FailureKind.TIMEOUT):
        found = judge_error(FetchError(ISSUER, kind, "why", "proxy.test:3128"))
        assert (found.fault, found.facts["proxy"]) == (faults.PROXY, "proxy.test:3128")


def test_private_addresses_of_a_public_name_are_shown_and_named() -> None:
    error = FetchError(ISSUER, FailureKind.TIMEOUT, "no answer in time", addresses=("10.0.0.1", "fd00::1"))
    found = judge_error(error)
    assert (found.fault, found.facts["addresses"]) == (faults.PRIVATE, "10.0.0.1, fd00::1")
    assert "10.0.0.1, fd00::1" in found.evidence
    public = FetchError(ISSUER, FailureKind.TIMEOUT, "no answer in time", addresses=("10.0.0.1", "8.8.8.8"))
    assert judge_error(public).fault is faults.UNREACHABLE
    assert "8.8.8.8" in judge_error(public).evidence


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://10.0.0.10:6443/openid/v1/jwks", faults.INSIDE),
        ("https://kubernetes.default.svc/openid/v1/jwks", faults.INSIDE),
        ("http://issuer.test/keys", faults.NOT_HTTPS),
        ("keys", faults.NOT_HTTPS),
        ("https://issuer.test:8443/keys", None),
    ],
)
def test_a_jwks_uri_that_aws_cannot_read_is_named(url: str, fault: IssuerFault | None) -> None:
    found = judge_jwks_uri(Discovery(ISSUER, url))
    assert (found and found.fault) is fault


def test_both_documents_together_have_five_seconds() -> None:
    assert judge_seconds(answer(200, seconds=2.5), answer(200, seconds=2.5)) is None
    slow = judge_seconds(answer(200, seconds=2.6), answer(200, seconds=2.5))
    assert slow is not None
    assert (slow.fault, "5.1 s" in slow.line) == (faults.SLOW, True)


def test_a_key_set_has_faults_of_its_own() -> None:
    url = f"{ISSUER}/keys"
    assert keys_of(ISSUER, url, answer(200, b'{"keys": []}')) == Keys(())
    missing = keys_of(ISSUER, url, answer(200, b'{"keys": 1}'))
    assert isinstance(missing, Verdict)
    assert (missing.fault, "has no keys" in missing.line) == (faults.NO_KEYS, True)
    unreachable = keys_of(ISSUER, url, FetchError(url, FailureKind.CONNECTION, "why"))
    assert isinstance(unreachable, Verdict)
    assert (unreachable.fault, "https://issuer.test/openid/v1/jwks" in unreachable.fix) == (
        faults.KEYS_UNREACHABLE,
        True,
    )
