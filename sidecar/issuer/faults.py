"""What can be wrong with an issuer that AWS reads, with the words for it: one table for all commands. Pure.

The texts contain facts in braces: ``{url}`` of the document, its ``{host}``, ``{what}`` was found, and those that
`answers` adds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.exits import Exit

__all__ = (
    "ANONYMOUS_OFF",
    "BINDING_MISSING",
    "BUSY",
    "CERTIFICATE",
    "CLOSED",
    "DIFFERS",
    "FAULTS",
    "INSIDE",
    "KEYS_UNREACHABLE",
    "LOGIN",
    "NOT_HTTPS",
    "NO_DOCUMENT",
    "NO_KEYS",
    "PAGE",
    "PLAINTEXT",
    "PRIVATE",
    "PROXY",
    "REDIRECT",
    "SLOW",
    "TLS",
    "UNREACHABLE",
    "IssuerFault",
)


@dataclass(frozen=True, slots=True)
class IssuerFault:
    """One fault of an issuer. Its texts can contain facts in braces.

    Attributes:
        name: the name for programs.
        what: what is wrong, one line.
        fix: what to do, one line.
        to_confirm: the command whose output shows whether this is the fault; "" if what was read shows it.
        exit_code: one of ``Exit``.
    """

    name: str
    what: str
    fix: str
    to_confirm: str = ""
    exit_code: int = Exit.ISSUER

    @property
    def temporary(self) -> bool:
        """Whether it can disappear without a change."""
        return self.exit_code == Exit.UNREACHABLE

    def text(self, facts: Mapping[str, str]) -> str:
        """Return what is wrong, with the facts."""
        return self.what.format_map(facts)

    def fix_for(self, facts: Mapping[str, str]) -> str:
        """Return the fix, with the facts."""
        return self.fix.format_map(facts)


_PUBLISH: Final = "`aws-oidc-sidecar publish-issuer`"
# https://github.com/gardener/gardener/blob/master/docs/usage/security/shoot_serviceaccounts.md#managed-service-account-issuer
_MANAGED: Final = "a managed issuer (Gardener: annotate the shoot with authentication.gardener.cloud/issuer=managed)"

INSIDE: Final = IssuerFault(
    "issuer_inside",
    "AWS cannot reach {url}: {why}",
    f"change the issuer or its jwks_uri to a host that AWS can reach: use {_MANAGED}, or publish both documents on a "
    f"public web server with {_PUBLISH} and set --service-account-issuer of the API server to its URL",
)
PRIVATE: Final = IssuerFault(
    "issuer_private_address",
    "{host} resolves to {addresses} here, and AWS cannot reach that",
    f"if public DNS has the same address, use {_MANAGED}, or publish both documents with {_PUBLISH}",
    "dig +short {host} @1.1.1.1",
)
UNREACHABLE: Final = IssuerFault(
    "issuer_unreachable",
    "{url} cannot be reached from here: {what}",
    f"give {{host}} an address in public DNS and let AWS reach its port 443; for an issuer that must stay private: "
    f"{_MANAGED}, or {_PUBLISH}",
    "curl -sv {url}   # from outside your network",
    Exit.UNREACHABLE,
)
PROXY: Final = IssuerFault(
    "issuer_behind_proxy",
    "the proxy of this machine, {proxy}, does not connect to {host}: what AWS gets from there cannot be seen from here",
    "allow {host} in the proxy, or add it to NO_PROXY; AWS does not use this proxy",
    "curl -sv {url}   # from a machine without this proxy",
    Exit.UNREACHABLE,
)
PLAINTEXT: Final = IssuerFault(
    "issuer_plaintext",
    "the server of {url} answers without TLS: AWS reads only https",
    "serve https with a certificate for {host} on this port",
)
TLS: Final = IssuerFault(
    "issuer_handshake",
    "the TLS handshake with the server of {url} fails: {what}",
    "let the server accept TLS 1.2 or 1.3 with the ciphers that public clients use",
    "openssl s_client -connect {host}:443 -servername {host} </dev/null",
)
CERTIFICATE: Final = IssuerFault(
    "issuer_tls",
    "the certificate of {host} is not valid for its name and time ({what}): AWS does not accept it, whatever the "
    "thumbprint",
    "issue the certificate for {host}, and replace it before it expires",
    "openssl s_client -connect {host}:443 -servername {host} </dev/null | "
    "openssl x509 -noout -dates -ext subjectAltName",
)
ANONYMOUS_OFF: Final = IssuerFault(
    "anonymous_off",
    "the API server returns 401: it does not accept anonymous requests, and AWS sends no login",
    "allow anonymous requests for the discovery paths only: an AuthenticationConfiguration with anonymous.conditions "
    "for /.well-known/openid-configuration and /openid/v1/jwks (Gardener: structuredAuthentication, or the managed "
    "issuer)",
)
BINDING_MISSING: Final = IssuerFault(
    "discovery_forbidden",
    "the API server returns 403: RBAC does not allow anonymous requests to read the discovery paths",
    "kubectl create clusterrolebinding allow-anon-openid "
    "--clusterrole=system:service-account-issuer-discovery --group=system:unauthenticated",
)
CLOSED: Final = IssuerFault(
    "published_closed",
    "the bucket returns {status} {code}: AWS sends no login, and the object is not public or does not exist",
    f"upload both documents ({_PUBLISH}) and let everyone read these two objects (S3: a bucket policy with "
    "s3:GetObject for Principal * on them, which Block Public Access must allow)",
)
LOGIN: Final = IssuerFault(
    "issuer_asks_for_login",
    "a server before the issuer returns {status} ({what}): AWS sends no login",
    "exempt the two documents from authentication and filters in that server (ingress, gateway, load balancer, web "
    "server); this response is not from an API server, so RBAC does not change it",
)
REDIRECT: Final = IssuerFault(
    "issuer_redirects",
    "{url} redirects to {location}, and AWS follows no redirect",
    f"serve the document at its own URL, without a redirect or a login; if that server cannot: {_PUBLISH}",
)
PAGE: Final = IssuerFault(
    "issuer_is_page",
    "{url} returns a web page and not the document: another server answers, such as a login page or a default page",
    "route this path to the server that has the document, without a login",
)
BUSY: Final = IssuerFault(
    "issuer_busy",
    "{url} returns {status} ({what}): the server limits requests or is not available now",
    "run this command again in a minute; if it stays, repair the server or raise its limit of requests",
    exit_code=Exit.UNREACHABLE,
)
SLOW: Final = IssuerFault(
    "issuer_slow",
    "both documents together took {seconds} s, and AWS waits 5 s",
    f"run this command again; if it stays, repair the server, or publish both documents on a faster one: {_PUBLISH}",
    exit_code=Exit.UNREACHABLE,
)
NO_DOCUMENT: Final = IssuerFault(
    "discovery_missing",
    "{url} has no valid document ({what})",
    "check that this is the URL of the API server or of the published documents, and that no proxy changes the path",
)
KEYS_UNREACHABLE: Final = IssuerFault(
    "jwks_unreachable",
    "the key set at the jwks_uri of the discovery document, {url}, cannot be reached from here: {what}",
    "set the API server's --service-account-jwks-uri to https://{issuer_host}/openid/v1/jwks, and let AWS reach that "
    f"URL; for a server that must stay private: {_PUBLISH}",
    "curl -sv {url}   # from outside your network",
    Exit.UNREACHABLE,
)
NO_KEYS: Final = IssuerFault(
    "jwks_missing",
    "the jwks_uri of the discovery document, {url}, has no valid key set ({what})",
    "set the API server's --service-account-jwks-uri to the URL of the key set, or publish the key set at this URL",
)
DIFFERS: Final = IssuerFault(
    "issuer_differs",
    "the discovery document has issuer {found}, and the token's iss is {issuer}: AWS compares them to the last "
    "character and does not accept this document",
    "an API server: set {issuer} as the first --service-account-issuer; published documents: write them again with "
    "`aws-oidc-sidecar publish-issuer --issuer {issuer}`",
)
NOT_HTTPS: Final = IssuerFault(
    "jwks_not_https",
    "the jwks_uri of the discovery document, {url}, is not an https URL",
    "set the API server's --service-account-jwks-uri to an https URL, or correct the published document: AWS reads "
    "keys over https only",
)

FAULTS: Final = (
    INSIDE, PRIVATE, UNREACHABLE, KEYS_UNREACHABLE, PROXY, PLAINTEXT, TLS, CERTIFICATE, ANONYMOUS_OFF, BINDING_MISSING,
    CLOSED, LOGIN, REDIRECT, PAGE, BUSY, SLOW, DIFFERS, NO_DOCUMENT, NO_KEYS, NOT_HTTPS,
)  # fmt: skip
"""Every fault, each once."""
