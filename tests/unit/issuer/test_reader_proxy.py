"""Requests through a proxy, and without one."""

import base64
from collections.abc import Iterator

import pytest

from examples.local.issuer import DISCOVERY_PATH, Issuer
from sidecar.https.connect_to import redirected
from sidecar.https.failures import FailureKind, FetchError
from sidecar.https.proxy import environment_proxy, proxy_beside
from sidecar.issuer.reader import IssuerReader
from tests.unit.https.site import Proxy

URL = "https://issuer.test" + DISCOVERY_PATH
VARIABLES = ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY")


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment without a proxy."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def failure(reader: IssuerReader) -> tuple[FailureKind, str]:
    with pytest.raises(FetchError) as caught:
        reader.get(URL)
    return caught.value.kind, str(caught.value).removeprefix(f"{URL}: ")


@pytest.mark.parametrize("form", ["http://{}", "http://{}/", "{}"])
def test_a_proxy_receives_the_host_name_and_tls_goes_through_it(issuer: Issuer, form: str) -> None:
    proxy = Proxy(issuer.connect_to)
    with proxy as address:
        answer = IssuerReader(proxy=lambda _: form.format(address)).get(URL)
    assert (answer.status, answer.chain.last.thumbprint) == (200, issuer.thumbprints[-1])
    # With the public CAs, to read the chain, and with the CA of this chain.
    assert proxy.asked == ["issuer.test:443"] * 3


def test_a_proxy_gets_the_user_and_the_password_of_its_url(issuer: Issuer) -> None:
    wanted = "Basic " + base64.b64encode(b"us:er:pass word").decode()
    with Proxy(issuer.connect_to, credentials=wanted) as address:
        assert IssuerReader(proxy=lambda _: f"http://us%3Aer:pass%20word@{address}").get(URL).status == 200


def test_a_user_may_have_no_password(issuer: Issuer) -> None:
    wanted = "Basic " + base64.b64encode(b"user:").decode()
    with Proxy(issuer.connect_to, credentials=wanted) as address:
        assert IssuerReader(proxy=lambda _: f"http://user@{address}").get(URL).status == 200


def test_a_proxy_that_denies_access_is_reported_without_the_password(issuer: Issuer) -> None:
    with Proxy(issuer.connect_to, credentials="Basic other") as address:
        failed = failure(IssuerReader(proxy=lambda _: f"http://user:secret@{address}"))
    assert failed == (FailureKind.PROXY, f"no connection (HTTP 407), through the proxy {address}")


def test_a_proxy_without_a_connection_is_reported() -> None:
    with Proxy({}) as address:
        failed = failure(IssuerReader(proxy=lambda _: f"http://{address}"))
    assert failed == (FailureKind.PROXY, f"no connection (HTTP 502), through the proxy {address}")


def test_an_unresolvable_name_of_a_proxy_is_reported() -> None:
    failed = failure(IssuerReader(proxy=lambda _: "http://proxy.invalid:3128"))
    assert failed == (FailureKind.NAME, "its name cannot be resolved, through the proxy proxy.invalid:3128")


@pytest.mark.parametrize("url", ["http://[::1:3128", "http://proxy.test:port", "http://user:secret@proxy.test:99999"])
def test_an_invalid_proxy_url_is_reported_and_not_quoted(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("https_proxy", url)
    failed = failure(IssuerReader())
    assert failed == (FailureKind.PROXY, "no connection (HTTPS_PROXY is not the URL of a proxy)")


def test_the_default_port_of_a_proxy_is_80(issuer: Issuer) -> None:
    with Proxy(issuer.connect_to) as address:
        host, _, port = address.rpartition(":")
        with redirected({("proxy.test", 80): (host, int(port))}):
            assert IssuerReader(proxy=lambda _: "http://proxy.test").get(URL).status == 200


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_the_proxy_of_the_environment_is_used(issuer: Issuer, environment: pytest.MonkeyPatch, name: str) -> None:
    proxy = Proxy(issuer.connect_to)
    with proxy as address:
        environment.setenv(name, f"http://{address}")
        assert IssuerReader().get(URL).status == 200
    assert proxy.asked


@pytest.mark.parametrize("exempt", ["issuer.test", ".test", "*", "other.test,issuer.test"])
def test_hosts_in_no_proxy_are_reached_directly(issuer: Issuer, environment: pytest.MonkeyPatch, exempt: str) -> None:
    proxy = Proxy({})
    with proxy as address, redirected(issuer.connect_to):
        environment.setenv("https_proxy", f"http://{address}")
        environment.setenv("no_proxy", exempt)
        assert IssuerReader().get(URL).status == 200
    assert proxy.asked == []


def test_without_https_proxy_no_proxy_is_used(environment: pytest.MonkeyPatch) -> None:
    assert environment_proxy("issuer.test") is None
    environment.setenv("http_proxy", "http://127.0.0.1:1")
    assert environment_proxy("issuer.test") is None
    environment.setenv("https_proxy", "http://127.0.0.1:1")
    assert environment_proxy("issuer.test") == "http://127.0.0.1:1"


def test_a_host_of_connect_to_is_reached_without_the_proxy(issuer: Issuer, environment: pytest.MonkeyPatch) -> None:
    proxy = Proxy({})
    with proxy as address:
        environment.setenv("https_proxy", f"http://{address}")
        assert proxy_beside(issuer.connect_to)("issuer.test") is None
        with redirected(issuer.connect_to):
            assert IssuerReader(proxy=proxy_beside(issuer.connect_to)).get(URL).status == 200
        assert failure(IssuerReader(proxy=proxy_beside({})))[0] is FailureKind.PROXY
    assert proxy.asked == ["issuer.test:443"]
