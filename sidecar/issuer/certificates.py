"""The certificates that a server sends, with the fields that IAM uses; ``served_by`` reads the chain from a socket.

Neither the chain nor the fields of a certificate need another package: the ``ssl`` module parses both.
"""

import hashlib
import ssl
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ("Certificate", "Chain", "served_by")

_NAMES: Final = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate (RFC 5280).

    Attributes:
        der: the certificate in DER form.
        subject: its subject, such as "CN=kubernetes"; "" if the subject is empty.
        issuer: its issuer, in the same form.
        not_before: seconds since the epoch.
        not_after: seconds since the epoch.
    """

    der: bytes = field(repr=False)
    subject: str
    issuer: str
    not_before: float
    not_after: float

    @property
    def thumbprint(self) -> str:
        """SHA-1 of the DER form, 40 lower-case hex digits, as IAM stores it.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_verify-thumbprint.html
        """
        return hashlib.sha1(self.der, usedforsecurity=False).hexdigest()

    @property
    def is_root(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.subject == self.issuer


@dataclass(frozen=True, slots=True)
class Chain:
    """What one server sent.

    Attributes:
        certificates: as sent, the leaf first; at least one.
        public: whether it is valid for the host's name with a root CA of this machine. If it is with a root CA of AWS,
            IAM does not use thumbprints.
    """

    certificates: tuple[Certificate, ...]
    public: bool

    @property
    def last(self) -> Certificate:
        """The certificate whose thumbprint IAM needs: a CA if the server sends one, which is valid for longer."""
        return self.certificates[-1]

    @property
    def leaf_only(self) -> bool:
        """Whether the server sends no CA: then only the leaf's thumbprint can be registered, until the leaf changes."""
        return len(self.certificates) == 1 and not self.last.is_root


def served_by(secure: ssl.SSLSocket) -> tuple[Certificate, ...]:
    """Return the certificates that the peer sent, leaf first, verified or not; none before the handshake."""
    # ssl.SSLSocket.get_unverified_chain is public since Python 3.13 and returns bytes. The internal object has the
    # method since 3.10, and returns the parsed fields as well.
    internal: Any = secure._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 - see the comment above
    return tuple(map(_certificate, internal.get_unverified_chain() or ())) if internal else ()


def _certificate(parsed: Any) -> Certificate:  # noqa: ANN401 - _ssl.Certificate has no name to import
    info = parsed.get_info()
    return Certificate(
        der=ssl.PEM_cert_to_DER_cert(parsed.public_bytes()),
        subject=_name(info.get("subject", ())),
        issuer=_name(info.get("issuer", ())),
        not_before=float(ssl.cert_time_to_seconds(info["notBefore"])),
        not_after=float(ssl.cert_time_to_seconds(info["notAfter"])),
    )


def _name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    pairs = (pair for part in parts for pair in part)
    # Certificates are untrusted input: a line feed in a name must not start a new line of a report.
    return ", ".join(f"{_NAMES.get(key, key)}={''.join(filter(str.isprintable, value))}" for key, value in pairs)
