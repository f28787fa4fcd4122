"""The doctor and an issuer that AWS cannot read: who answers, and what only the cluster knows.

Each fault is set up at the issuer, the local AWS denies the exchange, and both have to agree on it.
"""

import json

import pytest

from examples.local.faults import FaultKind
from examples.local.issuer import DISCOVERY_PATH, JWKS_PATH
from tests.functional.doctoring import DoctorSetup, Report

HTML, XML, JSON = (
    {"Content-Type": "text/html"},
    {"Content-Type": "application/xml"},
    {"Content-Type": "application/json"},
)
PAGE = b"<html><head><title>401 Authorization Required</title></head><body>nginx</body></html>"
BUCKET = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)
BUSY = b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"TooManyRequests","code":429}'


def document(issuer: str, jwks_uri: str) -> tuple[int, dict[str, str], bytes]:
    return 200, JSON, json.dumps({"issuer": issuer, "jwks_uri": jwks_uri}).encode()


def denied(doctor_setup: DoctorSetup, check: str, *causes: str) -> Report:
    """Return the report of a run in which AWS found no keys, and `check` has these causes."""
    report = doctor_setup.run(rights=True)
    assert report.causes() == {check: list(causes), "exchange": list(causes)}
    assert "InvalidIdentityToken" in report.checks["exchange"]["evidence"]
    return report


@pytest.mark.parametrize("path", [DISCOVERY_PATH, JWKS_PATH])
@pytest.mark.parametrize(
    ("answer", "cause", "fix", "status"),
    [
        ((401, HTML, PAGE), "issuer_asks_for_login", "ingress", 5),
        ((403, HTML, PAGE), "issuer_asks_for_login", "ingress", 5),
        ((403, XML, BUCKET), "published_closed", "s3:GetObject", 5),
        ((200, HTML, PAGE), "issuer_is_page", "route this path", 5),
        ((302, {"Location": "https://login.example.org/?state=1"}, b""), "issuer_redirects", "without a redirect", 5),
        ((429, JSON, BUSY), "issuer_busy", "in a minute", 3),
        ((503, HTML, PAGE), "issuer_busy", "in a minute", 3),
    ],
)
def test_the_server_that_answered_gets_its_own_fix(
    doctor_setup: DoctorSetup, path: str, answer: tuple[int, dict[str, str], bytes], cause: str, fix: str, status: int
) -> None:
    doctor_setup.world.issuer.instead[path] = answer
    check = "discovery" if path == DISCOVERY_PATH else "keys"
    report = denied(doctor_setup, check, cause)
    assert (fix in report.fix(check), report.status) == (True, status)
    assert "kubectl" not in report.fix(check)
    assert "state=1" not in report.text


def test_a_document_with_a_slash_after_the_issuer_is_another_issuer(doctor_setup: DoctorSetup) -> None:
    doctor_setup.world.issuer.instead[DISCOVERY_PATH] = document(
        "https://issuer.test/", f"https://issuer.test{JWKS_PATH}"
    )
    report = denied(doctor_setup, "discovery", "issuer_differs")
    what = report.checks["discovery"]["causes"][0]["what"]
    assert "has issuer https://issuer.test/, and the token's iss is https://issuer.test:" in what
    assert "--issuer https://issuer.test`" in report.fix("discovery")


def test_a_key_set_at_a_private_address_is_not_opened_to_the_internet(doctor_setup: DoctorSetup) -> None:
    doctor_setup.world.issuer.instead[DISCOVERY_PATH] = document(
        "https://issuer.test", "https://10.0.0.10:6443/openid/v1/jwks"
    )
    report = denied(doctor_setup, "keys", "issuer_inside")
    assert "10.0.0.10 is a private address" in report.checks["keys"]["causes"][0]["what"]
    assert "publish-issuer" in report.fix("keys")


def test_the_documents_of_a_default_kubeadm_cluster_are_two_faults(doctor_setup: DoctorSetup) -> None:
    doctor_setup.world.issuer.instead[DISCOVERY_PATH] = document(
        "https://kubernetes.default.svc.cluster.local", "https://10.0.0.10:6443/openid/v1/jwks"
    )
    report = doctor_setup.run(rights=True)
    assert report.causes() == {
        "discovery": ["issuer_differs"],
        "keys": ["issuer_inside"],
        "exchange": ["issuer_differs", "issuer_inside"],
    }


@pytest.mark.mutant("a name inside the cluster counts as public", case="api.corp.internal")
@pytest.mark.parametrize(
    "host", ["kubernetes.default.svc.cluster.local", "api.corp.internal", "10.0.0.10", "100.64.0.1", "kubernetes"]
)
def test_an_issuer_that_only_the_cluster_knows_is_named_although_it_answers_here(
    doctor_setup: DoctorSetup, host: str
) -> None:
    world, url = doctor_setup.world, f"https://{host}"
    world.aws.connect_to[host, 443] = world.aws.connect_to["issuer.test", 443]
    world.issuer.advertised_issuer, world.issuer.jwks_uri = url, f"{url}{JWKS_PATH}"
    world.admin_client("iam").create_open_id_connect_provider(
        Url=url, ClientIDList=["sts.amazonaws.com"], ThumbprintList=[world.issuer.thumbprints[-1]]
    )
    claims = world.issuer.claims(namespace="default", service_account="aws-parameter-reader", pod="p", node="n")
    now = int(world.clock())
    claims |= {"iss": url, "aud": ["sts.amazonaws.com"], "iat": now, "nbf": now, "exp": now + 3600}
    doctor_setup.project(world.issuer.sign(claims))
    report = doctor_setup.run()
    assert report.checks["discovery"]["causes"][0]["name"] == "issuer_inside"
    assert "managed issuer" in report.fix("discovery")
    assert "internet" not in report.fix("discovery")
    assert {cause["name"] for cause in report.checks["exchange"]["causes"]} == {"issuer_inside"}
    assert report.status == 5


def test_documents_that_take_more_than_five_seconds_together_are_too_slow(doctor_setup: DoctorSetup) -> None:
    doctor_setup.world.issuer.delay_seconds = 2.6
    report = denied(doctor_setup, "keys", "issuer_slow")
    assert report.status == 3


def test_a_server_without_tls_is_named(doctor_setup: DoctorSetup) -> None:
    port = int(doctor_setup.world.aws.url.rpartition(":")[2])
    doctor_setup.world.aws.connect_to["issuer.test", 443] = ("127.0.0.1", port)
    report = denied(doctor_setup, "discovery", "issuer_plaintext")
    assert "serve https" in report.fix("discovery")


def test_a_busy_issuer_is_advice_if_aws_accepts_the_token(doctor_setup: DoctorSetup) -> None:
    doctor_setup.world.aws.faults.clear()
    assert doctor_setup.run().status == 0
    doctor_setup.world.aws.faults.set(FaultKind.STALE_JWKS)
    doctor_setup.world.issuer.instead[DISCOVERY_PATH] = (503, HTML, PAGE)
    report = doctor_setup.run()
    assert (report.status, report.causes("advice")) == (0, {"discovery": ["issuer_busy"]})
