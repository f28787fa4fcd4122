"""Which servers are trusted, by which CA, and what is returned of their certificates."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local.issuer import DISCOVERY_PATH, Issuer
from examples.local.pki import Authority
from sidecar.errors import SettingsError
from sidecar.https.connect_to import redirected
from sidecar.https.failures import FailureKind, FetchError
from sidecar.issuer.certificates import Chain
from sidecar.issuer.reader import IssuerReader, IssuerResponse

URL = "https://issuer.test" + DISCOVERY_PATH


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running, redirected(running.connect_to):
        yield running


@pytest.fixture
def ca_file(issuer: Issuer, tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_text(issuer.ca_pem)
    return path


def chain(reader: IssuerReader | None = None) -> Chain:
    return (reader or IssuerReader()).get(URL).chain


def rejected(reader: IssuerReader) -> str:
    with pytest.raises(FetchError) as caught:
        reader.get(URL)
    assert caught.value.kind is FailureKind.CERTIFICATE
    return str(caught.value).removeprefix(f"{URL}: ")


def thumbprints(served: Chain) -> tuple[str, ...]:
    return tuple(certificate.thumbprint for certificate in served.certificates)


# --- the chain ---


def test_the_chain_is_returned_as_it_was_sent(issuer: Issuer) -> None:
    served = chain()
    assert thumbprints(served) == issuer.thumbprints
    assert served.last.thumbprint == issuer.authority.thumbprint
    assert (served.public, served.leaf_only) == (False, False)


def test_a_certificate_has_names_and_times(issuer: Issuer) -> None:
    del issuer
    leaf, ca = chain().certificates
    assert (leaf.subject, leaf.issuer, leaf.is_root) == ("CN=local server", "CN=issuer CA", False)
    assert (ca.subject, ca.is_root) == ("CN=issuer CA", True)
    assert (leaf.not_before, leaf.not_after) == (1577836800.0, 2524521600.0)
    assert repr(leaf.der) not in repr(leaf)


def test_a_server_may_send_only_its_leaf(issuer: Issuer) -> None:
    issuer.leaf_only = True
    served = chain()
    assert (thumbprints(served), served.leaf_only) == (issuer.thumbprints, True)


def test_a_single_self_signed_certificate_is_not_leaf_only(issuer: Issuer) -> None:
    ca = chain().certificates[1]
    assert not Chain((ca,), public=False).leaf_only
    del issuer


def test_a_line_feed_in_a_certificate_name_is_dropped() -> None:
    with Issuer(authority=Authority("CA\nall is well")) as issuer, redirected(issuer.connect_to):
        assert chain().last.subject == "CN=CAall is well"


# --- public CAs ---


def test_a_chain_to_a_root_ca_of_this_machine_is_public(
    issuer: Issuer, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    served = chain()
    assert served.public
    assert thumbprints(served) == issuer.thumbprints


def test_a_public_chain_may_be_sent_without_its_ca(
    issuer: Issuer, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    issuer.leaf_only = True
    assert (chain().public, chain().leaf_only) == (True, True)


def test_a_public_certificate_for_another_name_is_rejected(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    with Issuer() as issuer:
        home = {("other.test", 443): issuer.connect_to["issuer.test", 443]}
        with redirected(home), pytest.raises(FetchError) as caught:
            IssuerReader(by_thumbprint=False).get("https://other.test/")
    assert caught.value.kind is FailureKind.CERTIFICATE


# --- a file with CAs ---


def test_a_ca_file_verifies_a_server_without_making_it_public(issuer: Issuer, ca_file: Path) -> None:
    issuer.leaf_only = True
    served = chain(IssuerReader(ca_file))
    assert (thumbprints(served), served.public) == (issuer.thumbprints, False)


def test_with_a_ca_file_the_ca_that_a_server_sends_does_not_count(issuer: Issuer, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_text(Authority("issuer CA").pem)
    assert rejected(IssuerReader(other)).startswith("its certificate does not verify (")
    # One certificate of the file has to verify the server.
    other.write_text(Authority("other CA").pem + issuer.ca_pem)
    assert thumbprints(chain(IssuerReader(other))) == issuer.thumbprints


def test_with_a_ca_file_a_public_ca_does_not_count_but_is_reported(
    issuer: Issuer, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    served = chain(IssuerReader(ca_file))
    assert (thumbprints(served), served.public) == (issuer.thumbprints, True)
    other = tmp_path / "other.crt"
    other.write_text(Authority("other CA").pem)
    issuer.bearer = "the-token"
    for reader in (IssuerReader(other), IssuerReader(other, token="the-token")):
        assert rejected(reader).startswith("its certificate does not verify (")


@pytest.mark.parametrize("comment", ["# Zürich\n".encode(), "# Zürich\n".encode("latin-1")])
def test_a_ca_file_may_have_comments_in_any_encoding(issuer: Issuer, tmp_path: Path, comment: bytes) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(comment + issuer.ca_pem.encode())
    assert thumbprints(chain(IssuerReader(path))) == issuer.thumbprints


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "has no certificate"),
        (b"nothing\n", "has no certificate"),
        (b"\xff\xfe", "has no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "has no certificate"),
    ],
)
def test_a_ca_file_without_a_certificate_is_rejected_before_any_request(
    content: bytes | None, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "ca.crt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        IssuerReader(path)
    assert (caught.value.where, caught.value.what) == (str(path), what)


# --- what is never trusted ---


def test_a_certificate_for_another_name_is_rejected(issuer: Issuer) -> None:
    with (
        redirected({("other.test", 443): issuer.connect_to["issuer.test", 443]}),
        pytest.raises(FetchError, match=r"does not verify .*other\.test") as caught,
    ):
        IssuerReader().get("https://other.test/")
    assert caught.value.kind is FailureKind.CERTIFICATE


@pytest.mark.parametrize("leaf_only", [False, True])
def test_an_expired_certificate_is_rejected(leaf_only: bool) -> None:  # noqa: FBT001 - a case
    with Issuer(expired=True) as issuer, redirected(issuer.connect_to):
        issuer.leaf_only = leaf_only
        assert rejected(IssuerReader()) == "its certificate does not verify (certificate has expired)"


def test_an_expired_certificate_of_a_known_ca_is_rejected(tmp_path: Path) -> None:
    with Issuer(expired=True) as issuer, redirected(issuer.connect_to):
        path = tmp_path / "ca.crt"
        path.write_text(issuer.ca_pem)
        assert rejected(IssuerReader(path)) == "its certificate does not verify (certificate has expired)"


def test_without_by_thumbprint_an_unknown_ca_is_rejected(issuer: Issuer) -> None:
    del issuer
    assert rejected(IssuerReader(by_thumbprint=False)).startswith("its certificate does not verify (")


def test_an_ip_address_is_trusted_by_the_addresses_of_its_certificate(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"

    def get(issuer: Issuer) -> IssuerResponse:
        path.write_text(issuer.ca_pem)
        address, port = issuer.connect_to["issuer.test", 443]
        return IssuerReader(path).get(f"https://{address}:{port}{DISCOVERY_PATH}")

    with Issuer(addresses=["127.0.0.1"]) as issuer:
        assert get(issuer).status == 200
    with Issuer() as issuer, pytest.raises(FetchError, match="does not verify"):
        get(issuer)


# --- the token ---


def test_a_token_is_sent_to_a_server_that_the_ca_file_verifies(issuer: Issuer, ca_file: Path) -> None:
    issuer.bearer = "the-token"
    assert IssuerReader(ca_file).get(URL).status == 403
    assert IssuerReader(ca_file, token="the-token").get(URL).status == 200


def test_a_token_is_not_sent_to_a_server_with_an_unknown_ca(issuer: Issuer) -> None:
    issuer.bearer = "the-token"
    text = rejected(IssuerReader(token="the-token"))
    assert text.startswith("its certificate does not verify (")
    assert "the-token" not in text
    assert "the-token" not in repr(IssuerReader(token="the-token"))
