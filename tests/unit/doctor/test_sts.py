"""The way to STS: through proxies, by which CAs, and with which words."""

import base64
import ssl

import pytest

from examples.local.issuer import Issuer
from sidecar.connect_to import redirected
from sidecar.doctor import sts
from sidecar.doctor.checks import sts_path
from sidecar.doctor.sts import Step, StsLook, look
from sidecar.doctor.verdict import State
from tests.helpers.clock import FakeClock
from tests.unit.doctor.cases import accepted, case
from tests.unit.issuer.site import Proxy

URL = "https://issuer.test"


@pytest.mark.parametrize(
    ("form", "credentials"),
    [
        ("http://{}", None),
        ("{}", None),
        ("http://us%3Aer:pass%20word@{}", "Basic " + base64.b64encode(b"us:er:pass word").decode()),
        ("user@{}", "Basic " + base64.b64encode(b"user:").decode()),
    ],
)
def test_a_proxy_is_asked_as_boto3_asks_it(form: str, credentials: str | None) -> None:
    with Issuer() as there, Proxy(there.connect_to, credentials=credentials) as address:
        seen = look(URL, FakeClock(), lambda _: form.format(address))
    # It gets there; who is there has a certificate that nobody here trusts.
    assert (seen.step, seen.proxy) == (Step.TLS, address)
    assert seen.detail.startswith("its certificate does not verify")


def test_a_proxy_that_is_no_url_is_told_as_such_and_not_quoted() -> None:
    seen = look(URL, FakeClock(), lambda _: "http://user:secret@proxy.test:99999")
    assert (seen.step, seen.detail, seen.proxy) == (Step.CONNECTION, "HTTPS_PROXY is no URL of a proxy", "")


def test_no_user_and_no_password_of_any_url_is_told() -> None:
    with redirected({("sts.test", 443): ("127.0.0.1", 1)}):
        seen = look("https://me:hunter2@sts.test/path", FakeClock(), lambda _: None)
    verdict = sts_path.CHECK.run(case(sts=seen))
    (finding,) = verdict.findings
    assert verdict.evidence.startswith("sts.test:443: ")
    assert finding.text(finding.cause.mend).startswith("allow egress to sts.test on port 443;")
    assert "hunter2" not in repr(verdict)


def test_a_port_of_ones_own_is_the_one_to_allow() -> None:
    (finding,) = sts_path.CHECK.run(case(sts=_seen(Step.CONNECTION, "[::1]", 8443))).findings
    assert finding.text(finding.cause.mend).startswith("allow egress to [::1] on port 8443;")
    assert finding.text(finding.cause.decide) == "curl -sv https://[::1]:8443/"


@pytest.mark.parametrize("step", [Step.NAME, Step.CONNECTION, Step.TLS, Step.HTTP])
def test_what_does_not_keep_an_exchange_from_going_through_is_advice(step: Step) -> None:
    assert sts_path.CHECK.run(case(sts=_seen(step))).state is State.BROKEN
    assert sts_path.CHECK.run(accepted(case(sts=_seen(step)))).state is State.ADVICE


def test_an_endpoint_that_nobody_knows_is_not_judged() -> None:
    assert sts_path.CHECK.run(case(sts=None)).state is State.UNKNOWN


def test_a_ca_is_taken_that_python_3_13_would_refuse_and_boto3_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ssl.create_default_context()
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: made)
    sts._connection("sts.test", 443, secure=True).close()
    assert not made.verify_flags & ssl.VERIFY_X509_STRICT


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_the_ca_bundle_is_the_one_that_boto3_takes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "/nonexistent")
    seen = look("https://127.0.0.1:1", FakeClock(), lambda _: None)
    assert (seen.step, seen.detail) == (Step.TLS, "the CA bundle cannot be read (No such file or directory)")


def _seen(step: Step, host: str = "sts.test", port: int = 443) -> StsLook:
    return StsLook(host, port, step, "it is so", "", None, 0.0)
