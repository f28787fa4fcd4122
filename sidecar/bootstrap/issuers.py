"""Looks at an issuer as IAM will: its documents, and which certificates have to be registered."""

import urllib.parse
from dataclasses import dataclass
from typing import Final

from sidecar.bootstrap.failure import EXIT_ISSUER, EXIT_UNREACHABLE, Stopped
from sidecar.bootstrap.spec import Issuer
from sidecar.issuer.certificates import Chain
from sidecar.issuer.documents import (
    DISCOVERY_PATH,
    Discovery,
    DocumentError,
    check_https,
    parse_discovery,
    parse_keys,
)
from sidecar.issuer.reader import Answer, IssuerReader, Trouble, Unreadable

__all__ = ("Served", "look")

_OK: Final = 200
_DENIED: Final = (401, 403)
_SHOWN_MAX: Final = 255

_TROUBLE_FIX: Final = {
    Trouble.NAME: "is the name right, and public? AWS has to resolve it too",
    Trouble.CONNECTION: "is it reachable from here, and from the internet? AWS has to reach it on port 443",
    Trouble.TIMEOUT: "is it reachable from here, and from the internet? AWS waits five seconds as well",
    Trouble.TLS: "serve a certificate that is valid for this name now, with its CA in the chain (or give --issuer-ca)",
    Trouble.HTTP: "is it the issuer that answers there, or a proxy?",
}


@dataclass(frozen=True, slots=True)
class Served:
    """What an issuer serves.

    Attributes:
        url: of the issuer.
        chains: {host: what it sends}, of the discovery document and, where it is another, of the key set.
    """

    url: str
    chains: dict[str, Chain]

    @property
    def thumbprints(self) -> tuple[str, ...]:
        """Those that IAM needs: of the last certificate of each chain that no public CA vouches for.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_verify-thumbprint.html
        """
        return tuple(dict.fromkeys(chain.last.thumbprint for chain in self.chains.values() if not chain.public))

    @property
    def lines(self) -> tuple[str, ...]:
        """What was found about the certificates, one line for each host."""
        return tuple(
            f"{host}: publicly trusted certificate ({chain.last.issuer}): IAM needs no thumbprint"
            if chain.public
            else f"{host}: private certificate, thumbprint {chain.last.thumbprint} of {chain.last.subject or 'no name'}"
            for host, chain in self.chains.items()
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What will break later, one line each."""
        return tuple(
            f"{host} sends its own certificate and no CA: the thumbprint is good until that one is issued anew; "
            "have the server send its CA too, and run this again"
            for host, chain in self.chains.items()
            if chain.leaf_only and not chain.public
        )


def look(reader: IssuerReader, issuer: Issuer) -> Served:
    """Return what an issuer serves.

    Raises:
        Stopped: it cannot be reached (3); or it speaks no usable TLS or HTTP, or what it answers does not fit (5).
    """
    url = issuer.url + DISCOVERY_PATH
    answer = _get(reader, url, "discovery document")
    try:
        discovery = parse_discovery(answer.content)
    except DocumentError as error:
        raise Stopped(url, str(error), "is this URL the issuer?", EXIT_ISSUER) from None
    _check_issuer(issuer, discovery)
    try:
        check_https(discovery.jwks_uri)
    except ValueError:
        fix = "have the document name one: AWS reads keys over https alone"
        raise Stopped(url, "its jwks_uri is not an https URL", fix, EXIT_ISSUER) from None
    keys = _get(reader, discovery.jwks_uri, "key set")
    try:
        kids = parse_keys(keys.content).kids
    except DocumentError as error:
        raise Stopped(discovery.jwks_uri, str(error), "serve the key set there", EXIT_ISSUER) from None
    if not kids:
        fix = "serve the public keys that tokens are signed with, each with a kid"
        raise Stopped(discovery.jwks_uri, "has no key with a kid", fix, EXIT_ISSUER)
    # The same host on the same port sends one chain; another port is another server.
    served = {_server(url): answer.chain, _server(discovery.jwks_uri): keys.chain}
    return Served(issuer.url, served)


def _check_issuer(issuer: Issuer, discovery: Discovery) -> None:
    if discovery.issuer != issuer.url:
        fix = "give --issuer as the document and the tokens' iss have it, to the last character"
        said = discovery.issuer[:_SHOWN_MAX]
        raise Stopped(issuer.url, f"its discovery document says that the issuer is {said}", fix, EXIT_ISSUER)


def _get(reader: IssuerReader, url: str, name: str) -> Answer:
    try:
        answer = reader.get(url)
    except Unreadable as error:
        reached = error.trouble in {Trouble.TLS, Trouble.HTTP}
        code = EXIT_ISSUER if reached else EXIT_UNREACHABLE
        raise Stopped(url, error.detail, _TROUBLE_FIX[error.trouble], code) from None
    if answer.status in _DENIED:
        fix = "let anonymous clients read both discovery paths (bind system:service-account-issuer-discovery)"
        raise Stopped(url, f"the {name} is answered with HTTP {answer.status}", fix, EXIT_ISSUER)
    if answer.status != _OK:
        fix = "is this URL the issuer? AWS follows no redirect"
        raise Stopped(url, f"the {name} is answered with HTTP {answer.status}", fix, EXIT_ISSUER)
    return answer


def _server(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc.lower()
