"""Reads an issuer's documents as AWS does, and finds the thumbprints that IAM needs."""

import urllib.parse
from dataclasses import dataclass

from sidecar.bootstrap.failure import BootstrapError
from sidecar.bootstrap.spec import Issuer
from sidecar.exits import Exit
from sidecar.https.failures import FetchError
from sidecar.issuer.answers import (
    Verdict,
    discovery_of,
    judge_issuer,
    judge_jwks_uri,
    judge_seconds,
    judge_url,
    keys_of,
)
from sidecar.issuer.certificates import Chain
from sidecar.issuer.documents import DISCOVERY_PATH, below
from sidecar.issuer.reader import IssuerReader, IssuerResponse

__all__ = ("IssuerProbe", "probe_issuer")


@dataclass(frozen=True, slots=True)
class IssuerProbe:
    """The certificates of an issuer whose documents are valid.

    Attributes:
        url: of the issuer.
        chains: {host: the chain that it sends}, for the discovery document and for the key set if its host differs.
    """

    url: str
    chains: dict[str, Chain]

    @property
    def thumbprints(self) -> tuple[str, ...]:
        """The thumbprints that IAM needs: of the last certificate of each chain that no public root CA verifies.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_verify-thumbprint.html
        """
        return tuple(dict.fromkeys(chain.last.thumbprint for chain in self.chains.values() if not chain.public))

    @property
    def lines(self) -> tuple[str, ...]:
        """The certificate of each host, one line for each."""
        return tuple(
            f"{host}: publicly trusted certificate ({chain.last.issuer}): IAM needs no thumbprint"
            if chain.public
            else f"{host}: private certificate, thumbprint {chain.last.thumbprint} of {chain.last.subject or 'no name'}"
            for host, chain in self.chains.items()
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What will fail later, one line for each host."""
        return tuple(
            f"{host} sends its own certificate without a CA: the thumbprint is valid until that certificate changes; "
            "configure the server to send its CA too, and run this command again"
            for host, chain in self.chains.items()
            if chain.leaf_only and not chain.public
        )


def probe_issuer(reader: IssuerReader, issuer: Issuer) -> IssuerProbe:
    """Read the documents of an issuer, and return its certificates.

    Raises:
        BootstrapError: AWS cannot read the documents: the issuer is unreachable, too slow or not available now (3); its
            name, its TLS, its responses or its documents are not valid (5).
    """
    url = below(issuer.url, DISCOVERY_PATH)
    _require(judge_url(url))
    first = _ask(reader, url)
    discovery = discovery_of(issuer.url, first)
    if isinstance(discovery, Verdict):
        raise _stopped(discovery)
    _require(judge_issuer(discovery, issuer.url))
    _require(judge_jwks_uri(discovery))
    second = _ask(reader, discovery.jwks_uri)
    keys = keys_of(issuer.url, discovery.jwks_uri, second)
    if isinstance(keys, Verdict):
        raise _stopped(keys)
    if not keys.kids:
        fix = "serve the public keys that verify the tokens, each with a kid"
        raise BootstrapError(discovery.jwks_uri, "has no key with a kid", fix, Exit.ISSUER)
    # Both are responses: a FetchError gives a verdict.
    responses = [answer for answer in (first, second) if isinstance(answer, IssuerResponse)]
    _require(judge_seconds(*responses))
    # The same host on the same port sends one chain; another port is another server.
    served = {_server(at): answer.chain for at, answer in zip((url, discovery.jwks_uri), responses, strict=True)}
    return IssuerProbe(issuer.url, served)


def _ask(reader: IssuerReader, url: str) -> IssuerResponse | FetchError:
    try:
        return reader.get(url)
    except FetchError as error:
        return error


def _require(verdict: Verdict | None) -> None:
    if verdict is not None:
        raise _stopped(verdict)


def _stopped(verdict: Verdict) -> BootstrapError:
    return BootstrapError("issuer", verdict.line, verdict.fix, verdict.fault.exit_code)


def _server(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc.lower()
