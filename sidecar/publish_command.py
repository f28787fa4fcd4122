"""``aws-oidc-sidecar publish-issuer``: writes an issuer's two documents for a web server that AWS can reach.

It is for API servers that AWS cannot reach. The documents hold public keys and nothing secret.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

from sidecar import flags
from sidecar.clock import Clock, SystemClock
from sidecar.connect_to import ConnectTo, redirected
from sidecar.errors import SettingsError
from sidecar.issuer import publish
from sidecar.issuer.cluster import ApiServer, HttpRefusal, of_this_pod, read_documents, read_token
from sidecar.issuer.documents import DISCOVERY_PATH, DocumentError, check_https, check_issuer, parse_discovery
from sidecar.issuer.publish import KEEP_SECONDS, KEYS_PATH, Difference, Key, public_keys
from sidecar.issuer.reader import IssuerReader, Trouble, Unreadable, proxy_beside
from sidecar.publish_site import read_file, site_files

__all__ = ("add_options", "run")

EXIT_GOOD, EXIT_UNREACHABLE, EXIT_ISSUER, EXIT_RIGHTS, EXIT_DRIFT = 0, 3, 5, 6, 7

_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_NETWORK: Final = frozenset({Trouble.NAME, Trouble.CONNECTION, Trouble.TIMEOUT})

_Parsed = TypeVar("_Parsed")


class _Stop(Exception):  # noqa: N818 - an end of the command, with its exit code
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be published: whose documents, where their keys are, of what cluster."""

    issuer: str
    jwks_uri: str
    discovery: bytes
    keys: Mapping[str, Key]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser the options of this command."""
    parser.add_argument("--issuer", metavar="URL", required=True, help="the issuer, as the tokens' iss has it")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", metavar="DIRECTORY", help="write the documents below it, where they are to change")
    what.add_argument(
        "--check", action="store_true", help="compare what is published at the issuer with the cluster; write nothing"
    )
    source = parser.add_argument_group("where the cluster's documents are from")
    source.add_argument(
        "--from", metavar="URL", dest="from_url", help="the API server (default: that of the pod that this runs in)"
    )
    source.add_argument(
        "--token-file", metavar="PATH", help="a ServiceAccount's token for it (default in a pod: the pod's own)"
    )
    source.add_argument(
        "--ca-file", metavar="PATH", help="its CA (default in a pod: the cluster's; else this machine's root CAs)"
    )
    source.add_argument(
        "--from-discovery", metavar="PATH", help=f"instead, the output of: kubectl get --raw {DISCOVERY_PATH}"
    )
    source.add_argument("--from-keys", metavar="PATH", help=f"and that of: kubectl get --raw {KEYS_PATH}")
    source.add_argument(
        "--moving", action="store_true", help="the API server's first issuer may be another: it is being changed"
    )
    parser.add_argument("--jwks-uri", metavar="URL", help=f"where the keys are to be (default: the issuer{KEYS_PATH})")
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument(
        "--keep",
        metavar="SECONDS",
        default=str(KEEP_SECONDS),
        help="how long a key stays published after it is found gone from the cluster: as long as tokens that it signed "
        f"can be about (default: {KEEP_SECONDS}, for tokens of pods)",
    )
    keep.add_argument("--prune", action="store_true", help="drop every key that the cluster does not have, at once")
    parser.add_argument(
        "--issuer-ca", metavar="PATH", help="for --check: the CA that the issuer's certificate has to be of, PEM"
    )
    flags.add_connect_to(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(
    given: argparse.Namespace, environment: Mapping[str, str], out: TextIO, err: TextIO, clock: Clock | None = None
) -> int:
    """Write or check the documents, and say what was done or what differs.

    Args:
        given: what a parser with ``add_options`` made.
        environment: names the API server in a pod.
        out: gets the outcome, on lines or as JSON.
        err: gets one line where nothing could be done.
        clock: the machine's by default.

    Returns:
        0; 3 the API server or the issuer cannot be reached; 5 issuer, keys or certificate do not fit; 6 the API server
        refuses the token; 7 what is published lags behind or is not what it has to be.

    Raises:
        SettingsError: an option cannot be used or contradicts another, or a file cannot be read or written.
    """
    issuer = flags.parsed(check_issuer, given.issuer, "--issuer")
    jwks_uri = issuer + KEYS_PATH if given.jwks_uri is None else flags.parsed(check_https, given.jwks_uri, "--jwks-uri")
    keep_seconds = 0 if given.prune else flags.parsed(_seconds, given.keep, "--keep")
    connect_to = flags.connect_to(given)
    try:
        with redirected(connect_to):
            wanted = _Wanted(issuer, jwks_uri, *_of_cluster(given, environment, issuer, connect_to))
            if given.check:
                return _check(given, wanted, connect_to, out)
        return _publish(given, wanted, (clock or SystemClock()).now().wall, keep_seconds, out)
    except _Stop as stop:
        err.write(f"aws-oidc-sidecar: {stop}\n")
        return stop.code


# --- the cluster ---


def _of_cluster(
    given: argparse.Namespace, environment: Mapping[str, str], issuer: str, connect_to: ConnectTo
) -> tuple[bytes, Mapping[str, Key]]:
    if given.from_discovery is None and given.from_keys is None:
        server = _api_server(given, environment)
        places = server.url + DISCOVERY_PATH, server.url + KEYS_PATH
        discovery, content = _read_cluster(server, connect_to)
    else:
        if given.from_discovery is None or given.from_keys is None:
            raise SettingsError("--from-discovery and --from-keys", "only one is given", "give both")
        if any(text is not None for text in (given.from_url, given.token_file, given.ca_file)):
            what = "contradicts --from, --token-file and --ca-file"
            raise SettingsError("--from-discovery", what, "give the files, or the API server")
        places = given.from_discovery, given.from_keys
        discovery, content = (read_file(Path(place)) for place in places)
    own = _document(parse_discovery, discovery, places[0], "nothing was done").issuer
    keys = _document(public_keys, content, places[1], "nothing was done")
    if own != issuer and not given.moving:
        fix = "set the API server's --service-account-issuer, or give --moving while it is being changed"
        raise _Stop(EXIT_ISSUER, f"--issuer: the iss of the cluster's tokens is {own}, not {issuer}; {fix}")
    return discovery, keys


def _api_server(given: argparse.Namespace, environment: Mapping[str, str]) -> ApiServer:
    token_file, ca_file = (None if text is None else Path(text) for text in (given.token_file, given.ca_file))
    if given.from_url is not None:
        # The pod's own token is not for any other server.
        return ApiServer(flags.parsed(check_https, given.from_url, "--from").rstrip("/"), token_file, ca_file)
    own = of_this_pod(environment)
    if own is None:
        fix = "give the API server's URL, or --from-discovery and --from-keys"
        raise SettingsError("--from", "is not given, and this is no pod", fix)
    return ApiServer(own.url, token_file or own.token_file, ca_file or own.ca_file)


def _read_cluster(server: ApiServer, connect_to: ConnectTo) -> tuple[bytes, bytes]:
    token = None if server.token_file is None else read_token(server.token_file)
    # Whoever stood in for the API server unnoticed would have his own keys published.
    reader = IssuerReader(server.ca_file, proxy=proxy_beside(connect_to), by_thumbprint=False, token=token)
    try:
        return read_documents(reader, server.url)
    except Unreadable as unreadable:
        raise _unreadable(unreadable, "give its CA by --ca-file") from None
    except HttpRefusal as refusal:
        if refusal.forbidden:
            fix = "each ServiceAccount may read it (system:service-account-issuer-discovery); give --token-file"
            raise _Stop(EXIT_RIGHTS, f"{refusal}; {fix}") from None
        if refusal.temporary:
            raise _Stop(EXIT_UNREACHABLE, f"{refusal}; try again when the API server is well") from None
        raise _Stop(EXIT_ISSUER, f"{refusal}; is that an API server with an https issuer?") from None


# --- publishing ---


def _publish(given: argparse.Namespace, wanted: _Wanted, now: float, keep_seconds: int, out: TextIO) -> int:
    discovery_file, keys_file, gone_file = site_files(Path(given.to))
    fix = "look at what is published, then remove that file"
    published: Mapping[str, Key] = {}
    if keys_file.content is not None:
        published = _document(public_keys, keys_file.content, str(keys_file.path), fix)
    if discovery_file.content is not None:
        other = _document(parse_discovery, discovery_file.content, str(discovery_file.path), fix).issuer
        if other != wanted.issuer:
            # Its keys would be kept as ours, and whoever signs by one could be every ServiceAccount of this cluster.
            raise SettingsError(given.to, f"holds the documents of {other}", "give another directory")
    gone = publish.parse_gone(gone_file.content or b"")
    merged = publish.merge(wanted.keys, published, gone, now=now, keep_seconds=keep_seconds)
    discovery = publish.discovery_document(wanted.discovery, wanted.issuer, wanted.jwks_uri, merged.keys)
    # The times first, and the keys before what leads to them: killed at any point, it loses no key and points nowhere.
    if merged.gone or gone_file.content is not None:
        gone_file.put(publish.gone_document(merged.gone))
    documents = (keys_file, publish.keys_document(merged.keys)), (discovery_file, discovery)
    written = [str(file.path) for file, content in documents if file.put(content)]
    told = [(kid, status, _utc(until)) for kid, status, until in merged.told(keep_seconds)]
    if given.json:
        keys = [{"kid": kid, "status": status, "until": until} for kid, status, until in told]
        _print(out, {"issuer": wanted.issuer, "jwks_uri": wanted.jwks_uri, "written": written, "keys": keys})
        return EXIT_GOOD
    texts = {"new": "is new", "kept": "is gone from the cluster and kept until {}", "dropped": "is dropped"}
    out.writelines(f"wrote {path}\n" for path in written)
    out.writelines(f"key {kid} {texts[status].format(until)}\n" for kid, status, until in told if status in texts)
    if not written:
        out.write(f"nothing to do: what {given.to} holds is what {wanted.issuer} has to serve\n")
    return EXIT_GOOD


# --- checking ---


def _check(given: argparse.Namespace, wanted: _Wanted, connect_to: ConnectTo, out: TextIO) -> int:
    reader = IssuerReader(None if given.issuer_ca is None else Path(given.issuer_ca), proxy=proxy_beside(connect_to))
    expected = wanted.issuer + DISCOVERY_PATH, wanted.jwks_uri
    found: list[Difference] = []
    extra: list[str] = []

    def load(url: str, parse: Callable[[bytes], Any]) -> Any:  # noqa: ANN401 - what the parser returns
        try:
            answer = reader.get(url)
            if answer.status == HTTPStatus.OK:
                return parse(answer.content)
            what = f"{url} is not published (HTTP {answer.status}): AWS refuses every token"
        except Unreadable as unreadable:
            if url in expected:
                fix = "AWS refuses it too" if given.issuer_ca is None else "is its CA in that of --issuer-ca?"
                raise _unreadable(unreadable, fix) from None
            what = f"{unreadable}: AWS refuses every token"
        except DocumentError as error:
            what = f"{url} {error}: publish it anew"
        found.append(Difference("document", what))
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
        out.writelines(f"key {kid} is published and not, or no longer, of the cluster\n" for kid in extra)
        if not found:
            out.write(f"good: {wanted.issuer} serves all {len(wanted.keys)} keys of the cluster\n")
    return EXIT_DRIFT if found else EXIT_GOOD


# --- what all of it needs ---


def _document(parse: Callable[[bytes], _Parsed], content: bytes, where: str, fix: str) -> _Parsed:
    try:
        return parse(content)
    except DocumentError as error:
        raise _Stop(EXIT_ISSUER, f"{where}: {error}; {fix}") from None


def _unreadable(unreadable: Unreadable, tls_fix: str) -> _Stop:
    if unreadable.trouble in _NETWORK:
        return _Stop(EXIT_UNREACHABLE, f"{unreadable}; is it up, and no proxy or firewall between?")
    fix = tls_fix if unreadable.trouble is Trouble.TLS else "is it the right server?"
    return _Stop(EXIT_ISSUER, f"{unreadable}; {fix}")


def _seconds(text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise ValueError("not whole seconds; write them as in 86400")
    return int(text)


def _utc(time: float | None) -> str | None:
    return None if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _print(out: TextIO, document: Mapping[str, Any]) -> None:
    out.write(json.dumps(document, indent=2) + "\n")
