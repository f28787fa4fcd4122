"""Values that many tests need: tokens, credentials, results; each with secrets that a test can search for."""

import base64
import json
from typing import Any

from sidecar.model import AssumeRoleResult, Credentials, Profile, Token

__all__ = ("ROLE_ARN", "assume_role_result", "credentials", "jwt_bytes", "profile", "token")

ROLE_ARN = "arn:aws:iam::123456789012:role/KubernetesParameterStoreRole"
CLAIMS: dict[str, Any] = {
    "iss": "https://issuer.test",
    "sub": "system:serviceaccount:default:aws-parameter-reader",
    "aud": ["sts.amazonaws.com"],
    "exp": 1_800_003_600,
    "iat": 1_800_000_000,
    "kubernetes.io": {"namespace": "default", "pod": {"name": "aws-test", "uid": "0"}},
}


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def jwt_bytes(signature: str = "c2lnbmF0dXJl", header: object = None, /, **claims: Any) -> bytes:  # noqa: ANN401
    """Return a JWT with the usual claims, changed by these; a claim of ``...`` is left out."""
    merged = {name: value for name, value in (CLAIMS | claims).items() if value is not ...}
    return f"{_part({'alg': 'RS256', 'kid': 'k1'} if header is None else header)}.{_part(merged)}.{signature}".encode()


def token(raw: str = "head.payload.signature", expires_at: float = 1_800_003_600.0) -> Token:
    """Return a token; tokens with different ``raw`` are different."""
    return Token(
        raw=raw,
        issuer="https://issuer.test",
        subject="system:serviceaccount:default:aws-parameter-reader",
        audience=("sts.amazonaws.com",),
        expires_at=expires_at,
        issued_at=expires_at - 3_600,
        key_id="k1",
        namespace="default",
        pod="aws-test",
    )


def credentials(number: int = 1, expires_at: int = 1_800_003_600) -> Credentials:
    """Return credentials; they differ if the numbers differ."""
    return Credentials(
        access_key_id=f"ASIAEXAMPLE{number:09d}",
        secret_access_key=f"secret-access-key-{number:022d}",
        session_token=f"session-token-{number:026d}",
        expires_at=expires_at,
        role_arn=ROLE_ARN,
        account_id="123456789012",
    )


def assume_role_result(
    number: int = 1, *, lifetime: float = 3_600.0, wall: float = 1_800_000_000.0, mono: float = 1_000.0
) -> AssumeRoleResult:
    """Return the result of a request that was sent at ``wall`` and ``mono``."""
    return AssumeRoleResult(credentials(number, int(wall + lifetime)), lifetime, mono)


def profile(name: str = "default") -> Profile:
    """Return a profile with the usual settings."""
    return Profile(
        name=name,
        role_arn=ROLE_ARN,
        session_name="",
        duration_seconds=3_600,
        region="eu-central-1",
        endpoint_url="",
    )
