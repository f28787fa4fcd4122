"""The internals of Python that this project uses: fails if a release of Python changes them."""

import ssl
import sys
from typing import Any

from sidecar.https.client import ClientConnection
from sidecar.https.connect_to import redirected
from sidecar.https.trust import no_trust
from tests.unit.https.site import reply, serving

PYTHON = f"Python {sys.version.split()[0]} does not match served_by() of sidecar/issuer/certificates.py"


def test_the_internal_tls_object_returns_the_parsed_chain() -> None:
    with (
        serving(reply()) as home,
        redirected(home),
        ClientConnection("https://issuer.test/", no_trust(), timeout_seconds=5) as connection,
    ):
        internal: Any = getattr(connection.tls, "_sslobj", None)
        assert hasattr(internal, "get_unverified_chain"), f"{PYTHON}: no ssl.SSLSocket._sslobj.get_unverified_chain"
        leaf = internal.get_unverified_chain()[0]
        assert hasattr(leaf, "get_info"), f"{PYTHON}: certificates of the chain are not parsed"
        assert {"subject", "issuer", "notBefore", "notAfter"} <= set(leaf.get_info()), f"{PYTHON}: other fields"
        ssl.PEM_cert_to_DER_cert(leaf.public_bytes())
