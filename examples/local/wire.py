"""Parsing of requests, and responses in AWS's format: query protocol (XML) and JSON protocol."""

import html
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from examples.local.errors import AwsError
from examples.local.partitions import Account

_NAMESPACES = {
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
}
_VERSIONS = {"2011-06-15": "sts", "2010-05-08": "iam"}
_SSM_TARGET = "AmazonSSM."
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One complete request.

    Attributes:
        method: upper case.
        target: path and query as sent.
        headers: all headers in order; names as sent.
        body: the bytes.
    """

    method: str
    target: str = field(repr=False)  # a GET of the query protocol carries the token here
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return the value of the first header of this lower-case name, or None; case is ignored."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the query protocol, from the query string and from a form body."""
        pairs = parse_qsl(urlsplit(self.target).query, keep_blank_values=True)
        if (self.header("content-type") or "").startswith("application/x-www-form-urlencoded"):
            pairs += parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        return dict(pairs)


@dataclass(frozen=True, slots=True)
class Operation:
    """The operation of a request: the service ("sts", "iam", "ssm" or ""), the name, and the parameters."""

    service: str
    name: str
    version: str
    parameters: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, request: HttpRequest) -> "Operation":
        """Return the operation that a request names; the service is "" if it is unknown."""
        target = request.header("x-amz-target") or ""
        if target.startswith(_SSM_TARGET):
            return cls("ssm", target.removeprefix(_SSM_TARGET), "", {})
        parameters = request.parameters()
        version = parameters.get("Version", "")
        return cls(_VERSIONS.get(version, ""), parameters.get("Action", ""), version, parameters)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response: status, headers without Content-Length and Date, body."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


def resource_of(operation: Operation, request: HttpRequest, account: Account, region: str) -> str:
    """Return the resource of a call: the ARN of the parameter that it names, else `*`."""
    if operation.service != "ssm":
        return "*"
    try:
        name = json.loads(request.body).get("Name")
    except (ValueError, AttributeError):
        name = None
    parameter = f"{account.id}:parameter/{name.removeprefix('/')}" if isinstance(name, str) else ""
    return f"arn:{account.partition}:ssm:{region}:{parameter}" if parameter else "*"


def new_request_id() -> str:
    """Return a new request id."""
    return str(uuid.uuid4())


def iso8601(at: float) -> str:
    """Return `at`, seconds since the epoch, as STS writes an Expiration: UTC, whole seconds, `Z`."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def escape(text: str) -> str:
    """Return `text` for an XML element; characters that XML 1.0 cannot carry become question marks."""
    printable = "".join(character if character >= " " or character in "\t\n\r" else "?" for character in text)
    return html.escape(printable, quote=False)


def error_response(error: AwsError, service: str) -> HttpResponse:
    """Return an error response in the service's protocol, with a new request id.

    The XML has the white space of a real response: https://github.com/awslabs/aws-sdk-rust/issues/827
    """
    request_id = new_request_id()
    if service == "ssm":
        body = json.dumps({"__type": error.code, "message": error.message}).encode()
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": request_id}
        return HttpResponse(error.status, headers, body)
    sender = "Receiver" if error.status >= _SERVER_ERROR else "Sender"
    body = (
        f'<ErrorResponse xmlns="{_NAMESPACES.get(service, _NAMESPACES["sts"])}">\n'
        "  <Error>\n"
        f"    <Type>{sender}</Type>\n"
        f"    <Code>{error.code}</Code>\n"
        f"    <Message>{escape(error.message)}</Message>\n"
        "  </Error>\n"
        f"  <RequestId>{request_id}</RequestId>\n"
        "</ErrorResponse>\n"
    ).encode()
    return HttpResponse(error.status, {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}, body)


def sts_success(operation: str, result: str) -> HttpResponse:
    """Return the 200 response of STS for `operation`; `result` is XML that is already escaped."""
    return _success("sts", operation, f"  <{operation}Result>\n{result}  </{operation}Result>\n")


def success(operation: Operation, result: str) -> HttpResponse:
    """Return the 200 response of an operation of the query protocol; `result` is XML that is already escaped."""
    return _success(
        operation.service, operation.name, f"  <{operation.name}Result>\n{result}  </{operation.name}Result>\n"
    )


def empty_success(operation: Operation) -> HttpResponse:
    """Return the 200 response of an operation of the query protocol that has no result."""
    return _success(operation.service, operation.name, "")


def _success(service: str, operation: str, result: str) -> HttpResponse:
    request_id = new_request_id()
    body = (
        f'<{operation}Response xmlns="{_NAMESPACES[service]}">\n'
        f"{result}"
        f"  <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n"
        f"</{operation}Response>\n"
    ).encode()
    return HttpResponse(200, {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}, body)
