"""How STS verifies a web identity token: format, issuer, signature, times and audience."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from examples.local.clock import Clock
from examples.local.errors import AwsError, Reason
from examples.local.iam_view import IamSnapshot, Provider
from examples.local.idp import ProviderClient
from examples.local.keys import decode_segment
from examples.local.partitions import Account

# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html, WebIdentityToken. Never
# "none", and never HS*: with HS* the public key, which everyone can read, would be the secret.
_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})
# "IAM accepts up to 5 minutes past exp":
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_oidc.html
EXPIRY_LEEWAY_SECONDS = 300
_SEGMENTS = 3
_END_OF_TIME = 1 << 53


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """The result of a verification: the OIDC provider, the subject, the accepted audience, and the claims' names."""

    provider: Provider
    subject: str
    audience: str
    claims: frozenset[str]


class TokenVerifier:
    """Verifies tokens against the providers of an IAM snapshot.

    Args:
        client: reads discovery documents and key sets.
        clock: wall time in seconds.
    """

    def __init__(self, client: ProviderClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._cached_jwks: dict[str, Mapping[str, Any]] = {}

    def forget_keys(self) -> None:
        """Delete the saved key sets of `stale_jwks`."""
        with self._lock:
            self._cached_jwks.clear()

    def verify(self, token: str, iam: IamSnapshot, *, account: Account, stale_jwks: bool = False) -> VerifiedToken:
        """Verify `token` for `account`.

        Args:
            token: a compact JWT.
            iam: the providers that STS knows now.
            account: the role's account, in the partition of the endpoint; the provider must be registered in it.
            stale_jwks: use the issuer's key set of the last call, if there was one.

        Raises:
            AwsError: `NOT_A_JWT`, `MISSING_CLAIM`, `NO_PROVIDER`, `NO_VERIFICATION_KEY`, `THUMBPRINT_MISMATCH`,
                `TOKEN_SIGNATURE`, `TOKEN_EXPIRED`, `TOKEN_NOT_YET_VALID` or `WRONG_AUDIENCE`, in this order.
        """
        header, claims = _parse(token)
        for claim in ("iss", "sub", "aud", "exp", "iat"):
            if claim not in claims:
                raise AwsError(Reason.MISSING_CLAIM, claim=claim)
        issuer = claims["iss"]
        here = (provider for provider in iam.providers.values() if provider.account == account)
        provider = next((one for one in here if one.url == issuer), None)
        if provider is None:
            raise AwsError(Reason.NO_PROVIDER, issuer=issuer)
        key = self._key(provider, header, stale_jwks=stale_jwks)
        try:
            jwt.decode(token, key, algorithms=[header["alg"]], options=_SIGNATURE_ONLY)
        except jwt.InvalidTokenError as error:
            raise AwsError(Reason.TOKEN_SIGNATURE) from error
        self._check_times(claims)
        return VerifiedToken(provider, claims["sub"], _audience(claims["aud"], provider), frozenset(claims))

    def _key(self, provider: Provider, header: Mapping[str, Any], *, stale_jwks: bool) -> jwt.PyJWK:
        keys = self._jwks(provider, stale=stale_jwks).get("keys")
        kid = header.get("kid")
        for key in keys if isinstance(keys, list) and isinstance(kid, str) else []:
            if isinstance(key, dict) and key.get("kid") == kid:
                try:
                    return jwt.PyJWK(key, algorithm=header["alg"])
                except (jwt.PyJWTError, ValueError) as error:
                    raise AwsError(Reason.NO_VERIFICATION_KEY) from error
        raise AwsError(Reason.NO_VERIFICATION_KEY)

    def _jwks(self, provider: Provider, *, stale: bool) -> Mapping[str, Any]:
        with self._lock:
            cached = self._cached_jwks.get(provider.arn)
        if stale and cached is not None:
            return cached
        # OpenID Connect Discovery 1.0, section 4: one slash at the end of the issuer is not part of the document's URL.
        url = provider.url.removesuffix("/") + "/.well-known/openid-configuration"
        deadline = self._client.deadline()
        discovery = self._client.get_json(url, provider.thumbprints, deadline)
        # OpenID Connect Discovery 1.0 section 4.3: it must be the issuer of the document's URL.
        if discovery.get("issuer") != provider.url or not isinstance(discovery.get("jwks_uri"), str):
            raise AwsError(Reason.NO_VERIFICATION_KEY)
        jwks = self._client.get_json(discovery["jwks_uri"], provider.thumbprints, deadline)
        with self._lock:
            self._cached_jwks[provider.arn] = jwks
        return jwks

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock()
        times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
        # Python's JSON reads NaN and Infinity as numbers; a token with those would never expire.
        if not all(isinstance(value, int | float) and 0 <= value < _END_OF_TIME for value in times.values()):
            raise AwsError(Reason.NOT_A_JWT)
        if now >= times["exp"] + EXPIRY_LEEWAY_SECONDS:
            raise AwsError(Reason.TOKEN_EXPIRED, now=int(now), expires_at=int(times["exp"]))
        if now < times.get("nbf", now):
            raise AwsError(Reason.TOKEN_NOT_YET_VALID)


_SIGNATURE_ONLY: Any = {
    # The claims are checked in this file, with the clock argument and AWS's error responses.
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


def _parse(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    segments = token.split(".")
    if len(segments) != _SEGMENTS:
        raise AwsError(Reason.NOT_A_JWT)
    try:
        header, claims = decode_segment(segments[0]), decode_segment(segments[1])
    except (ValueError, RecursionError) as error:
        raise AwsError(Reason.NOT_A_JWT) from error
    if header.get("alg") not in _ALGORITHMS or not isinstance(claims.get("sub", ""), str):
        raise AwsError(Reason.NOT_A_JWT)
    return header, claims


def _audience(claim: object, provider: Provider) -> str:
    """Return the token's first audience that is a client id; the trust policy's `:aud` is compared with this one."""
    for audience in claim if isinstance(claim, list) else [claim]:
        if isinstance(audience, str) and audience in provider.client_ids:
            return audience
    raise AwsError(Reason.WRONG_AUDIENCE)
