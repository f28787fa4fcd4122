"""``aws-oidc-sidecar doctor``: walks the whole chain, stops nowhere, and names the link that is broken."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

from sidecar import flags
from sidecar.clock import SystemClock
from sidecar.config import Settings, resolve
from sidecar.connect_to import redirected
from sidecar.doctor.case import Case, Place
from sidecar.doctor.show import as_json, as_text, exit_code
from sidecar.doctor.table import CHECKS
from sidecar.doctor.verdict import Check, Verdict, unknown
from sidecar.errors import SettingsError
from sidecar.options import OPTIONS
from sidecar.profiles_file import read_profiles

__all__ = ("add_options", "run")

_OPTION_NAMES: Final = frozenset({
    "role-arn", "profiles-file", "token-file", "audience", "role-session-name", "cluster", "duration", "region",
    "sts-endpoint", "allow-http-sts", "fips", "dual-stack", "runtime-dir", "endpoint-port",
})  # fmt: skip
"""The daemon's settings that the doctor takes too."""

# It stands for a role that is not known here: an application's container has none.
_PLACEHOLDER: Final = "arn:aws:iam::000000000000:role/unknown"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser the options of this command."""
    parser.add_argument(
        "--profile", metavar="NAME", default="", help="which profile (default: default, or the only one that is served)"
    )
    parser.add_argument(
        "--place",
        choices=[str(place) for place in Place],
        help="where this is, which decides what is looked at (default: found out)",
    )
    parser.add_argument("--issuer", metavar="URL", default="", help="the issuer, where no token is here to name it")
    parser.add_argument(
        "--issuer-ca", metavar="FILE", type=Path, help="the CA that the issuer's certificate has to be of, PEM"
    )
    flags.add_connect_to(parser)
    parser.add_argument("--no-exchange", action="store_true", help="do not ask STS for a set")
    parser.add_argument("--no-iam", action="store_true", help="do not read IAM, even where there are rights to")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    for option in OPTIONS:
        if option.name in _OPTION_NAMES:
            variables = ", ".join((option.variable, *option.others))
            parser.add_argument(f"--{option.name}", metavar="VALUE", help=f"{option.help} [{variables}]")


def run(
    given: argparse.Namespace,
    environment: Mapping[str, str],
    out: TextIO,
    err: TextIO,  # noqa: ARG001 - every command has it
) -> int:
    """Print the report; return 0 where the chain holds, else the exit code of what breaks it.

    Args:
        given: what a parser with ``add_options`` made.
        environment: of the process.
        out: gets the report.
        err: unused.

    Raises:
        SettingsError: a setting cannot be used.
    """
    settings, role_known = _settings(given, environment)
    targets = flags.connect_to(given)
    if given.issuer_ca is not None and not given.issuer_ca.is_file():
        raise SettingsError("--issuer-ca", "is no file", "name a file with CA certificates, PEM")
    case = Case(given, environment, settings, SystemClock(), role_known=role_known, connect_to=targets)
    with redirected(targets):
        _ = case.hops  # a profile that is not there is an error of usage, and no link's
        report = [(check, _verdict(check, case)) for check in CHECKS]
    if given.json:
        out.write(as_json(report))
    else:
        as_text(report, out)
    return exit_code(report)


def _verdict(check: Check, case: Case) -> Verdict:
    try:
        return check.run(case)
    # The other links are to be told whatever one of them meets. Its text could quote a token.
    except Exception as error:  # noqa: BLE001
        return unknown(f"it could not be looked at ({type(error).__name__})")


def _settings(given: argparse.Namespace, environment: Mapping[str, str]) -> tuple[Settings, bool]:
    given_flags = {option.name: getattr(given, option.name.replace("-", "_"), None) for option in OPTIONS}
    known = {"AWS_OIDC_SIDECAR_ROLE_ARN", "AWS_ROLE_ARN", "AWS_OIDC_SIDECAR_PROFILES_FILE"}
    if given_flags["role-arn"] or given_flags["profiles-file"] or any(environment.get(name) for name in known):
        return resolve(given_flags, environment, read_profiles), True
    return resolve(given_flags | {"role-arn": _PLACEHOLDER}, environment, read_profiles), False
