"""How STS reads an identity provider: HTTPS to a public host, five seconds for all, and the thumbprint rule.

The rule, from the model of CreateOpenIDConnectProvider: a library of trusted root CAs verifies the endpoint; when
none of them signed the certificate, the thumbprints verify it. In practice a thumbprint matches any certificate of the
served chain, and never a CA certificate that the server does not send
(https://github.com/aws/containers-roadmap/issues/2031).
"""

import http.client
import ipaddress
import json
import socket
import ssl
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from examples.local.clock import Clock, system_clock
from examples.local.errors import AwsError, Reason
from examples.local.pki import thumbprint

# https://repost.aws/knowledge-center/iam-sts-invalididentitytoken
TIMEOUT_SECONDS = 5.0
_MAX_BODY = 1 << 20
_PRIVATE_DOMAINS = {"svc", "local", "localhost", "internal", "intranet", "private", "corp", "home", "lan"}
_HTTPS_PORT = 443

ConnectTo = MutableMapping[tuple[str, int], tuple[str, int]]
"""{(host, port) in a URL: (address, port) of its server}. A host that is not in it cannot be reached."""


class ProviderClient:
    """Fetches JSON documents from identity providers. Safe for use by several threads.

    Args:
        connect_to: the addresses of hosts; read at each call. Other addresses are never contacted.
        timeout_seconds: for all steps of all documents of one exchange.
        clock: seconds, for this time.
    """

    def __init__(
        self, connect_to: ConnectTo, *, timeout_seconds: float = TIMEOUT_SECONDS, clock: Clock = system_clock
    ) -> None:
        self._connect_to = connect_to
        self._clock = clock
        self.timeout_seconds = timeout_seconds
        self.public_cas: tuple[str, ...] = ()
        """The "public" CAs, PEM. When one of them verifies the chain, the thumbprints are not checked."""

    def deadline(self) -> float:
        """Return when reading the documents of an exchange that starts now has to end, by this client's clock."""
        return self._clock() + self.timeout_seconds

    def get_json(self, url: str, thumbprints: Collection[str], deadline: float) -> Mapping[str, Any]:
        """Return the JSON object at `url`.

        Args:
            url: https; redirects are not followed.
            thumbprints: SHA-1 of certificates, lower-case hex.
            deadline: from `deadline`, the same for both documents.

        Raises:
            AwsError: `THUMBPRINT_MISMATCH` if neither a public CA nor a thumbprint verifies the server;
                `NO_VERIFICATION_KEY` for each other reason why the document cannot be read.
        """
        parts = urlsplit(url)
        try:
            target = self._connect_to.get((parts.hostname or "", parts.port or _HTTPS_PORT))
            if parts.scheme != "https" or not parts.hostname or target is None or not _public(parts.hostname):
                raise AwsError(Reason.NO_VERIFICATION_KEY)
            anchors = self._trust_anchors(parts.hostname, target, thumbprints, deadline)
            document = json.loads(self._get(parts.hostname, target, parts.path or "/", anchors, deadline))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise AwsError(Reason.NO_VERIFICATION_KEY) from error
        if not isinstance(document, dict):
            raise AwsError(Reason.NO_VERIFICATION_KEY)
        return document

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock()
        if left <= 0:
            raise TimeoutError
        return left

    def _trust_anchors(
        self, host: str, target: tuple[str, int], thumbprints: Collection[str], deadline: float
    ) -> ssl.SSLContext:
        """Return a context that trusts the public CAs, or else the served certificates that match a thumbprint.

        The second connection verifies the chain up to such a certificate. Without this, an attacker could append the
        real CA's certificate, which is public, to another chain and match the thumbprint.
        """
        if self.public_cas:
            context = _verifying_context(self.public_cas)
            try:
                self._handshake(host, target, context, deadline)
            except ssl.SSLCertVerificationError:
                pass
            else:
                return context
        probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        probe.check_hostname = False
        probe.verify_mode = ssl.CERT_NONE  # this connection reads the chain and sends no request
        served = self._handshake(host, target, probe, deadline)
        trusted = [der for der in served if thumbprint(der) in thumbprints]
        if not trusted:
            raise AwsError(Reason.THUMBPRINT_MISMATCH)
        return _verifying_context([ssl.DER_cert_to_PEM_cert(der) for der in trusted])

    def _handshake(self, host: str, target: tuple[str, int], context: ssl.SSLContext, deadline: float) -> list[bytes]:
        with (
            socket.create_connection(target, self._left(deadline)) as raw,
            context.wrap_socket(raw, server_hostname=host) as secure,
        ):
            return _served_chain(secure)

    def _get(self, host: str, target: tuple[str, int], path: str, context: ssl.SSLContext, deadline: float) -> bytes:
        connection = _MappedConnection(host, target, context, self._left(deadline))
        try:
            # Not application/json: an API server's key set is application/jwk-set+json; other types get 406.
            connection.request("GET", path, headers={"Accept": "*/*"})
            response = connection.getresponse()
            body = response.read(_MAX_BODY + 1)
            if response.status != http.HTTPStatus.OK or len(body) > _MAX_BODY:
                raise AwsError(Reason.NO_VERIFICATION_KEY)
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


def _public(host: str) -> bool:
    """Return whether a server on the internet can resolve and reach this host: RFC 6761, RFC 6762, RFC 8375."""
    name = host.lower().rstrip(".")
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        labels = name.split(".")
    if labels[:2] == ["kubernetes", "default"] or labels[-2:] == ["home", "arpa"] or labels[-1].isdigit():
        return False
    return len(labels) > 1 and labels[-1] not in _PRIVATE_DOMAINS


def _verifying_context(anchors: Collection[str]) -> ssl.SSLContext:
    # Not create_default_context: its VERIFY_X509_STRICT of Python 3.13 rejects CAs that real clusters have.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata="".join(anchors))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a thumbprint can be of the leaf, which is then the anchor
    return context


def _served_chain(secure: ssl.SSLSocket) -> list[bytes]:
    """Return the certificates that the server sent, DER, leaf first, verified or not."""
    if hasattr(secure, "get_unverified_chain"):  # public since Python 3.13
        return list(secure.get_unverified_chain())
    internal: Any = secure._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 - Python 3.12 and older have no public method
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in internal.get_unverified_chain()]
