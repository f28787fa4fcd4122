"""Signing keys of a ServiceAccount token issuer, signed tokens, and tampered tokens."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Algorithm = Literal["RS256", "ES256"]
_RSA_BITS = 2048


class SigningKey:
    """One signing key: RSA 2048 for RS256, P-256 for ES256, the two algorithms that Kubernetes signs with.

    Its `kid` is base64url, unpadded, of the SHA-256 of the DER SubjectPublicKeyInfo
    (https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/serviceaccount/jwt.go).

    Args:
        algorithm: "RS256" or "ES256".
    """

    def __init__(self, algorithm: Algorithm = "RS256") -> None:
        self.algorithm = algorithm
        self._key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
        if algorithm == "RS256":
            self._key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
        spki = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.kid = base64url(hashlib.sha256(spki).digest())

    def jwk(self) -> dict[str, str]:
        """Return the public key as a JWK (RFC 7517) with the members that Kubernetes publishes."""
        public = self._key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            members = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
            return {
                "use": "sig",
                "kty": "RSA",
                "kid": self.kid,
                "alg": self.algorithm,
                "n": str(members["n"]),
                "e": str(members["e"]),
            }
        members = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
        return {
            "use": "sig",
            "kty": "EC",
            "kid": self.kid,
            "crv": "P-256",
            "alg": self.algorithm,
            "x": str(members["x"]),
            "y": str(members["y"]),
        }

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        """Return `claims` as a signed compact JWT; Kubernetes sets `alg` and `kid`, and no `typ`.

        Args:
            claims: the payload.
            header: members that are added to the header or replace `kid`; the value None removes a member.
        """
        members = {"kid": self.kid, **(header or {})}
        # PyJWT adds `typ` unless its value is None.
        present = {"typ": None} | {name: value for name, value in members.items() if value is not None}
        return jwt.encode(dict(claims), self._key, algorithm=self.algorithm, headers=present)


def base64url(data: bytes) -> str:
    """Return `data` in base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_segment(segment: str) -> dict[str, Any]:
    """Return the JSON object of one JWT segment, unverified.

    Raises:
        ValueError: not base64url, not JSON, or not an object.
    """
    # urlsafe_b64decode drops characters outside of the alphabet instead of rejecting them.
    if not segment or set(segment) - _BASE64URL:
        message = "segment is not base64url"
        raise ValueError(message)
    value = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    if not isinstance(value, dict):
        message = "segment is not a JSON object"
        raise ValueError(message)  # noqa: TRY004 - one error type for all malformed segments
    return value


def tamper_signature(token: str) -> str:
    """Return `token` with one bit of its signature flipped."""
    head, payload, signature = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    raw[len(raw) // 2] ^= 1
    return f"{head}.{payload}.{base64url(bytes(raw))}"


def tamper_payload(token: str, **claims: object) -> str:
    """Return `token` with `claims` replaced and its signature unchanged."""
    head, payload, signature = token.split(".")
    altered = {**decode_segment(payload), **claims}
    return f"{head}.{base64url(json.dumps(altered).encode())}.{signature}"


_BASE64URL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
