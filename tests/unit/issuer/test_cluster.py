"""The documents of a cluster are read from its API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local.issuer import Issuer
from sidecar.errors import SettingsError
from sidecar.https.connect_to import redirected
from sidecar.https.failures import FailureKind, FetchError
from sidecar.issuer.cluster import ApiServer, HttpStatusError, of_this_pod, read_api_token, read_documents
from sidecar.issuer.documents import parse_discovery
from sidecar.issuer.publish import public_keys
from sidecar.issuer.reader import IssuerReader
from tests.unit.https.site import reply, serving

POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running, redirected(running.connect_to):
        yield running


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"}, "https://10.96.0.1:6443"),
        ({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, "https://10.96.0.1:443"),
        ({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, "https://[fd00::1]:443"),
    ],
)
def test_in_a_pod_the_api_server_token_and_ca_are_known(environment: dict[str, str], url: str) -> None:
    assert of_this_pod(environment) == ApiServer(url, POD / "token", POD / "ca.crt")


def test_outside_a_pod_no_api_server_is_known() -> None:
    assert of_this_pod({}) is None
    assert of_this_pod({"KUBERNETES_SERVICE_HOST": ""}) is None


def test_both_documents_are_read_with_the_token(issuer: Issuer, tmp_path: Path) -> None:
    issuer.bearer = "the-token"
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text(issuer.ca_pem)
    discovery, keys = read_documents(IssuerReader(ca_file, token="the-token"), issuer.url)
    assert parse_discovery(discovery).issuer == issuer.url
    assert tuple(public_keys(keys)) == issuer.kids


def test_the_keys_are_read_from_the_api_server_and_not_from_jwks_uri(issuer: Issuer) -> None:
    issuer.jwks_uri = "https://elsewhere.invalid/openid/v1/jwks"
    assert tuple(public_keys(read_documents(IssuerReader(), issuer.url)[1])) == issuer.kids


@pytest.mark.parametrize(
    ("status", "forbidden", "temporary"),
    [
        (401, True, False),
        (403, True, False),
        (404, False, False),
        (302, False, False),
        (429, False, True),
        (503, False, True),
    ],
)
def test_another_status_is_classified(status: int, *, forbidden: bool, temporary: bool) -> None:
    body = b'{"kind": "Status", "apiVersion": "v1"}'
    with serving(reply(status, body)) as home, redirected(home), pytest.raises(HttpStatusError) as caught:
        read_documents(IssuerReader(), "https://issuer.test")
    assert (caught.value.forbidden, caught.value.temporary) == (forbidden, temporary)
    assert (
        str(caught.value)
        == f"https://issuer.test/.well-known/openid-configuration: HTTP {status} with a Status of an API server"
    )


def test_a_server_before_the_api_server_does_not_deny_the_token() -> None:
    with serving(reply(403, b"<html><title>403")) as home, redirected(home), pytest.raises(HttpStatusError) as caught:
        read_documents(IssuerReader(), "https://issuer.test")
    assert not caught.value.forbidden


def test_a_missing_response_has_its_failure_kind() -> None:
    with pytest.raises(FetchError) as caught:
        read_documents(IssuerReader(), "https://issuer.invalid")
    assert caught.value.kind is FailureKind.NAME


def test_white_space_around_a_token_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b" a.b.c\r\n")
    assert read_api_token(path) == "a.b.c"


def test_an_error_for_an_unreadable_token_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read_api_token(tmp_path)
    assert (caught.value.where, caught.value.what) == (str(tmp_path), "cannot be read (Is a directory)")
