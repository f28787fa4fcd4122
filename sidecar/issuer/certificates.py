"""The certificates that a server sends, as IAM looks at them. Pure but for taking the chain off a socket.

Neither the chain nor the fields of a certificate need a package: the ``ssl`` module parses both.
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
        der: the whole of it.
        subject: whom it is for, such as "CN=kubernetes"; "" where it names nobody.
        issuer: who signed it, in the same form.
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
        """SHA-1 of the DER form, 40 lower-case hex digits, as IAM keeps it.

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
        public: whether a root CA of this machine's store vouches for it, and for the host's name. Where one of AWS's
            store does, IAM looks at no thumbprint.
    """

    certificates: tuple[Certificate, ...]
    public: bool

    @property
    def last(self) -> Certificate:
        """The one whose thumbprint IAM is to have: a CA where the server sends one, and it outlives every leaf."""
        return self.certificates[-1]

    @property
    def leaf_only(self) -> bool:
        """Whether no CA is sent: the leaf's thumbprint is all that can be registered, until it is issued anew."""
        return len(self.certificates) == 1 and not self.last.is_root


def served_by(secure: ssl.SSLSocket) -> tuple[Certificate, ...]:
    """Return the certificates that the peer sent, leaf first, verified or not; none before the handshake."""
    # ssl.SSLSocket.get_unverified_chain is public since Python 3.13 and gives bytes. The object below it has been
    # there since 3.10, and gives what it parsed as well.
    internal: Any = secure._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 - as said
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
    # Certificates come from strangers: a line feed in a name must not make a line of a report.
    return ", ".join(f"{_NAMES.get(key, key)}={''.join(filter(str.isprintable, value))}" for key, value in pairs)
