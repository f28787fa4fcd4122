"""The token file: a valid ``Token`` or a ``TokenError``, and a session name that STS accepts."""

import base64

from sidecar.errors import TokenError
from sidecar.exchange.session_name import make_session_name
from sidecar.iam.names import SESSION_NAME
from sidecar.tokens.jwt import parse_token
from tests.fuzz.engine import fuzz
from tests.property.test_jwt_bytes import check_token

__all__ = ("check",)


def check(data: bytes) -> None:
    """Use ``data`` as a token file, and its lines as the parts of a JWT before their encoding."""
    header, _, payload = data.partition(b"\n")
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload, b"signature")]
    for content in (data, b".".join(parts)):
        check_token(content)
        try:
            token = parse_token(content)
        except TokenError:
            continue
        for cluster in ("", "prod"):
            assert SESSION_NAME.fullmatch(make_session_name(token, cluster)), "STS would reject the session name"


if __name__ == "__main__":
    fuzz("jwt")
