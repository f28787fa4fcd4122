"""The flags of a trust; the tests of the issuer's reader test which certificates it accepts."""

import ssl

import pytest

from sidecar.https.trust import roots


def test_a_ca_that_boto3_accepts_and_python_3_13_rejects_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ssl.create_default_context()
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: made)
    assert not roots().verify_flags & ssl.VERIFY_X509_STRICT
