"""``aws-oidc-sidecar env``: prints the environment variables of an application, and warns of conflicting settings.

It reads the environment and the home directory of its own process. Run it where the application runs.
"""

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from sidecar.application.rule import environment_warnings
from sidecar.application.rules import RULES
from sidecar.application.surroundings import surroundings
from sidecar.application.variables import FORMATS, format_variables, variables
from sidecar.commands.flags import current_directory, parsed
from sidecar.errors import SettingsError
from sidecar.exits import Exit
from sidecar.settings.options import OPTIONS, RUNTIME_DIRECTORY
from sidecar.settings.profile_keys import KEYS
from sidecar.settings.resolve import find
from sidecar.volumes.auth_token import AUTH_TOKEN_NAME

__all__ = ("add_options", "run")


_ROWS: Final = {option.name: option for option in OPTIONS}
_profile_name = KEYS["source_profile"].parse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to the parser."""
    own = RUNTIME_DIRECTORY + "/" + AUTH_TOKEN_NAME
    parser.add_argument(
        "--profile", metavar="NAME", default="default", help="profile that the application uses (default: default)"
    )
    parser.add_argument(
        "--format",
        metavar="|".join(FORMATS),
        default="shell",
        help="output format; shell: for eval, dotenv: for docker --env-file, kubernetes: for a container's env "
        "(default: shell)",
    )
    parser.add_argument(
        "--endpoint-port",
        metavar="VALUE",
        help=_help("endpoint-port", "port of the credentials endpoint on 127.0.0.1"),
    )
    parser.add_argument(
        "--auth-token-file",
        metavar="PATH",
        help=f"path of the auth-token file in the application's container (default: {own})",
    )
    parser.add_argument(
        "--runtime-dir",
        metavar="DIR",
        help="runtime directory of a daemon on this machine, instead of --auth-token-file; the auth token is in "
        f"profiles/<profile>/{AUTH_TOKEN_NAME} below it [{_ROWS['runtime-dir'].variable}]",
    )
    parser.add_argument("--region", metavar="VALUE", help=_help("region", "AWS region of the application"))
    parser.add_argument("--strict", action="store_true", help=f"exit with {Exit.NOT_GOOD} if there is a warning")


def run(given: argparse.Namespace, environment: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    """Print the variables, then the warnings, one line each; return 0, or 1 for a warning with ``--strict``.

    Args:
        given: the arguments, from a parser with ``add_options``.
        environment: of the application.
        out: receives all variables, or after an error nothing.
        err: receives the warnings.

    Raises:
        SettingsError: a value is invalid, contradicts another, or cannot be written in the format.
    """
    if given.format not in FORMATS:
        raise SettingsError("--format", "unknown format", f"use {' or '.join(FORMATS)}")
    wanted = _wanted(given, environment)
    out.write(format_variables(wanted, given.format))
    found = list(environment_warnings(surroundings(environment, wanted), RULES))
    err.writelines(f"warning: {finding}\n" for finding in found)
    return Exit.NOT_GOOD if found and given.strict else Exit.GOOD


def _help(name: str, text: str = "") -> str:
    option = _ROWS[name]
    default = f" (default: {option.default})" if option.default else ""
    return f"{text or option.help}{default} [{', '.join((option.variable, *option.others))}]"


def _wanted(given: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, str]:
    profile = parsed(_profile_name, given.profile, "--profile")
    flags = {"endpoint-port": given.endpoint_port, "runtime-dir": given.runtime_dir, "region": given.region}
    directory = current_directory()
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in flags:
        text, sources[name] = find(_ROWS[name], flags, environment)
        values[name] = parsed(partial(_ROWS[name].value, directory=directory), text, sources[name])
    if values["endpoint-port"] == 0:
        fix = "set the port that the daemon uses: endpoint_port in its log line `started`"
        raise SettingsError(sources["endpoint-port"], "0 is not a port of a running daemon", fix)
    if given.auth_token_file is not None and given.runtime_dir is not None:
        where = "--auth-token-file and --runtime-dir"
        fix = "use the first for a container, or the second for a daemon on this machine"
        raise SettingsError(where, "are both set", fix)
    # The variable of `auth-token-file` is not read here: it is the path of the Secret that the daemon copies from.
    if given.auth_token_file is not None:
        value = partial(_ROWS["runtime-dir"].value, directory=directory)
        file = parsed(value, given.auth_token_file, "--auth-token-file")
    elif sources["runtime-dir"] != "default":
        file = values["runtime-dir"] / "profiles" / profile / AUTH_TOKEN_NAME
    else:
        file = Path(RUNTIME_DIRECTORY, AUTH_TOKEN_NAME)
    return variables(
        profile=profile,
        port=values["endpoint-port"],
        auth_token_file=str(file),
        region=values["region"],
        environment=environment,
    )
