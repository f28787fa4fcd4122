"""The cluster's own documents, from its API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local.issuer import Issuer
from sidecar.connect_to import redirected
from sidecar.errors import SettingsError
from sidecar.issuer.cluster import ApiServer, HttpRefusal, of_this_pod, read_documents, read_token
from sidecar.issuer.documents import parse_discovery
from sidecar.issuer.publish import public_keys
from sidecar.issuer.reader import IssuerReader, Trouble, Unreadable
from tests.unit.issuer.site import reply, serving

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
def test_a_pod_knows_its_api_server_and_has_a_token_and_a_ca_for_it(environment: dict[str, str], url: str) -> None:
    assert of_this_pod(environment) == ApiServer(url, POD / "token", POD / "ca.crt")


def test_outside_of_a_pod_there_is_none() -> None:
    assert of_this_pod({}) is None
    assert of_this_pod({"KUBERNETES_SERVICE_HOST": ""}) is None


def test_both_documents_are_read_with_the_token(issuer: Issuer, tmp_path: Path) -> None:
    issuer.bearer = "the-token"
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text(issuer.ca_pem)
    discovery, keys = read_documents(IssuerReader(ca_file, token="the-token"), issuer.url)
    assert parse_discovery(discovery).issuer == issuer.url
    assert tuple(public_keys(keys)) == issuer.kids


def test_the_keys_are_read_beside_the_document_wherever_it_says_they_are(issuer: Issuer) -> None:
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
def test_any_other_answer_is_a_refusal_of_its_kind(status: int, *, forbidden: bool, temporary: bool) -> None:
    with serving(reply(status)) as home, redirected(home), pytest.raises(HttpRefusal) as caught:
        read_documents(IssuerReader(), "https://issuer.test")
    assert (caught.value.forbidden, caught.value.temporary) == (forbidden, temporary)
    assert str(caught.value) == f"https://issuer.test/.well-known/openid-configuration: HTTP {status}"


def test_no_answer_is_told_as_such() -> None:
    with pytest.raises(Unreadable) as caught:
        read_documents(IssuerReader(), "https://issuer.invalid")
    assert caught.value.trouble is Trouble.NAME


def test_white_space_around_a_token_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b" a.b.c\r\n")
    assert read_token(path) == "a.b.c"


def test_a_token_that_cannot_be_read_is_told_by_its_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read_token(tmp_path)
    assert (caught.value.where, caught.value.what) == (str(tmp_path), "cannot be read (Is a directory)")
