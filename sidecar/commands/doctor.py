"""``aws-oidc-sidecar doctor``: runs every check from the application to AWS, and names the cause of a failure."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

from sidecar.clock import SystemClock
from sidecar.commands import flags
from sidecar.doctor.case import Case
from sidecar.doctor.options import CaseOptions, Place, parse_call
from sidecar.doctor.result import Check, CheckResult, unknown
from sidecar.doctor.show import as_json, as_text, exit_code
from sidecar.doctor.table import CHECKS
from sidecar.errors import SettingsError
from sidecar.https.connect_to import redirected
from sidecar.settings.options import OPTIONS
from sidecar.settings.read import read_profiles
from sidecar.settings.regions import partition_of
from sidecar.settings.resolve import Settings, find, resolve

__all__ = ("add_options", "run")

_OPTION_NAMES: Final = frozenset({
    "role-arn", "profiles-file", "token-file", "audience", "role-session-name", "cluster", "duration", "region",
    "sts-endpoint", "allow-http-sts", "fips", "dual-stack", "runtime-dir", "endpoint-port",
})  # fmt: skip
"""The settings of the daemon that the doctor has too."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser the options of this command."""
    parser.add_argument(
        "--profile", metavar="NAME", default="", help="profile to check (default: default, or the only served profile)"
    )
    parser.add_argument(
        "--place",
        choices=[str(place) for place in Place],
        help="where the doctor runs, which decides what it can check (default: detected)",
    )
    parser.add_argument("--issuer", metavar="URL", default="", help="issuer URL, needed if there is no token here")
    parser.add_argument(
        "--issuer-ca", metavar="FILE", type=Path, help="CA certificate that verifies the issuer's certificate, PEM"
    )
    flags.add_connect_to(parser)
    parser.add_argument("--no-exchange", action="store_true", help="skip the exchange at STS")
    parser.add_argument("--no-iam", action="store_true", help="skip reading IAM, even with IAM read access")
    parser.add_argument(
        "--call",
        metavar="SERVICE:ACTION[:RESOURCE]",
        action="append",
        default=[],
        help="examine whether the role may make this call, with iam:SimulatePrincipalPolicy; repeatable",
    )
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
    """Print the report; return the exit code of the first cause, 0 without a fault, 8 if that is not proven.

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
        raise SettingsError("--issuer-ca", "not a file", "name a PEM file with CA certificates")
    options = CaseOptions(
        place=Place(given.place) if given.place else None,
        profile=given.profile,
        issuer=given.issuer,
        issuer_ca=given.issuer_ca,
        no_exchange=given.no_exchange,
        no_iam=given.no_iam,
        calls=tuple(flags.parsed(parse_call, text, "--call") for text in given.call),
    )
    case = Case(options, environment, settings, SystemClock(), role_known=role_known, connect_to=targets)
    with redirected(targets):
        _ = case.role_chain  # a missing profile is an error of usage, not of a check
        report = [(check, _run_check(check, case)) for check in CHECKS]
    if given.json:
        out.write(as_json(report, case.proofs))
    else:
        as_text(report, out, case.proofs)
    return exit_code(report, case.proofs)


def _run_check(check: Check[Case], case: Case) -> CheckResult:
    try:
        return check.run(case)
    # An error in one check must not hide the results of the others. The text of the error could quote a token.
    except Exception as error:  # noqa: BLE001
        return unknown(f"the check failed ({type(error).__name__})")


def _settings(given: argparse.Namespace, environment: Mapping[str, str]) -> tuple[Settings, bool]:
    given_flags = {option.name: getattr(given, option.name.replace("-", "_"), None) for option in OPTIONS}
    directory = flags.current_directory()
    known = {"AWS_OIDC_SIDECAR_ROLE_ARN", "AWS_ROLE_ARN", "AWS_OIDC_SIDECAR_PROFILES_FILE"}
    if given_flags["role-arn"] or given_flags["profiles-file"] or any(environment.get(name) for name in known):
        return resolve(given_flags, environment, read_profiles, directory), True
    # An application's container has no role. The placeholder is in the partition of the region, whichever that is.
    (region,) = (find(option, given_flags, environment)[0] for option in OPTIONS if option.name == "region")
    placeholder = f"arn:{partition_of(region) or 'aws'}:iam::000000000000:role/unknown"
    return resolve(given_flags | {"role-arn": placeholder}, environment, read_profiles, directory), False
