"""The network path to STS: proxies, CA certificates and texts."""

import base64

import pytest

from examples.local.issuer import Issuer
from sidecar.doctor import sts
from sidecar.doctor.checks import sts_path
from sidecar.doctor.result import CheckStatus
from sidecar.doctor.sts import Stage, StsProbe, probe_sts
from sidecar.https.connect_to import redirected
from sidecar.https.failures import FailureKind
from tests.helpers.clock import FakeClock
from tests.unit.doctor.cases import accepted, case
from tests.unit.https.site import Proxy

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
def test_a_proxy_gets_the_same_authorization_as_from_boto3(form: str, credentials: str | None) -> None:
    with Issuer() as there, Proxy(there.connect_to, credentials=credentials) as address:
        probe = probe_sts(URL, FakeClock(), lambda _: form.format(address))
    # The request arrives; this machine does not trust the certificate of the server.
    assert (probe.stage, probe.proxy) == (Stage.TLS, address)
    assert probe.detail.startswith("its certificate does not verify")


def test_an_invalid_proxy_url_is_reported_and_not_quoted() -> None:
    probe = probe_sts(URL, FakeClock(), lambda _: "http://user:secret@proxy.test:99999")
    assert (probe.stage, probe.detail, probe.proxy) == (
        Stage.CONNECTION,
        "no connection (HTTPS_PROXY is not the URL of a proxy)",
        "",
    )


def test_no_user_and_no_password_of_a_url_is_shown() -> None:
    with redirected({("sts.test", 443): ("127.0.0.1", 1)}):
        probe = probe_sts("https://me:hunter2@sts.test/path", FakeClock(), lambda _: None)
    result = sts_path.CHECK.run(case(sts=probe))
    (finding,) = result.findings
    assert result.evidence.startswith("sts.test:443: ")
    assert finding.text(finding.cause.fix).startswith("allow egress to sts.test on port 443;")
    assert "hunter2" not in repr(result)


def test_the_fix_names_the_port_of_the_endpoint() -> None:
    (finding,) = sts_path.CHECK.run(case(sts=_probe(Stage.CONNECTION, "[::1]", 8443))).findings
    assert finding.text(finding.cause.fix).startswith("allow egress to [::1] on port 8443;")
    assert finding.text(finding.cause.to_confirm) == "curl -sv https://[::1]:8443/"


@pytest.mark.parametrize("stage", [Stage.NAME, Stage.CONNECTION, Stage.TLS, Stage.HTTP])
def test_a_failed_test_request_is_advice_if_the_exchange_succeeded(stage: Stage) -> None:
    assert sts_path.CHECK.run(case(sts=_probe(stage))).status is CheckStatus.BROKEN
    assert sts_path.CHECK.run(accepted(case(sts=_probe(stage)))).status is CheckStatus.ADVICE


def test_each_kind_of_failure_has_a_stage() -> None:
    assert set(sts._STAGES) == set(FailureKind)


def test_without_a_known_endpoint_the_result_is_unknown() -> None:
    assert sts_path.CHECK.run(case(sts=None)).status is CheckStatus.UNKNOWN


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_the_ca_bundle_is_the_one_that_boto3_uses(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "/nonexistent")
    probe = probe_sts("https://127.0.0.1:1", FakeClock(), lambda _: None)
    assert (probe.stage, probe.detail) == (Stage.TLS, "the CA bundle cannot be read (No such file or directory)")


def _probe(stage: Stage, host: str = "sts.test", port: int = 443) -> StsProbe:
    return StsProbe(host, port, stage, "it is so", "", None, 0.0)
