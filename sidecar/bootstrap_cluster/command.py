"""``aws-oidc-sidecar bootstrap cluster``: looks at the cluster's half from inside, and opens discovery to AWS."""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TextIO

from sidecar import flags
from sidecar.bootstrap_cluster import binding
from sidecar.bootstrap_cluster.anonymous import authentication_configuration, is_inside, limits_paths
from sidecar.bootstrap_cluster.api import ApiClient
from sidecar.bootstrap_cluster.binding import Applied
from sidecar.bootstrap_cluster.checks import CHECKS, TOO_WIDE, may_come
from sidecar.bootstrap_cluster.look import Look, Server
from sidecar.clock import Clock, SystemClock
from sidecar.config import Settings, resolve
from sidecar.connect_to import ConnectTo, redirected
from sidecar.doctor.case import Case, Place
from sidecar.doctor.checks.discovery import ANONYMOUS_OFF
from sidecar.doctor.show import Report, as_json, as_text, exit_code
from sidecar.errors import SettingsError
from sidecar.issuer.cluster import ApiServer, of_this_pod
from sidecar.issuer.documents import check_https
from sidecar.options import OPTIONS
from sidecar.profiles_file import read_profiles

__all__ = ("DESCRIPTION", "add_options", "run")

DESCRIPTION: Final = """\
Looks from inside a cluster at what AWS needs of it: the issuer's two documents, its keys and certificate, and what
the API server gives to anonymous requests. --mode verify needs no right and changes nothing; --mode apply also applies
one ClusterRoleBinding, allow-anon-openid, by which everybody may read the two documents. Any number of namespaces may
run it, at the same time too. Exit codes: 0 good, and also where the issuer is not the API server, so that nothing has
to be done; 1 anonymous requests may read more than AWS needs; 2 usage, or no token; 3 the API server or the issuer
cannot be reached; 5 issuer, keys or certificate do not fit, anonymous requests are off, or the binding is missing; 6
rights missing (--mode apply); 7 another ClusterRoleBinding of that name says something else (--mode apply)."""

_OPTION_NAMES: Final = ("token-file", "audience")
"""The daemon's settings that this takes too."""

# The checks of the doctor want a role, and none is looked at here.
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
        help="verify: look, with no right of its own; apply: apply the ClusterRoleBinding, then look (default: verify)",
    )
    parser.add_argument(
        "--issuer-ca", metavar="FILE", type=Path, help="the CA that the issuer's certificate has to be of, PEM"
    )
    flags.add_connect_to(parser)
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        help="look again for so long while what is missing may still come "
        f"(default: {_WAIT_SECONDS['verify']}, with --mode apply {_WAIT_SECONDS['apply']})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    for option in OPTIONS:
        if option.name in _OPTION_NAMES:
            variables = ", ".join((option.variable, *option.others))
            text = f"{option.help} (default: {option.default}) [{variables}]"
            parser.add_argument(f"--{option.name}", metavar="VALUE", help=text)
    server = parser.add_argument_group("the API server")
    server.add_argument("--api-server", metavar="URL", help="its URL (default: that of the pod that this runs in)")
    server.add_argument(
        "--api-token-file", metavar="PATH", help="a ServiceAccount's token for it (default in a pod: the pod's own)"
    )
    server.add_argument("--api-ca-file", metavar="PATH", help="its CA, PEM (default in a pod: the cluster's)")


