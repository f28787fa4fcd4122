"""A private certificate authority, and server certificates that it signs.

The chain is that of Gardener's API server: the leaf, then the CA (`IncludeCACertificateInServerChain`,
https://github.com/gardener/gardener/blob/master/pkg/component/kubernetes/apiserver/secrets.go). Therefore the
thumbprint of the *last* certificate of the chain stays valid in IAM when the leaf is issued again.
"""

import datetime as dt
import hashlib
import ipaddress
import ssl
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Fixed bounds, so that issuing a certificate reads no clock; OpenSSL compares them with the real time.
_NOT_BEFORE = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_NOT_AFTER = dt.datetime(2049, 12, 31, tzinfo=dt.UTC)
_EXPIRED = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)


def thumbprint(der: bytes) -> str:
    """Return the SHA-1 of a DER certificate as 40 lower-case hex digits, as IAM stores it.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_verify-thumbprint.html
    """
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A leaf, its key and the CA that signed it, all PEM."""

    leaf_pem: str
    ca_pem: str
    key_pem: str = field(repr=False)

    def chain_thumbprints(self) -> tuple[str, str]:
        """Return the thumbprints of the leaf and of the CA, in the order in which a server sends the two."""
        return (
            thumbprint(ssl.PEM_cert_to_DER_cert(self.leaf_pem)),
            thumbprint(ssl.PEM_cert_to_DER_cert(self.ca_pem)),
        )


class Authority:
    """A self-signed CA on P-256 with a new key, which is kept in memory.

    Args:
        name: the common name of the CA's subject.
        not_before: the start of its validity; years ago by default.
        not_after: its expiration; years from now by default.
    """

    def __init__(
        self, name: str, *, not_before: dt.datetime = _NOT_BEFORE, not_after: dt.datetime = _NOT_AFTER
    ) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = certificate_builder(
            self._name,
            self._name,
            self._key.public_key(),
            self._key.public_key(),
            not_before=not_before,
            not_after=not_after,
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(key_usage(signs_certificates=True), critical=True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    @property
    def thumbprint(self) -> str:
        """The CA certificate's SHA-1 as IAM stores it."""
        return thumbprint(ssl.PEM_cert_to_DER_cert(self.pem))

    def issue(self, names: Iterable[str], addresses: Iterable[str] = (), *, expired: bool = False) -> ServerCertificate:
        """Return a new server certificate for DNS `names` and IP `addresses`; `expired`: valid until 2021."""
        key = ec.generate_private_key(ec.SECP256R1())
        sans: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        sans += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        # The subject stays generic: clients match the subject alternative names only (RFC 9525 section 2).
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local server")])
        last = _EXPIRED if expired else _NOT_AFTER
        builder = certificate_builder(subject, self._name, key.public_key(), self._key.public_key(), not_after=last)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(key_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        leaf = builder.sign(self._key, hashes.SHA256())
        return ServerCertificate(
            leaf_pem=leaf.public_bytes(Encoding.PEM).decode(),
            ca_pem=self.pem,
            key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        )


def server_context(certificate: ServerCertificate, *, with_ca: bool = True) -> ssl.SSLContext:
    """Return a TLS server context that sends the leaf, followed by the CA unless `with_ca` is false."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain = certificate.leaf_pem + (certificate.ca_pem if with_ca else "")
    # Python's ssl loads a chain only from a file: the file exists for this call, 0600 in a 0700 directory.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "server.pem")
        path.touch(mode=0o600)
        path.write_text(chain + certificate.key_pem, encoding="ascii")
        context.load_cert_chain(path)
    return context


def serve_names(context: ssl.SSLContext, authority: Authority, accepts: Callable[[str], bool]) -> None:
    """Let a server context send a certificate of `authority` for each host name that a client asks for.

    Args:
        context: the context to change; it sends its own certificate for other names.
        authority: issues the certificates, each at the first request of its name.
        accepts: whether there is a certificate for a name.
    """
    made: dict[str, ssl.SSLContext] = {}

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None and accepts(name):
            if name not in made:
                made[name] = server_context(authority.issue([name]))
            connection.context = made[name]

    context.sni_callback = choose


def certificate_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    *,
    not_before: dt.datetime = _NOT_BEFORE,
    not_after: dt.datetime = _NOT_AFTER,
) -> x509.CertificateBuilder:
    """Return a builder with subject, issuer, public key, serial number, validity and key identifiers."""
    # Both key identifiers are there because VERIFY_X509_STRICT, Python 3.13's default, requires them.
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return the KeyUsage extension of a CA, or of a TLS server or client."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
