"""The class of errors that the real servers of the other tests do not cause."""

import ssl

import pytest
from urllib3.exceptions import ProtocolError
from urllib3.util.ssl_match_hostname import CertificateError

from sidecar.https.failures import ERRORS, FailureKind, classify_error


def _wrapped(cause: Exception) -> Exception:
    error = ProtocolError("quotes what was sent")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_wrapped(ConnectionResetError(104, "Connection reset by peer")), FailureKind.CONNECTION),
        (_wrapped(TimeoutError("quotes what was sent")), FailureKind.TIMEOUT),
        (ssl.SSLEOFError(8, "cut"), FailureKind.CONNECTION),
        (ssl.SSLError(1, "quotes what was sent"), FailureKind.TLS),
        (CertificateError("quotes what was sent"), FailureKind.CERTIFICATE),
        (ProtocolError("quotes what was sent"), FailureKind.HTTP),
        (ValueError("quotes what was sent"), FailureKind.HTTP),
    ],
)
def test_each_error_has_its_kind_and_none_is_quoted(error: Exception, kind: FailureKind) -> None:
    assert isinstance(error, ERRORS)
    found, why = classify_error(error)
    assert found is kind
    assert "quotes" not in why
