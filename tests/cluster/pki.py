"""The cluster's certificate authority, client certificates, signing keys, and kubeconfigs."""

import base64
import ipaddress
import json
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from examples.local.pki import certificate_builder, key_usage

__all__ = ("Authority", "new_signing_key", "write_kubeconfig")

_RSA_BITS = 2048


class Authority:
    """The CA of a cluster, for servers and clients, saved in a directory so that each process can issue certificates.

    Args:
        directory: the directory of `ca.pem` and `ca.key`; they are created if they do not exist.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.certificate = directory / "ca.pem"
        if not self.certificate.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("cluster CA", ())
            builder = certificate_builder(name, name, key.public_key(), key.public_key())
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            builder = builder.add_extension(key_usage(signs_certificates=True), critical=True)
            self.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
            _write_key(directory / "ca.key", key)
        self._key = _issuer_key(directory / "ca.key")
        self._name = x509.load_pem_x509_certificate(self.certificate.read_bytes()).subject

    def issue(
        self, name: str, *, common_name: str = "", groups: Iterable[str] = (), sans: Iterable[str] = ()
    ) -> tuple[Path, Path]:
        """Return the files of a new certificate and its key, `<name>.pem` and `<name>.key`.

        The certificate's file also has the CA certificate, so a server sends the same chain as Gardener's API server.

        Args:
            name: the name of the files.
            common_name: a client's user name.
            groups: a client's groups.
            sans: a server's DNS names and addresses.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = certificate_builder(
            _name(common_name or name, groups), self._name, key.public_key(), self._key.public_key()
        )
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(key_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        names = [_general_name(text) for text in sans]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        leaf = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        files = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        files[0].write_bytes(leaf + self.certificate.read_bytes())
        _write_key(files[1], key)
        return files


def new_signing_key(path: Path, public: Path) -> None:
    """Write a new key for ServiceAccount tokens, and append its public key to the file `public`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    _write_key(path, key)
    with public.open("ab") as file:
        file.write(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def write_kubeconfig(path: Path, *, server: str, ca: Path, client: tuple[Path, Path], namespace: str) -> None:
    """Write a kubeconfig that needs no other file.

    Args:
        path: the file to write.
        server: the API server's URL.
        ca: the CA's certificate.
        client: the files of the client's certificate and key.
        namespace: the default namespace.
    """
    cluster = {"server": server, "certificate-authority-data": _data(ca)}
    user = {"client-certificate-data": _data(client[0]), "client-key-data": _data(client[1])}
    context = {"cluster": "cluster", "user": "user", "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "context", "context": context}],
        "current-context": "context",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=2))


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _issuer_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _name(common_name: str, groups: Iterable[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
