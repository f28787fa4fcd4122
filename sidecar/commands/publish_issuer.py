"""``aws-oidc-sidecar publish-issuer``: writes an issuer's two documents for a web server that AWS can reach.

It is for API servers that AWS cannot reach. The documents contain public keys and nothing secret.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

from sidecar.clock import Clock, SystemClock
from sidecar.commands import flags
from sidecar.errors import CommandError, InvalidValueError, SettingsError
from sidecar.exits import Exit
from sidecar.https.connect_to import ConnectTo, redirected
from sidecar.https.failures import FetchError
from sidecar.issuer import publish
from sidecar.issuer.answers import Verdict, document_of, judge_url
from sidecar.issuer.cluster import ApiServer, HttpStatusError, of_this_pod, read_api_token, read_documents
from sidecar.issuer.documents import DISCOVERY_PATH, DocumentError, below, check_https, check_issuer, parse_discovery
from sidecar.issuer.faults import CERTIFICATE
from sidecar.issuer.publish import KEEP_SECONDS, KEYS_PATH, Difference, PublicKey, public_keys
from sidecar.issuer.reach import why_inside
from sidecar.issuer.reader import IssuerReader, IssuerResponse
from sidecar.issuer.site import read_file, site_files

__all__ = ("add_options", "run")


_SECONDS: Final = re.compile(r"[0-9]{1,9}")

_Parsed = TypeVar("_Parsed")

_SOURCE_FILES: Final = {
    "--token-file": "ServiceAccount token for the API server (default in a pod: the token of the pod)",
    "--ca-file": "CA certificate of the API server (default: in a pod the CA of the cluster, elsewhere the root CAs of "
    "this machine)",
    "--from-discovery": f"file with the output of `kubectl get --raw {DISCOVERY_PATH}`, instead of an API server",
    "--from-keys": f"file with the output of `kubectl get --raw {KEYS_PATH}`; needed with --from-discovery",
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What has to be published: the issuer, the URL of its key set, and the cluster's discovery document and keys."""

    issuer: str
    jwks_uri: str
    discovery: bytes
    keys: Mapping[str, PublicKey]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser the options of this command."""
    text = "URL of the issuer, exactly as in the iss of the tokens"
    parser.add_argument("--issuer", metavar="URL", required=True, help=text)
    what = parser.add_mutually_exclusive_group(required=True)
    text = "directory of the web server; each document that differs is written below it"
    what.add_argument("--to", metavar="DIRECTORY", help=text)
    text = "compare the documents that the issuer serves with those of the cluster; write nothing"
    what.add_argument("--check", action="store_true", help=text)
    source = parser.add_argument_group("source of the cluster's documents")
    text = "URL of the API server (default: the API server of this pod)"
    source.add_argument("--from", metavar="URL", dest="from_url", help=text)
    for flag, text in _SOURCE_FILES.items():
        source.add_argument(flag, metavar="PATH", help=text)
    text = "accept a cluster with another issuer, during a migration between issuers"
    source.add_argument("--allow-issuer-mismatch", action="store_true", help=text)
    text = f"URL where the key set is served (default: ISSUER{KEYS_PATH})"
    parser.add_argument("--jwks-uri", metavar="URL", help=text)
    keep = parser.add_mutually_exclusive_group()
    text = (
        "how long a key stays published after it was first missing in the cluster; use at least the lifetime of the "
        f"tokens that it signed (default: {KEEP_SECONDS}, enough for tokens of pods)"
    )
    keep.add_argument("--keep", metavar="SECONDS", default=str(KEEP_SECONDS), help=text)
    text = "remove each key that the cluster does not have now, without waiting"
    keep.add_argument("--prune", action="store_true", help=text)
    text = "for --check: CA certificate (PEM) that verifies the issuer's certificate"
    parser.add_argument("--issuer-ca", metavar="PATH", help=text)
    flags.add_connect_to(parser)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")


def run(
    given: argparse.Namespace,
    environment: Mapping[str, str],
    out: TextIO,
    err: TextIO,  # noqa: ARG001 - each command has this parameter
    clock: Clock | None = None,
) -> int:
    """Write or check the documents, and print what was written or what differs.

    Args:
        given: the parsed arguments of a parser with ``add_options``.
        environment: environment variables; in a pod they contain the address of the API server.
        out: receives the result, as lines or as JSON.
        err: not used.
        clock: the system clock by default.

    Returns:
        0; 7 if --check finds that the published documents differ from what the cluster needs.

    Raises:
        CommandError: the API server or the issuer is unreachable (3); the issuer, its documents, its keys or a
            certificate are not valid (5); the API server denies access (6).
        SettingsError: an option is not valid or contradicts another, or a file cannot be read or written.
    """
    issuer = flags.parsed(check_issuer, given.issuer, "--issuer")
    own = given.jwks_uri is None
    jwks_uri = below(issuer, KEYS_PATH) if own else flags.parsed(check_https, given.jwks_uri, "--jwks-uri")
    keep_seconds = 0 if given.prune else flags.parsed(_seconds, given.keep, "--keep")
    connect_to = flags.connect_to(given)
    for where, url in (("--issuer", issuer), ("--jwks-uri", jwks_uri)):
        why = why_inside(url)
        if why:
            raise SettingsError(where, f"AWS cannot reach it: {why}", "give the URL of a web server on the internet")
    with redirected(connect_to):
        wanted = _Wanted(issuer, jwks_uri, *_of_cluster(given, environment, issuer, connect_to))
        if given.check:
            return _check(given, wanted, connect_to, out)
    return _publish(given, wanted, (clock or SystemClock()).now().wall, keep_seconds, out)


# --- the cluster ---


def _of_cluster(
    given: argparse.Namespace, environment: Mapping[str, str], issuer: str, connect_to: ConnectTo
) -> tuple[bytes, Mapping[str, PublicKey]]:
    if given.from_discovery is None and given.from_keys is None:
        server = _api_server(given, environment)
        places = server.url + DISCOVERY_PATH, server.url + KEYS_PATH
        discovery, content = _read_cluster(server, connect_to)
    else:
        if given.from_discovery is None or given.from_keys is None:
            raise SettingsError("--from-discovery and --from-keys", "only one is given", "give both")
        if any(text is not None for text in (given.from_url, given.token_file, given.ca_file)):
            what = "contradicts --from, --token-file and --ca-file"
            raise SettingsError("--from-discovery", what, "use either the two files or the API server")
        places = given.from_discovery, given.from_keys
        discovery, content = (read_file(Path(place)) for place in places)
    fix = "nothing was written: use the documents of the API server"
    own = _document(parse_discovery, discovery, places[0], fix).issuer
    keys = _document(public_keys, content, places[1], fix)
    if own != issuer and not given.allow_issuer_mismatch:
        fix = "set --service-account-issuer of the API server, or give --allow-issuer-mismatch during a migration"
        raise CommandError(f"--issuer: the iss of the cluster's tokens is {own}, not {issuer}; {fix}", Exit.ISSUER)
    return discovery, keys


def _api_server(given: argparse.Namespace, environment: Mapping[str, str]) -> ApiServer:
    token_file, ca_file = (None if text is None else Path(text) for text in (given.token_file, given.ca_file))
    if given.from_url is not None:
        # The token of the pod must not be sent to another server.
        return ApiServer(flags.parsed(check_https, given.from_url, "--from").rstrip("/"), token_file, ca_file)
    own = of_this_pod(environment)
    if own is None:
        fix = "give the URL of the API server, or --from-discovery and --from-keys"
        raise SettingsError("--from", "missing, and this process does not run in a pod", fix)
    return ApiServer(own.url, token_file or own.token_file, ca_file or own.ca_file)


def _read_cluster(server: ApiServer, connect_to: ConnectTo) -> tuple[bytes, bytes]:
    token = None if server.token_file is None else read_api_token(server.token_file)
    # An attacker in the place of the API server would otherwise get the attacker's own keys published.
    reader = IssuerReader(server.ca_file, connect_to=connect_to, by_thumbprint=False, token=token)
    try:
        return read_documents(reader, server.url)
    except FetchError as unreadable:
        raise _unreadable(unreadable, "give its CA certificate with --ca-file") from None
    except HttpStatusError as error:
        if error.forbidden:
            fix = "give --token-file: each ServiceAccount can read it (system:service-account-issuer-discovery)"
            raise CommandError(f"{error}; {fix}", Exit.RIGHTS) from None
        if error.temporary:
            raise CommandError(f"{error}; try again when the API server is available", Exit.UNREACHABLE) from None
        fix = "check that this URL is an API server whose issuer is an https URL, and that no server is before it"
        raise CommandError(f"{error}; {fix}", Exit.ISSUER) from None


# --- publishing ---


def _publish(given: argparse.Namespace, wanted: _Wanted, now: float, keep_seconds: int, out: TextIO) -> int:
    discovery_file, keys_file, gone_file = site_files(Path(given.to))
    fix = "compare it with what the issuer serves, then delete this file and run the command again"
    published: Mapping[str, PublicKey] = {}
    if keys_file.content is not None:
        published = _document(public_keys, keys_file.content, str(keys_file.path), fix)
    if discovery_file.content is not None:
        other = _document(parse_discovery, discovery_file.content, str(discovery_file.path), fix).issuer
        if other != wanted.issuer:
            # Its keys would stay published for this issuer, and the holder of one could sign tokens of any
            # ServiceAccount of this cluster.
            raise SettingsError(given.to, f"contains the documents of {other}", "give another directory")
    gone = publish.parse_gone(gone_file.content or b"")
    merged = publish.merge(wanted.keys, published, gone, now=now, keep_seconds=keep_seconds)
    discovery = publish.discovery_document(wanted.discovery, wanted.issuer, wanted.jwks_uri, merged.keys)
    # The times first, and the key set before the document that points to it: if the process is killed at any point, no
    # key is lost and the document never points to a key set that does not exist.
    if merged.gone or gone_file.content is not None:
        gone_file.put(publish.gone_document(merged.gone))
    documents = (keys_file, publish.keys_document(merged.keys)), (discovery_file, discovery)
    written = [str(file.path) for file, content in documents if file.put(content)]
    statuses = [(kid, status, _utc(until)) for kid, status, until in merged.statuses(keep_seconds)]
    if given.json:
        keys = [{"kid": kid, "status": status, "until": until} for kid, status, until in statuses]
        _print(out, {"issuer": wanted.issuer, "jwks_uri": wanted.jwks_uri, "written": written, "keys": keys})
        return Exit.GOOD
    texts = {
        "new": "is new",
        "kept": "is no longer in the cluster and stays published until {}",
        "dropped": "is removed",
    }
    out.writelines(f"wrote {path}\n" for path in written)
    out.writelines(f"key {kid} {texts[status].format(until)}\n" for kid, status, until in statuses if status in texts)
    if not written:
        out.write(f"nothing to do: the documents in {given.to} are current for {wanted.issuer}\n")
    return Exit.GOOD


# --- checking ---


def _check(given: argparse.Namespace, wanted: _Wanted, connect_to: ConnectTo, out: TextIO) -> int:
    reader = IssuerReader(None if given.issuer_ca is None else Path(given.issuer_ca), connect_to=connect_to)
    expected = below(wanted.issuer, DISCOVERY_PATH), wanted.jwks_uri
    found: list[Difference] = []
    extra: list[str] = []

    def load(url: str, parse: Callable[[bytes], Any]) -> Any:  # noqa: ANN401 - what the parser returns
        try:
            answer: IssuerResponse | FetchError = reader.get(url)
        except FetchError as unreadable:
            answer = unreadable
        document = judge_url(url) or document_of(url, answer, parse)
        if not isinstance(document, Verdict):
            return document
        if url in expected and (isinstance(answer, FetchError) or document.fault.temporary):
            of_file = document.fault is CERTIFICATE and given.issuer_ca is not None
            fix = "check that --issuer-ca contains its CA certificate" if of_file else document.fix
            raise CommandError(f"{document.line}; {fix}", document.fault.exit_code)
        found.append(Difference("document", f"{document.line}: AWS denies each exchange; {document.fix}"))
        return None

    discovery = load(expected[0], parse_discovery)
    if discovery is not None:
        published = load(discovery.jwks_uri, public_keys)
        found += publish.differences(wanted.issuer, wanted.jwks_uri, wanted.keys, discovery, published)
        extra = [kid for kid in published or () if kid not in wanted.keys]
    if given.json:
        differences = [asdict(difference) for difference in found]
        _print(out, {"issuer": wanted.issuer, "good": not found, "differences": differences, "extra": extra})
    else:
        out.writelines(f"{difference.text}\n" for difference in found)
        out.writelines(f"key {kid} is published, and the cluster does not have it now\n" for kid in extra)
        if not found:
            out.write(f"good: {wanted.issuer} serves all {len(wanted.keys)} keys of the cluster\n")
    return Exit.DRIFT if found else Exit.GOOD


# --- helpers ---


def _document(parse: Callable[[bytes], _Parsed], content: bytes, where: str, fix: str) -> _Parsed:
    try:
        return parse(content)
    except DocumentError as error:
        raise CommandError(f"{where}: {error}; {fix}", Exit.ISSUER) from None


def _unreadable(unreadable: FetchError, tls_fix: str) -> CommandError:
    if unreadable.kind.of_network:
        fix = "check that the server is up, and that no proxy or firewall blocks it"
        return CommandError(f"{unreadable}; {fix}", Exit.UNREACHABLE)
    fix = tls_fix if unreadable.kind.of_tls else "check that the URL is the right server"
    return CommandError(f"{unreadable}; {fix}", Exit.ISSUER)


def _seconds(text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise InvalidValueError("not a whole number of seconds", "write it as 86400")
    return int(text)


def _utc(time: float | None) -> str | None:
    return None if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _print(out: TextIO, document: Mapping[str, Any]) -> None:
    out.write(json.dumps(document, indent=2) + "\n")
