"""``aws-oidc-sidecar bootstrap cluster``: verifies the cluster from inside a pod, and opens discovery to AWS."""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TextIO

from sidecar.clock import Clock, SystemClock
from sidecar.cluster import binding
from sidecar.cluster.anonymous import authentication_configuration, limits_paths
from sidecar.cluster.api import ApiClient
from sidecar.cluster.binding import Applied
from sidecar.cluster.checks import CLUSTER_CHECKS, TOO_WIDE, may_appear_later
from sidecar.cluster.probe import ClusterProbe, Server
from sidecar.commands import flags
from sidecar.doctor.case import Case
from sidecar.doctor.checks.discovery import cause_of
from sidecar.doctor.options import CaseOptions, Place
from sidecar.doctor.show import Report, as_json, as_text, exit_code
from sidecar.errors import InvalidValueError, SettingsError
from sidecar.exits import Interrupted
from sidecar.https.connect_to import ConnectTo, redirected
from sidecar.issuer.cluster import ApiServer, of_this_pod
from sidecar.issuer.documents import check_https
from sidecar.issuer.faults import ANONYMOUS_OFF
from sidecar.issuer.reach import why_inside
from sidecar.settings.options import OPTIONS
from sidecar.settings.read import read_profiles
from sidecar.settings.resolve import Settings, resolve

__all__ = ("DESCRIPTION", "add_options", "run")

DESCRIPTION: Final = """\
Checks from inside a cluster what AWS needs: the issuer's two documents, its keys and certificate, and what the API
server returns to anonymous requests. --mode verify needs no rights and changes nothing; --mode apply also applies one
ClusterRoleBinding, allow-anon-openid, which lets all clients read the two documents. Several namespaces can run it,
also at the same time. Exit codes: 0 good, or the issuer is not the API server and the cluster needs no change; 1
anonymous requests can read more than AWS needs; 2 usage, or no token; 3 the API server or the issuer cannot be reached;
5 issuer, keys or certificate do not fit, anonymous requests are off, or the binding is missing; 6 rights missing
(--mode apply); 7 another ClusterRoleBinding of that name exists with another role or other subjects (--mode apply)."""

_OPTION_NAMES: Final = ("token-file", "audience")
"""The settings of the daemon that this command has too."""

# The doctor's case needs a role, but no check of this command uses it.
_NO_ROLE: Final = "arn:aws:iam::000000000000:role/unknown"
# RBAC takes effect within a second of the API server; a cluster has several.
_WAIT_SECONDS: Final = {"verify": 0, "apply": 30}
_WAIT_MAX_SECONDS: Final = 3600
_PAUSE_SECONDS: Final = 1.0
_AGAIN: Final = (None, Applied.BUSY, Applied.UNREACHABLE)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser the options of this command."""
    parser.add_argument(
        "--mode",
        choices=["verify", "apply"],
        default="verify",
        help="verify: check only, needs no rights; apply: apply the ClusterRoleBinding, then check (default: verify)",
    )
    parser.add_argument(
        "--issuer-ca", metavar="FILE", type=Path, help="CA certificate that verifies the issuer's certificate, PEM"
    )
    flags.add_connect_to(parser)
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        help="how long to repeat the checks while a fault may disappear by itself "
        f"(default: {_WAIT_SECONDS['verify']}, with --mode apply {_WAIT_SECONDS['apply']})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    for option in OPTIONS:
        if option.name in _OPTION_NAMES:
            variables = ", ".join((option.variable, *option.others))
            text = f"{option.help} (default: {option.default}) [{variables}]"
            parser.add_argument(f"--{option.name}", metavar="VALUE", help=text)
    server = parser.add_argument_group("the API server")
    server.add_argument("--api-server", metavar="URL", help="URL of the API server (default in a pod: the cluster's)")
    server.add_argument(
        "--api-token-file", metavar="PATH", help="ServiceAccount token for it (default in a pod: the pod's own)"
    )
    server.add_argument(
        "--api-ca-file", metavar="PATH", help="its CA certificate, PEM (default in a pod: the cluster's)"
    )


def run(
    given: argparse.Namespace,
    environment: Mapping[str, str],
    out: TextIO,
    err: TextIO,  # noqa: ARG001 - every command has it
    clock: Clock | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Run the checks, apply the binding if requested and useful, print the report, and return the exit code.

    Args:
        given: what a parser with ``add_options`` made.
        environment: of the process; names the API server in a pod.
        out: gets the report, as lines or as JSON.
        err: unused.
        clock: the system clock by default.
        pause: waits for a number of seconds between two runs of the checks.

    Raises:
        SettingsError: an option cannot be used, or a file that it names cannot be read.
        Interrupted: with what was applied by then.
    """
    wait = _WAIT_SECONDS[given.mode] if given.wait is None else flags.parsed(_seconds, given.wait, "--wait")
    targets = flags.connect_to(given)
    server = _api_server(given, environment)
    if server is None and given.mode == "apply":
        fix = "run it in a pod, or set --api-server, --api-token-file and --api-ca-file"
        raise SettingsError("--mode apply", "no API server is known here", fix)
    if given.mode == "apply" and server is not None and server.token_file is None:
        fix = "set it: the pod's own token is only for the API server of its cluster"
        raise SettingsError("--api-token-file", "missing, and required with --api-server", fix)
    clock = clock or SystemClock()
    work = _Work(given, _settings(given, environment), None if server is None else ApiClient(server), targets, clock)
    try:
        with redirected(targets):
            report, probe = work.run(wait, pause)
    except Interrupted as interrupted:
        interrupted.did = work.so_far
        raise
    return _print(given, report, probe, out)


