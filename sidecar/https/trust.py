"""What verifies a server's certificate: root CAs of this machine, CAs of a file, one certificate, or nothing."""

import ssl
from pathlib import Path

from sidecar.errors import SettingsError

__all__ = ("anchored", "anchored_in", "no_trust", "roots")


def roots(bundle: str | None = None) -> ssl.SSLContext:
    """Return trust in the root CAs of this machine, or in those of a file, PEM.

    Raises:
        OSError: the file cannot be read, or has no certificate.
    """
    context = ssl.create_default_context(cafile=bundle)
    # Python sets it since 3.13, boto3 does not; it rejects CAs of real clusters and proxies.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def anchored(certificates: str | bytes) -> ssl.SSLContext:
    """Return trust in these certificates, PEM or DER, and in no others.

    Raises:
        ssl.SSLError: there is no certificate in it.
        ValueError: the text is empty.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificates)
    # The last certificate of a chain can be an intermediate CA, or a leaf certificate without a chain.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def anchored_in(path: Path) -> ssl.SSLContext:
    """Return trust in the certificates of a PEM file, and in no others: public CAs issue certificates for any name.

    Raises:
        SettingsError: the file cannot be read, or has no certificate.
    """
    fix = "use a PEM file with CA certificates"
    try:
        # Text between certificates is a comment, in any encoding.
        return anchored(path.read_bytes().decode("ascii", "ignore"))
    except ssl.SSLError:
        raise SettingsError(str(path), "has no certificate", fix) from None
    except OSError as error:
        raise SettingsError(str(path), f"cannot be read ({error.strerror})", fix) from None
    except ValueError:
        raise SettingsError(str(path), "has no certificate", fix) from None


def no_trust() -> ssl.SSLContext:
    """Return trust in any certificate: to read a certificate chain, never to send data."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