def run(
    given: argparse.Namespace,
    environment: Mapping[str, str],
    out: TextIO,
    err: TextIO,  # noqa: ARG001 - every command has it
    clock: Clock | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Look, apply where that is asked for and of use, print the report, and return the exit code.

    Args:
        given: what a parser with ``add_options`` made.
        environment: of the process; names the API server in a pod.
        out: gets the report, as lines or as JSON.
        err: unused.
        clock: the machine's by default.
        pause: lets seconds pass between two looks.

    Raises:
        SettingsError: an option cannot be used, or a file that it names cannot be read.
    """
    wait = _WAIT_SECONDS[given.mode] if given.wait is None else flags.parsed(_seconds, given.wait, "--wait")
    targets = flags.connect_to(given)
    server = _api_server(given, environment)
    if server is None and given.mode == "apply":
        fix = "run it in a pod, or give --api-server, --api-token-file and --api-ca-file"
        raise SettingsError("--mode apply", "no API server is known here", fix)
    if given.mode == "apply" and server is not None and server.token_file is None:
        fix = "the pod's own token is for its own API server alone"
        raise SettingsError("--api-token-file", "is not given, and --api-server is", fix)
    clock = clock or SystemClock()
    work = _Work(given, _settings(given, environment), None if server is None else ApiClient(server), targets, clock)
    with redirected(targets):
        report, look = work.until_it_comes(wait, pause)
    return _print(given, report, look, out)


class _Work:
    """Looks once or several times, each time anew."""

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

    def until_it_comes(self, wait_seconds: float, pause: Callable[[float], None]) -> tuple[Report, Look]:
        until = self._clock.now().mono + wait_seconds
        while True:
            look = self._once()
            report = [(check, check.run(look)) for check in CHECKS]
            if self._clock.now().mono >= until or not may_come([verdict for _, verdict in report]):
                return report, look
            pause(_PAUSE_SECONDS)

    def _once(self) -> Look:
        look = self._look()
        # Nothing is opened that is of no use: not without anonymous requests, not where AWS asks another server.
        of_use = look.server is Server.API_SERVER and not look.anonymous_off and not is_inside(look.case.issuer)
        if self._given.mode != "apply" or self._api is None or not of_use or self._applied not in _AGAIN:
            return look
        self._applied = binding.apply(self._api)
        return self._look()

    def _look(self) -> Look:

        # The doctor's own options, as one would give them: no exchange, nothing of an application.
        asked = {"profile": "", "place": str(Place.ELSEWHERE), "issuer": "", "no_exchange": True, "no_iam": True}
        given = argparse.Namespace(**asked, mode=self._given.mode, issuer_ca=self._given.issuer_ca)
        case = Case(given, {}, self._settings, self._clock, role_known=False, connect_to=self._targets)
        return Look(case, self._api, self._applied)


def _settings(given: argparse.Namespace, environment: Mapping[str, str]) -> Settings:

    if given.issuer_ca is not None and not given.issuer_ca.is_file():
        raise SettingsError("--issuer-ca", "is no file", "name a file with CA certificates, PEM")
    flags = {"role-arn": _NO_ROLE, "token-file": given.token_file, "audience": given.audience}
    # Whatever else is set, such as a role or the sidecar's ports, decides nothing here.
    names = {name for row in OPTIONS if row.name in _OPTION_NAMES for name in (row.variable, *row.others)}
    return resolve(flags, {name: text for name, text in environment.items() if name in names}, read_profiles)


def _api_server(given: argparse.Namespace, environment: Mapping[str, str]) -> ApiServer | None:
    files = given.api_token_file, given.api_ca_file
    token_file, ca_file = (None if text is None else Path(text) for text in files)
    if given.api_server is not None:
        # The pod's own token is not for any other server.
        return ApiServer(flags.parsed(check_https, given.api_server, "--api-server").rstrip("/"), token_file, ca_file)
    own = of_this_pod(environment)
    if own is None:
        if any(text is not None for text in files):
            fix = "give --api-server too, or leave them out"
            raise SettingsError("--api-token-file, --api-ca-file", "no API server is known here", fix)
        return None
    # Without a mounted CA, this machine's root CAs may vouch for it; where they do not, that is told.
    mounted = own.ca_file if own.ca_file is not None and own.ca_file.exists() else None
    return replace(own, token_file=token_file or own.token_file, ca_file=ca_file or mounted)


def _print(given: argparse.Namespace, report: Report, look: Look, out: TextIO) -> int:

    code = exit_code(report)
    causes = {finding.cause for _, verdict in report for finding in verdict.findings}
    helps = ANONYMOUS_OFF in causes or (TOO_WIDE in causes and limits_paths(look.minor))
    configuration = authentication_configuration(look.minor) if helps else ""
    if given.json:
        about = {"mode": given.mode, "issuer": look.case.issuer, "issuer_server": str(look.server)}
        about["authentication_configuration"] = configuration
        out.write(json.dumps(about | json.loads(as_json(report)), indent=2) + "\n")
        return code
    as_text(report, out)
    if configuration:
        out.write(f"\n{configuration}")
    if not code:
        out.write("this was the cluster's half; for AWS's: aws-oidc-sidecar doctor\n")
    return code


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) > _WAIT_MAX_SECONDS:
        raise ValueError(f"not a number of seconds; use 0 to {_WAIT_MAX_SECONDS}")
    return int(text)
