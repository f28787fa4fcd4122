"""Signature Version 4, checked as AWS checks it: the signature of the received request is computed and compared.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

The age of `X-Amz-Date` is not checked: clients sign with the machine's clock, and tests move the clock of this AWS.
Signatures in the query string (presigned URLs) are not supported; such a request counts as unsigned.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from examples.local.clock import Clock
from examples.local.errors import AwsError, Reason
from examples.local.partitions import partition_of_region
from examples.local.records import AccessKey, KeyRing
from examples.local.wire import HttpRequest

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request,\s*"
    r"SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)
_QUERY = {
    "missing": Reason.MISSING_AUTHENTICATION,
    "incomplete": Reason.INCOMPLETE_SIGNATURE,
    "unknown": Reason.UNKNOWN_KEY,
    "expired": Reason.EXPIRED_KEY,
    "mismatch": Reason.SIGNATURE_MISMATCH,
}
_JSON = {
    "missing": Reason.MISSING_AUTHENTICATION_JSON,
    "incomplete": Reason.INCOMPLETE_SIGNATURE_JSON,
    "unknown": Reason.UNKNOWN_KEY_JSON,
    "expired": Reason.EXPIRED_KEY_JSON,
    "mismatch": Reason.SIGNATURE_MISMATCH_JSON,
}


@dataclass(frozen=True, slots=True)
class _Claimed:
    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


def authenticate(request: HttpRequest, service: str, partition: str, keys: KeyRing, clock: Clock) -> AccessKey:
    """Return the access key that signed `request` for `service`.

    Args:
        request: the request as received.
        service: "sts", "iam" or "ssm": the service in the signature's scope, and the protocol of the errors.
        partition: of the endpoint; a key of another one is unknown.
        keys: the access keys that AWS knows.
        clock: wall time in seconds, for the expiration of issued credentials.

    Raises:
        AwsError: no signature, a malformed signature, an unknown key id, a wrong or missing session token (same error
            as an unknown key), expired credentials, or a signature that does not match.
    """
    reasons = _JSON if service == "ssm" else _QUERY
    authorization = request.header("authorization")
    if authorization is None:
        raise AwsError(reasons["missing"])
    match = _AUTHORIZATION.fullmatch(authorization.strip())
    timestamp = request.header("x-amz-date") or ""
    if match is None or not timestamp.startswith(match[2]):
        raise AwsError(reasons["incomplete"])
    claimed = _Claimed(match[1], match[2], match[3], match[4], tuple(match[5].split(";")), match[6])
    known = keys.find(claimed.access_key_id)
    token = request.header("x-amz-security-token") or ""
    if known is not None and known.caller.account.partition != partition:
        known = None
    if known is None or not hmac.compare_digest(token.encode(), known.session_token.encode()):
        raise AwsError(reasons["unknown"])
    if clock() >= known.expires_at:
        raise AwsError(reasons["expired"])
    scoped = (claimed.service, partition_of_region(claimed.region)) == (service, partition)
    if not scoped or not _matches(request, claimed, known, timestamp):
        raise AwsError(reasons["mismatch"])
    return known


def _matches(request: HttpRequest, claimed: _Claimed, known: AccessKey, timestamp: str) -> bool:
    # AWS requires that host and each x-amz-* header is signed; else an attacker could replace the operation's target.
    required = {"host"} | {name.lower() for name, _ in request.headers if name.lower().startswith("x-amz-")}
    if not required <= set(claimed.signed_headers):
        return False
    # The signer uses this header without hashing the body, so it must first be compared with the body.
    stated = request.header("x-amz-content-sha256")
    if stated is not None and stated != hashlib.sha256(request.body).hexdigest():
        return False
    headers = [(name, value) for name, value in request.headers if name.lower() in claimed.signed_headers]
    if {name.lower() for name, _ in headers} != set(claimed.signed_headers):
        return False
    rebuilt = AWSRequest(
        method=request.method, url=f"http://{request.header('host')}{request.target}", data=request.body
    )
    for name, value in headers:
        rebuilt.headers.add_header(name, value)
    rebuilt.context["timestamp"] = timestamp
    signer = _ExactSigner(Credentials(known.access_key_id, known.secret_access_key), claimed.service, claimed.region)
    expected = signer.signature(signer.string_to_sign(rebuilt, signer.canonical_request(rebuilt)), rebuilt)
    return hmac.compare_digest(str(expected), claimed.signature)


class _ExactSigner(SigV4Auth):
    """Signs exactly the headers that the client signed; botocore's signer leaves some out."""

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        signed: Any = HTTPHeaders()
        for name, value in request.headers.items():
            signed.add_header(name.lower(), value)
        return signed  # type: ignore[no-any-return]
