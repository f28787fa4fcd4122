"""How STS reads an identity provider: HTTPS, five seconds, and the thumbprint rule.

The rule, in IAM's words in the model of CreateOpenIDConnectProvider: a library of trusted root CAs verifies the
endpoint; only where the certificate is not signed by one of these do the thumbprints decide. In practice any
certificate of the served chain counts, and a CA that is not sent cannot
(https://github.com/aws/containers-roadmap/issues/2031).
"""

import http.client
import json
import socket
import ssl
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from examples.local.pki import thumbprint
from examples.local.refusals import Reason, Refused

# https://repost.aws/knowledge-center/iam-sts-invalididentitytoken
TIMEOUT_SECONDS = 5.0
_MAX_BODY = 1 << 20
_HTTPS_PORT = 443

ConnectTo = MutableMapping[tuple[str, int], tuple[str, int]]
"""{(host, port) in a URL: (address, port) that answers for it}. A host that is not in it cannot be reached."""


class ProviderClient:
    """Fetches JSON documents from identity providers. Safe for use by several threads.

    Args:
        connect_to: where hosts really are; read at each call. Nothing outside it is ever contacted.
        timeout_seconds: for connecting and for each read.
    """

    def __init__(self, connect_to: ConnectTo, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._connect_to = connect_to
        self.timeout_seconds = timeout_seconds
        self.public_cas: tuple[str, ...] = ()
        """The "public" CAs, PEM. Where a chain ends in one of them, thumbprints are not looked at."""

    def get_json(self, url: str, thumbprints: Collection[str]) -> Mapping[str, Any]:
        """Return the JSON object at `url`.

        Args:
            url: https; redirects are not followed.
            thumbprints: SHA-1 of certificates, lower-case hex.

        Raises:
            Refused: `THUMBPRINT_MISMATCH` where neither a public CA nor a thumbprint vouches for the server, else
                `NO_VERIFICATION_KEY` for anything that keeps the document from being read.
        """
        parts = urlsplit(url)
        try:
            target = self._connect_to.get((parts.hostname or "", parts.port or _HTTPS_PORT))
            if parts.scheme != "https" or not parts.hostname or target is None:
                raise Refused(Reason.NO_VERIFICATION_KEY)
            anchors = self._trust_anchors(parts.hostname, target, thumbprints)
            document = json.loads(self._get(parts.hostname, target, parts.path or "/", anchors))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Refused(Reason.NO_VERIFICATION_KEY) from error
        if not isinstance(document, dict):
            raise Refused(Reason.NO_VERIFICATION_KEY)
        return document

    def _trust_anchors(self, host: str, target: tuple[str, int], thumbprints: Collection[str]) -> ssl.SSLContext:
        """Return a context that trusts the public CAs, or else the served certificates that have a thumbprint.

        The second connection then verifies the chain up to such a certificate, so that a stranger who merely
        appends the real CA's certificate, which is public, to a chain of his own gets nowhere.
        """
        if self.public_cas:
            context = _verifying_context(self.public_cas)
            try:
                self._handshake(host, target, context)
            except ssl.SSLCertVerificationError:
                pass
            else:
                return context
        probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        probe.check_hostname = False
        probe.verify_mode = ssl.CERT_NONE  # reads the chain and sends nothing
        served = self._handshake(host, target, probe)
        trusted = [der for der in served if thumbprint(der) in thumbprints]
        if not trusted:
            raise Refused(Reason.THUMBPRINT_MISMATCH)
        return _verifying_context([ssl.DER_cert_to_PEM_cert(der) for der in trusted])

    def _handshake(self, host: str, target: tuple[str, int], context: ssl.SSLContext) -> list[bytes]:
        with (
            socket.create_connection(target, self.timeout_seconds) as raw,
            context.wrap_socket(raw, server_hostname=host) as secure,
        ):
            return _served_chain(secure)

    def _get(self, host: str, target: tuple[str, int], path: str, context: ssl.SSLContext) -> bytes:
        connection = _MappedConnection(host, target, context, self.timeout_seconds)
        try:
            # Not application/json: an API server's key set is application/jwk-set+json, and anything else gets 406.
            connection.request("GET", path, headers={"Accept": "*/*"})
            response = connection.getresponse()
            body = response.read(_MAX_BODY + 1)
            if response.status != http.HTTPStatus.OK or len(body) > _MAX_BODY:
                raise Refused(Reason.NO_VERIFICATION_KEY)
            return body
        finally:
            connection.close()


class _MappedConnection(http.client.HTTPSConnection):
    """Connects to `target` while TLS and the Host header name `host`."""

    def __init__(self, host: str, target: tuple[str, int], context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, context=context, timeout=timeout)
        self._target = target
        self._seconds = timeout
        self._tls = context

    def connect(self) -> None:
        raw = socket.create_connection(self._target, self._seconds)
        try:
            self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)
        except BaseException:
            raw.close()
            raise


def _verifying_context(anchors: Collection[str]) -> ssl.SSLContext:
    # Not create_default_context: its VERIFY_X509_STRICT of Python 3.13 refuses CAs that real clusters have.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata="".join(anchors))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a leaf can be a thumbprint, hence an anchor
    return context


def _served_chain(secure: ssl.SSLSocket) -> list[bytes]:
    """Return the certificates that the server sent, DER, leaf first, verified or not."""
    if hasattr(secure, "get_unverified_chain"):  # public since Python 3.13
        return list(secure.get_unverified_chain())
    internal: Any = secure._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 - the only way before Python 3.13
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in internal.get_unverified_chain()]