class _Work:
    """Runs the checks once or several times.

    Attributes:
        so_far: what was changed, for the line on an interrupt.
    """

    def __init__(
        self,
        given: argparse.Namespace,
        settings: Settings,
        api: ApiClient | None,
        targets: ConnectTo,
        clock: Clock,
    ) -> None:
        self._given, self._settings, self._api, self._targets, self._clock = given, settings, api, targets, clock
        self._applied: Applied | None = None
        self.so_far = "nothing was changed"

    def run(self, wait_seconds: float, pause: Callable[[float], None]) -> tuple[Report, ClusterProbe]:
        until = self._clock.now().mono + wait_seconds
        while True:
            probe = self._apply_and_probe()
            report = [(check, check.run(probe)) for check in CLUSTER_CHECKS]
            if self._clock.now().mono >= until or not may_appear_later([result for _, result in report]):
                return report, probe
            pause(_PAUSE_SECONDS)

    def _apply_and_probe(self) -> ClusterProbe:
        probe = self._probe()
        # Nothing is opened without use: not if anonymous requests are off, not if AWS reads another server.
        useful = probe.server is Server.API_SERVER and not probe.anonymous_off and not why_inside(probe.case.issuer)
        if self._given.mode != "apply" or self._api is None or not useful or self._applied not in _AGAIN:
            return probe
        self.so_far = f"ClusterRoleBinding {binding.NAME}: perhaps applied; run this command again"
        self._applied = binding.apply(self._api)
        self.so_far = f"ClusterRoleBinding {binding.NAME}: {self._applied}; run this command again to verify it"
        return self._probe()

    def _probe(self) -> ClusterProbe:
        # Only the checks of the cluster: no exchange, no application.
        options = CaseOptions(place=Place.ELSEWHERE, issuer_ca=self._given.issuer_ca, no_exchange=True, no_iam=True)
        case = Case(options, {}, self._settings, self._clock, role_known=False, connect_to=self._targets)
        return ClusterProbe(case, self._api, self._applied, to_apply=self._given.mode == "apply")


def _settings(given: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    if given.issuer_ca is not None and not given.issuer_ca.is_file():
        raise SettingsError("--issuer-ca", "not a file", "name a PEM file with CA certificates")
    given_flags = {"role-arn": _NO_ROLE, "token-file": given.token_file, "audience": given.audience}
    # Other settings, such as a role or the sidecar's ports, have no effect here.
    names = {name for row in OPTIONS if row.name in _OPTION_NAMES for name in (row.variable, *row.others)}
    used = {name: text for name, text in environment.items() if name in names}
    return resolve(given_flags, used, read_profiles, flags.current_directory())


def _api_server(given: argparse.Namespace, environment: Mapping[str, str]) -> ApiServer | None:
    files = given.api_token_file, given.api_ca_file
    token_file, ca_file = (None if text is None else Path(text) for text in files)
    if given.api_server is not None:
        # The pod's own token is never sent to another server.
        return ApiServer(flags.parsed(check_https, given.api_server, "--api-server").rstrip("/"), token_file, ca_file)
    own = of_this_pod(environment)
    if own is None:
        if any(text is not None for text in files):
            fix = "set --api-server too, or remove them"
            raise SettingsError("--api-token-file, --api-ca-file", "no API server is known here", fix)
        return None
    # Without a mounted CA, the root CAs of this machine may verify it; if they do not, a check reports that.
    mounted = own.ca_file if own.ca_file is not None and own.ca_file.exists() else None
    return replace(own, token_file=token_file or own.token_file, ca_file=ca_file or mounted)


def _print(given: argparse.Namespace, report: Report, probe: ClusterProbe, out: TextIO) -> int:

    code = exit_code(report)
    causes = {finding.cause for _, result in report for finding in result.findings}
    wanted = cause_of(ANONYMOUS_OFF) in causes or (TOO_WIDE in causes and limits_paths(probe.minor))
    configuration = authentication_configuration(probe.minor) if wanted else ""
    if given.json:
        about = {"mode": given.mode, "issuer": probe.case.issuer, "issuer_server": str(probe.server)}
        about["authentication_configuration"] = configuration
        out.write(json.dumps(about | json.loads(as_json(report)), indent=2) + "\n")
        return code
    as_text(report, out)
    if configuration:
        out.write(f"\n{configuration}")
    if not code:
        out.write("only the cluster was checked; to check AWS too, run: aws-oidc-sidecar doctor\n")
    return code


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) > _WAIT_MAX_SECONDS:
        raise InvalidValueError("not a number of seconds", f"use 0 to {_WAIT_MAX_SECONDS}")
    return int(text)
