"""The token file: a token that keeps its promises or one named error, and a session name that STS takes."""

import base64

from sidecar.errors import TokenError
from sidecar.exchange.session_name import SESSION_NAME, session_name
from sidecar.tokens.jwt import parse
from tests.fuzz.engine import fuzz
from tests.property.test_jwt_bytes import holds_its_promises

__all__ = ("check",)


def check(data: bytes) -> None:
    """Take ``data`` as a token file, and its lines as the parts of a JWT before they are encoded."""
    header, _, payload = data.partition(b"\n")
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload, b"signature")]
    for content in (data, b".".join(parts)):
        holds_its_promises(content)
        try:
            token = parse(content)
        except TokenError:
            continue
        for cluster in ("", "prod"):
            assert SESSION_NAME.fullmatch(session_name(token, cluster)), "STS would refuse the session name"


if __name__ == "__main__":
    fuzz("jwt")
