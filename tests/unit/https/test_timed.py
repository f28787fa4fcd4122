"""The internals of urllib3 that the code uses: these tests fail if a release of urllib3 changes them."""

import ssl
from importlib.metadata import version

from examples.local.loopback import LoopbackHandler, LoopbackServer
from sidecar.clock import SystemClock
from sidecar.https.connect_to import redirected
from sidecar.https.timed import Deadline, HttpConnection, HttpsConnection, _PlainSocket, _TlsSocket
from sidecar.https.trust import no_trust
from tests.unit.https.site import reply, serving

URLLIB3 = f"urllib3 {version('urllib3')}, with sidecar/https/timed.py"


def test_both_connections_create_their_own_sockets() -> None:
    deadline = Deadline(SystemClock(), 5, 30)
    server = LoopbackServer(LoopbackHandler)
    server.start()
    plain = HttpConnection(*server.address, deadline)
    try:
        plain.connect()
        assert isinstance(plain.sock, _PlainSocket), f"{URLLIB3}: connect() makes its socket not by _new_conn()"
    finally:
        plain.close()
        server.close()
    with serving(reply()) as home, redirected(home):
        secure = HttpsConnection("issuer.test", 443, deadline, no_trust())
        try:
            secure.connect()
            assert isinstance(secure.sock, ssl.SSLSocket), f"{URLLIB3}: connect() leaves no ssl.SSLSocket in .sock"
            assert isinstance(secure.sock, _TlsSocket), f"{URLLIB3}: connect() wraps not by the context it is given"
        finally:
            secure.close()
