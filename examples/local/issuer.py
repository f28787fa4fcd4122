"""A ServiceAccount token issuer: the API server's discovery documents, and pod tokens.

Documents and headers follow https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/routes/openidmetadata.go and
pkg/serviceaccount/openidmetadata.go; claims follow pkg/serviceaccount/claims.go of the same tag.
"""

import json
import ssl
import uuid
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from examples.local.clock import Clock, system_clock
from examples.local.keys import Algorithm, SigningKey
from examples.local.loopback import LoopbackHandler, LoopbackServer
from examples.local.pki import Authority, ServerCertificate, server_context

# Both documents: https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/routes/openidmetadata.go
_CACHE_CONTROL = "public, max-age=3600"
DISCOVERY_PATH = "/.well-known/openid-configuration"
JWKS_PATH = "/openid/v1/jwks"


class Issuer:
    """An issuer that listens on 127.0.0.1. Its `url` has no port, because IAM allows none.

    Attributes that tests set at any time:
        down: connections are closed without a response.
        delay_seconds: the delay of each response.
        stale_jwks: serve the key set as it was when this became true.
        leaf_only: leave the CA out of the TLS chain, as many servers do.
        advertised_issuer: the `issuer` of the discovery document.
        jwks_uri: the `jwks_uri` of the discovery document.
        anonymous: False responds 401, as an API server that does not allow anonymous requests.
        bearer: requests without this token get 403, as an API server responds to anonymous; None for no check.
        instead: {path of a document: status, headers and body} of a response in its place, as of another server.

    Args:
        url: the issuer, `https://HOST[/PATH][/]`; its documents are below it, with one slash between.
        clock: wall time in seconds, for `iat`, `nbf` and `exp`.
        authority: the CA of its TLS certificate; a new private CA by default.
        addresses: IP addresses in its certificate, as an API server's certificate has them.
        expired: whether its certificate has expired.
    """

    def __init__(
        self,
        url: str = "https://issuer.test",
        *,
        clock: Clock = system_clock,
        authority: Authority | None = None,
        addresses: Iterable[str] = (),
        expired: bool = False,
    ) -> None:
        self.url = url
        self.host = urlsplit(url).hostname or ""
        self._path = urlsplit(url).path.removesuffix("/")
        self._clock = clock
        self.authority = authority or Authority("issuer CA")
        self._addresses, self._expired = tuple(addresses), expired
        self._keys = [SigningKey()]
        self._announced: list[SigningKey] = []
        self._unknown_key: SigningKey | None = None
        self.certificate: ServerCertificate = self._issue()
        self._contexts = self._make_contexts()
        self._frozen_jwks: bytes | None = None
        self._server: LoopbackServer | None = None
        self.reset()

    def __enter__(self) -> Self:
        """Start serving."""
        self._server = LoopbackServer(
            self._handler(), tls=self._context, accepts=lambda: not self.down, clock=self._clock
        )
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop serving and join every thread."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def reset(self) -> None:
        """Set all attributes that tests set back to their defaults; keys and certificate do not change."""
        self.down = False
        self.delay_seconds = 0.0
        self.stale_jwks = False
        self.leaf_only = False
        self.advertised_issuer = self.url
        self.jwks_uri = self.url.removesuffix("/") + JWKS_PATH
        self.anonymous = True
        self.bearer: str | None = None
        self.instead: dict[str, tuple[int, dict[str, str], bytes]] = {}

    @property
    def connect_to(self) -> dict[tuple[str, int], tuple[str, int]]:
        """The address of the host name: {(host, 443): (address, port)}; empty while the issuer does not serve."""
        return {} if self._server is None else {(self.host, 443): self._server.address}

    @property
    def ca_pem(self) -> str:
        """The CA of the TLS certificate, PEM."""
        return self.certificate.ca_pem

    @property
    def thumbprints(self) -> tuple[str, ...]:
        """The SHA-1 of each certificate that the server sends now, leaf first."""
        chain = self.certificate.chain_thumbprints()
        return chain[:1] if self.leaf_only else chain

    def mint(
        self,
        *,
        namespace: str = "default",
        service_account: str = "aws-parameter-reader",
        audience: str | list[str] = "sts.amazonaws.com",
        pod: str = "aws-test",
        node: str = "node-1",
        lifetime_seconds: float = 3600,
        now: float | None = None,
    ) -> str:
        """Return a pod-bound ServiceAccount token of Kubernetes 1.36.

        Args:
            namespace: the namespace of the ServiceAccount and the pod.
            service_account: the ServiceAccount's name.
            audience: one or several; the claim is an array in both cases.
            pod: the pod's name.
            node: the node's name.
            lifetime_seconds: from `iat` to `exp`.
            now: `iat` and `nbf`, seconds since the epoch; the clock's time by default.
        """
        claims = self.claims(namespace=namespace, service_account=service_account, pod=pod, node=node)
        issued_at = int(self._clock() if now is None else now)
        claims |= {
            "aud": [audience] if isinstance(audience, str) else audience,
            "exp": int(issued_at + lifetime_seconds),
            "iat": issued_at,
            "nbf": issued_at,
        }
        return self.sign(claims)

    def claims(self, *, namespace: str, service_account: str, pod: str, node: str) -> dict[str, Any]:
        """Return the claims of a pod token without `aud`, `exp`, `iat` and `nbf`.

        `warnafter` is absent: Kubernetes sets it only where it silently extends a 3607 s token for its own
        audience (`pkg/registry/core/serviceaccount/storage/token.go`), never for `sts.amazonaws.com`.
        """
        return {
            "iss": self.url,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": namespace,
                "node": {"name": node, "uid": _uid("node", node)},
                "pod": {"name": pod, "uid": _uid("pod", namespace, pod)},
                "serviceaccount": {
                    "name": service_account,
                    "uid": _uid("serviceaccount", namespace, service_account),
                },
            },
            "sub": f"system:serviceaccount:{namespace}:{service_account}",
        }

    def sign(self, claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
        """Return `claims` signed with the newest key; `header` as in `SigningKey.sign`."""
        return self._keys[-1].sign(claims, header)

    def sign_with_unknown_key(self, claims: dict[str, Any], *, kid: str | None = None) -> str:
        """Return `claims` signed with a key that is in no key set; `kid` replaces the key's own `kid`."""
        if self._unknown_key is None:
            self._unknown_key = SigningKey()
        return self._unknown_key.sign(claims, None if kid is None else {"kid": kid})

    @property
    def kids(self) -> tuple[str, ...]:
        """The key identifiers in the key set, oldest first."""
        return tuple(key.kid for key in (*self._keys, *self._announced))

    def announce_key(self, algorithm: Algorithm = "RS256") -> str:
        """Add a key to the key set, which signs after the next `rotate_key`, and return its `kid`.

        An additional `--service-account-key-file` of an API server has the same effect.
        """
        self._announced.append(SigningKey(algorithm))
        return self._announced[-1].kid

    def rotate_key(self, algorithm: Algorithm = "RS256") -> str:
        """Sign with a new key, keep the older keys in the key set, and return the new key's `kid`.

        The new key is the oldest announced key, if there is one.
        """
        self._keys.append(self._announced.pop(0) if self._announced else SigningKey(algorithm))
        return self._keys[-1].kid

    def retire_old_keys(self) -> None:
        """Remove all keys but the newest signing key."""
        del self._keys[:-1]

    def reissue_certificate(self) -> None:
        """Serve a new leaf of the same CA, as after a certificate renewal."""
        self.certificate = self._issue()
        self._contexts = self._make_contexts()

    def replace_authority(self, authority: Authority | None = None) -> None:
        """Serve a leaf of another CA, as after a completed CA rotation."""
        self.authority = authority or Authority("issuer CA")
        self.reissue_certificate()

    @property
    def stale_jwks(self) -> bool:
        """Whether an old key set is served."""
        return self._frozen_jwks is not None

    @stale_jwks.setter
    def stale_jwks(self, stale: bool) -> None:
        if stale != self.stale_jwks:
            self._frozen_jwks = self._jwks() if stale else None

    def _issue(self) -> ServerCertificate:
        return self.authority.issue([self.host], self._addresses, expired=self._expired)

    def _make_contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        return server_context(self.certificate), server_context(self.certificate, with_ca=False)

    def _context(self) -> ssl.SSLContext:
        return self._contexts[1 if self.leaf_only else 0]

    def _handler(self) -> type[LoopbackHandler]:
        issuer = self

        class Handler(LoopbackHandler):
            def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
                issuer._respond(self)

        return Handler

    def _respond(self, handler: LoopbackHandler) -> None:
        handler.server.closing.wait(self.delay_seconds)
        accept = handler.headers.get("Accept", "*/*")
        if handler.path in self.instead:
            handler.reply(*self.instead[handler.path])
            return
        if not self.anonymous:
            handler.reply(401, {"Content-Type": "application/json"}, b'{"kind":"Status","reason":"Unauthorized"}\n')
            return
        if self.bearer is not None and handler.headers.get("Authorization") != f"Bearer {self.bearer}":
            handler.reply(403, {"Content-Type": "application/json"}, b'{"kind":"Status","reason":"Forbidden"}\n')
            return
        if handler.path == self._path + DISCOVERY_PATH:
            kind, body = "application/json", self._discovery()
        elif handler.path == self._path + JWKS_PATH:
            if not any(kind in accept for kind in ("application/jwk-set+json", "application/*", "*/*")):
                # Measured on 1.36.3: the response to `Accept: application/json`, which many OIDC clients send.
                body = b"only the following media types are accepted: application/jwk-set+json\n"
                handler.reply(406, {"Content-Type": "text/plain; charset=utf-8"}, body)
                return
            kind, body = "application/jwk-set+json", self._frozen_jwks or self._jwks()
        else:
            handler.reply(404, {"Content-Type": "text/plain; charset=utf-8"}, b"404 page not found\n")
            return
        handler.reply(200, {"Content-Type": kind, "Cache-Control": _CACHE_CONTROL}, body)

    def _discovery(self) -> bytes:
        document = {
            "issuer": self.advertised_issuer,
            "jwks_uri": self.jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key.algorithm for key in self._keys}),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    def _jwks(self) -> bytes:
        keys = [key.jwk() for key in (*self._keys, *self._announced)]
        return json.dumps({"keys": keys}, separators=(",", ":")).encode()


def _uid(*parts: str) -> str:
    """Return the UID of a named object, the same each time, so that tests can compare two tokens."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(parts)))
