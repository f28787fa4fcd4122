"""What the answer to a request for a document means for AWS: which server answered, and what is wrong. Pure.

The body tells which server answered. The status does not: an API server, a bucket and an ingress all return 403, and
each needs another fix.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import urljoin, urlsplit

from sidecar.errors import InvalidValueError
from sidecar.https.failures import FailureKind, FetchError
from sidecar.issuer import faults
from sidecar.issuer.documents import (
    DISCOVERY_PATH,
    Discovery,
    DocumentError,
    Keys,
    below,
    check_https,
    parse_discovery,
    parse_keys,
)
from sidecar.issuer.faults import IssuerFault
from sidecar.issuer.reach import are_private, why_inside
from sidecar.issuer.reader import TIMEOUT_SECONDS, IssuerResponse

__all__ = (
    "Sender",
    "Verdict",
    "discovery_of",
    "document_of",
    "judge_addresses",
    "judge_error",
    "judge_issuer",
    "judge_jwks_uri",
    "judge_seconds",
    "judge_url",
    "keys_of",
    "sender_of",
)

_Document = TypeVar("_Document")

_SHOWN_MAX: Final = 200
_LOOKED_AT: Final = 4096
_OK, _UNAUTHORIZED, _FORBIDDEN, _PROXY_LOGIN, _TOO_MANY, _SERVER_ERROR = 200, 401, 403, 407, 429, 500
_REDIRECTS: Final = range(300, 400)
# S3, and the same form at Google Cloud Storage and Azure:
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#RESTErrorResponses
_BUCKET: Final = re.compile(rb"<Error[\s>].*?<Code>([A-Za-z.]{1,64})</Code>", re.DOTALL)
_PAGE: Final = re.compile(
    rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE | re.DOTALL
)


class Sender(StrEnum):
    """The server that answered, by its body."""

    API_SERVER = "a Status of an API server"
    BUCKET = "an error of a bucket"
    PAGE = "a web page"
    OTHER = "unknown content"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong.

    Attributes:
        fault: one of `faults`.
        facts: for its texts.
        evidence: what was observed, one line.
    """

    fault: IssuerFault
    facts: Mapping[str, str]
    evidence: str

    @property
    def line(self) -> str:
        """Where, and what is wrong."""
        what, url = self.fault.text(self.facts), self.facts.get("url", "")
        return what if url in what else f"{url}: {what}"

    @property
    def fix(self) -> str:
        """What to do, with the facts."""
        return self.fault.fix_for(self.facts)


def sender_of(content: bytes) -> Sender:
    """Return the server that sent this body."""
    if _is_status(content):
        return Sender.API_SERVER
    head = content[:_LOOKED_AT].lstrip(b"\xef\xbb\xbf \t\r\n")
    if _PAGE.match(head):
        return Sender.PAGE
    return Sender.BUCKET if _BUCKET.search(head) else Sender.OTHER


def judge_url(url: str) -> Verdict | None:
    """Return the verdict for a URL that AWS cannot reach, whatever it returns here; None if AWS may reach it."""
    why = why_inside(url)
    return _verdict(url, faults.INSIDE, f"AWS cannot reach {url}: {why}", why=why) if why else None


def judge_error(error: FetchError) -> Verdict:
    """Return the verdict for a request without a response."""
    evidence = f"{error.url} from here: {error.detail}"
    if error.addresses and urlsplit(error.url).hostname not in error.addresses:
        evidence += f" (addresses: {', '.join(error.addresses)})"
    if error.kind.of_network and (error.proxy or error.kind is FailureKind.PROXY):
        return _verdict(error.url, faults.PROXY, evidence, proxy=error.proxy or "the value of HTTPS_PROXY")
    if error.kind.of_network and are_private(error.addresses):
        return _verdict(error.url, faults.PRIVATE, evidence, addresses=", ".join(error.addresses))
    of_tls = {
        FailureKind.PLAINTEXT: faults.PLAINTEXT,
        FailureKind.TLS: faults.TLS,
        FailureKind.CERTIFICATE: faults.CERTIFICATE,
        FailureKind.HTTP: faults.NO_DOCUMENT,
    }
    return _verdict(error.url, of_tls.get(error.kind, faults.UNREACHABLE), evidence, what=error.detail)


def judge_addresses(url: str, response: IssuerResponse) -> Verdict | None:
    """Return the verdict for a response from a name that resolves to addresses of this network only, else None."""
    if not are_private(response.addresses):
        return None
    addresses = ", ".join(response.addresses)
    return _verdict(url, faults.PRIVATE, f"{url} answers here (addresses: {addresses})", addresses=addresses)


