"""``aws-oidc-sidecar env``: prints what an application needs, and warns of what is in its way.

It looks at its own environment and its own home, so it is run where the application runs.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from sidecar.appenv import FORMATS, render, variables
from sidecar.appenv_findings import RULES, findings
from sidecar.config import find
from sidecar.endpoint.files import AUTH_TOKEN_FILE
from sidecar.errors import SettingsError
from sidecar.flags import parsed
from sidecar.options import OPTIONS, RUNTIME_DIRECTORY
from sidecar.profiles import KEYS
from sidecar.surroundings import surroundings

__all__ = ("add_options", "run")

EXIT_GOOD, EXIT_FOUND = 0, 1

_ROWS: Final = {option.name: option for option in OPTIONS}
_profile_name = KEYS["source_profile"].parse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser the options of this command."""
    own = RUNTIME_DIRECTORY + "/" + AUTH_TOKEN_FILE
    parser.add_argument("--profile", metavar="NAME", default="default", help="whose role it gets (default: default)")
    parser.add_argument(
        "--format",
        metavar="|".join(FORMATS),
        default="shell",
        help="shell: for eval; dotenv: for docker --env-file; kubernetes: for a container's env (default: shell)",
    )
    parser.add_argument("--endpoint-port", metavar="VALUE", help=_help("endpoint-port"))
    parser.add_argument(
        "--auth-token-file", metavar="PATH", help=f"the auth token, as the application sees it (default: {own})"
    )
    parser.add_argument(
        "--runtime-dir",
        metavar="DIR",
        help="instead, for a daemon on this machine: its runtime directory, which holds "
        f"profiles/<profile>/{AUTH_TOKEN_FILE} [{_ROWS['runtime-dir'].variable}]",
    )
    parser.add_argument("--region", metavar="VALUE", help=_help("region", "the region that the application works in"))
    parser.add_argument("--strict", action="store_true", help=f"exit with {EXIT_FOUND} if there is any warning")


def run(given: argparse.Namespace, environment: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    """Print the variables, then the warnings, one line each; return 0, or 1 for a warning with ``--strict``.

    Args:
        given: what a parser with ``add_options`` made.
        environment: the application's.
        out: gets the variables, all or none.
        err: gets warnings and notes.

    Raises:
        SettingsError: a value cannot be used, contradicts another, or does not fit the format.
    """
    if given.format not in FORMATS:
        raise SettingsError("--format", "not known", f"use {' or '.join(FORMATS)}")
    wanted = _wanted(given, environment)
    out.write(render(wanted, given.format))
    if "AWS_REGION" not in wanted:
        err.write("note: no region is known, and most SDKs need one; set AWS_REGION or give --region\n")
    found = list(findings(surroundings(environment, wanted), RULES))
    err.writelines(f"warning: {finding}\n" for finding in found)
    return EXIT_FOUND if found and given.strict else EXIT_GOOD


def _help(name: str, text: str = "") -> str:
    option = _ROWS[name]
    default = f" (default: {option.default})" if option.default else ""
    return f"{text or option.help}{default} [{', '.join((option.variable, *option.others))}]"


def _wanted(given: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, str]:
    profile = parsed(_profile_name, given.profile, "--profile")
    flags = {"endpoint-port": given.endpoint_port, "runtime-dir": given.runtime_dir, "region": given.region}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in flags:
        text, sources[name] = find(_ROWS[name], flags, environment)
        values[name] = parsed(_ROWS[name].parse, text, sources[name])
    if values["endpoint-port"] == 0:
        fix = "give the one that the daemon found: endpoint_port in its log line `started`"
        raise SettingsError(sources["endpoint-port"], "is no port that one could ask", fix)
    if given.auth_token_file is not None and given.runtime_dir is not None:
        where = "--auth-token-file and --runtime-dir"
        raise SettingsError(where, "contradict", "give the first for a container, the second for this machine")
    # Not by that row's variable: there it names the Secret that the daemon copies from.
    if given.auth_token_file is not None:
        file = parsed(_ROWS["runtime-dir"].parse, given.auth_token_file, "--auth-token-file")
    elif sources["runtime-dir"] != "default":
        file = values["runtime-dir"] / "profiles" / profile / AUTH_TOKEN_FILE
    else:
        file = Path(RUNTIME_DIRECTORY, AUTH_TOKEN_FILE)
    return variables(
        profile=profile,
        port=values["endpoint-port"],
        auth_token_file=str(file),
        region=values["region"],
        environment=environment,
    )