def judge_seconds(*documents: IssuerResponse) -> Verdict | None:
    """Return the verdict for the two documents if they together take longer than AWS waits; None if they do not."""
    total = sum(document.seconds for document in documents)
    if total <= TIMEOUT_SECONDS:
        return None
    evidence = f"both documents took {total:.1f} s, and AWS waits {TIMEOUT_SECONDS:.0f} s"
    return Verdict(faults.SLOW, {"seconds": f"{total:.1f}"}, evidence)


def discovery_of(issuer: str, answer: IssuerResponse | FetchError) -> Discovery | Verdict:
    """Return the discovery document in an answer, or what is wrong; `judge_issuer` compares it."""
    return document_of(below(issuer, DISCOVERY_PATH), answer, parse_discovery)


def judge_issuer(discovery: Discovery, issuer: str) -> Verdict | None:
    """Return the verdict for a discovery document of another issuer; None if it is of this one."""
    if discovery.issuer == issuer:
        return None
    found = discovery.issuer[:_SHOWN_MAX]
    url = below(issuer, DISCOVERY_PATH)
    return _verdict(url, faults.DIFFERS, f"{url} has issuer {found}, not {issuer}", found=found, issuer=issuer)


def judge_jwks_uri(discovery: Discovery) -> Verdict | None:
    """Return the verdict for a `jwks_uri` that AWS cannot read, whatever it returns here; None if AWS may read it."""
    url = discovery.jwks_uri
    try:
        check_https(url)
    except InvalidValueError:
        shown = url[:_SHOWN_MAX]
        return _verdict(shown, faults.NOT_HTTPS, f"the jwks_uri is {shown}")
    return judge_url(url)


def keys_of(issuer: str, url: str, answer: IssuerResponse | FetchError) -> Keys | Verdict:
    """Return the key set in the answer of `url`, or what is wrong."""
    found = document_of(url, answer, parse_keys)
    if not isinstance(found, Verdict):
        return found
    of_keys = {faults.UNREACHABLE: faults.KEYS_UNREACHABLE, faults.NO_DOCUMENT: faults.NO_KEYS}
    return Verdict(of_keys.get(found.fault, found.fault), {**found.facts, "issuer_host": _host(issuer)}, found.evidence)


def document_of(
    url: str, answer: IssuerResponse | FetchError, parse: Callable[[bytes], _Document]
) -> _Document | Verdict:
    """Return what `parse` makes of the document in the answer of `url`, or what is wrong.

    Args:
        url: of the request.
        answer: the response, or why there is none.
        parse: raises DocumentError if the document is not valid.
    """
    if isinstance(answer, FetchError):
        return judge_error(answer)
    try:
        return _of_response(url, answer) or parse(answer.content)
    except DocumentError as error:
        return _verdict(url, faults.NO_DOCUMENT, f"{url} {error}", what=str(error))


def _of_response(url: str, response: IssuerResponse) -> Verdict | None:
    status = response.status
    sender = sender_of(response.content)
    evidence = f"{url}: HTTP {status}, {sender}"
    facts = {"status": str(status), "what": str(sender)}
    if status in _REDIRECTS:
        location = _location(url, response.location)
        return _verdict(url, faults.REDIRECT, f"{url}: HTTP {status} to {location}", location=location)
    if status == _OK:
        return _verdict(url, faults.PAGE, evidence) if sender is Sender.PAGE else None
    if status == _TOO_MANY or status >= _SERVER_ERROR:
        return _verdict(url, faults.BUSY, evidence, **facts)
    if status in (_UNAUTHORIZED, _FORBIDDEN, _PROXY_LOGIN):
        return _verdict(url, _denied(sender, status), evidence, code=_code(response.content), **facts)
    return _verdict(url, faults.NO_DOCUMENT, evidence, what=f"HTTP {status}")


def _denied(sender: Sender, status: int) -> IssuerFault:
    if sender is Sender.API_SERVER:
        return faults.ANONYMOUS_OFF if status == _UNAUTHORIZED else faults.BINDING_MISSING
    return faults.CLOSED if sender is Sender.BUCKET else faults.LOGIN


def _is_status(content: bytes) -> bool:
    # https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("kind") == "Status"


def _code(content: bytes) -> str:
    found = _BUCKET.search(content[:_LOOKED_AT])
    return found[1].decode() if found else ""


def _location(url: str, location: str) -> str:
    """Return the target of a redirect without user and query, which can be secret, and whether AWS could reach it."""
    try:
        parts = urlsplit(urljoin(url, location)) if location else urlsplit("")
    except ValueError:
        parts = urlsplit("")
    if not parts.netloc:
        return "no valid URL"
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:_SHOWN_MAX]
    # Headers are untrusted input: a control character in them must not change a report.
    shown = "".join(filter(str.isprintable, shown))
    why = why_inside(shown)
    return f"{shown} ({why}, which AWS cannot reach)" if why else shown


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return url


def _verdict(url: str, fault: IssuerFault, evidence: str, **facts: str) -> Verdict:
    return Verdict(fault, {"url": url, "host": _host(url), **facts}, evidence)
