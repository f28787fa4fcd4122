"""The command line: a table of the commands, and their exit codes.

A command returns its exit code, or raises a ``SidecarError``, which is printed here in one line on standard error.

``exits`` has the exit codes of the commands. 130: SIGINT (Ctrl-C) interrupted the command, 143: SIGTERM; the daemon
ends with 0 on both signals.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TextIO

from sidecar import __version__
from sidecar.errors import CommandError, SidecarError
from sidecar.exits import Exit, run_command

__all__ = ("main",)

PROGRAM = "aws-oidc-sidecar"


class _Command(Protocol):
    """The module of a command; it is imported when that command is used."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of the command to its parser."""
        ...

    def run(self, given: argparse.Namespace, environment: Mapping[str, str], out: TextIO, err: TextIO) -> int:
        """Run the command, and return its exit code."""
        ...


class _Row(NamedTuple):
    module: str
    help: str
    description: str


_COMMANDS: Final = {
    "run": _Row(
        "sidecar.commands.run",
        "run the daemon: watch the token, refresh credentials, serve them on 127.0.0.1",
        "Watches the projected token, exchanges it at STS, and serves credentials on 127.0.0.1. "
        "A flag wins over AWS_OIDC_SIDECAR_*, which wins over AWS variables such as AWS_ROLE_ARN.",
    ),
    "env": _Row(
        "sidecar.commands.env",
        "print the environment variables that an application needs, and warn about conflicting settings",
        "Prints the environment variables of an application container. Warns about variables and files of this "
        "environment that SDKs read before the sidecar, or that leak the auth token. In a shell: "
        'eval "$(aws-oidc-sidecar env)". Exit codes: 0 printed, 1 a warning with --strict, 2 usage.',
    ),
    "doctor": _Row(
        "sidecar.commands.doctor",
        "check everything from the application to AWS, and name the cause of a failure",
        "Runs every check from the application's environment to AWS, also after a fault. Works in the sidecar, in an "
        "application's container, in a Job and on a laptop; with IAM read access it reports the exact cause of a "
        "denial. Changes nothing, and prints no secrets. Exit codes: 0 no fault found, 1 a fault in this pod or on "
        "this node, 2 configuration, 3 a server cannot be reached, 4 AWS denies the request, 5 the issuer, its keys or "
        "its certificate do not fit, 8 not proven: no fault found, but a part could not be checked.",
    ),
    "bootstrap": _Row(
        "sidecar.commands.bootstrap",
        "set up what the exchange needs: in IAM the OIDC provider and roles, in the cluster access to its public keys",
        "Sets up and repairs what the exchange needs in AWS and in the cluster. Each command is safe to repeat.",
    ),
    "publish-issuer": _Row(
        "sidecar.commands.publish_issuer",
        "write the issuer's documents for a web server that AWS can reach, or compare them",
        "Writes the discovery document and the key set of an issuer that AWS cannot reach, for any web server or "
        "bucket. With --check it compares the published documents with the cluster. Exit codes: 0 success, 2 usage or "
        "configuration, 3 the API server or the issuer is unreachable, 5 the documents or a certificate are not valid "
        "for this issuer, 6 the API server denies access, 7 --check found a difference.",
    ),
    "check": _Row("", "check whether the daemon in this pod has valid credentials; for exec probes", ""),
    "credential-process": _Row(
        "sidecar.commands.credential_process",
        "print credentials in the format of an AWS credential_process; with --direct without a daemon",
        "With --direct: exchanges the token in this process and prints the credentials, for a laptop or a CI runner "
        "with a token file. Each call sends a request to STS. Exit codes: 2 usage, configuration or token file, 3 STS "
        "cannot be reached, 4 AWS denies the request, 5 the issuer or its keys are wrong.",
    ),
}
"""The commands; ``__main__`` runs ``check``, and ``credential-process`` without ``--direct``, without this table."""


def main(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: without the program's name.
        environment: by default that of the process.
    """
    try:
        given = _parser(arguments[:1]).parse_args(arguments)
    except SystemExit as end:  # argparse raises it: 0 for --help and --version, 2 for wrong usage
        return int(end.code or Exit.GOOD)
    environment = os.environ if environment is None else environment
    command = _module(_COMMANDS[given.command])

    def work() -> int:
        return command.run(given, environment, sys.stdout, sys.stderr)

    try:
        # The daemon has its own signal handlers.
        return work() if given.command == "run" and not given.check_config else run_command(work)
    except SidecarError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, CommandError) else Exit.USAGE


def _parser(command: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="AWS credentials for a Kubernetes pod from its own ServiceAccount token.",
        epilog="Exit codes of all commands except run: 130 interrupted by SIGINT (Ctrl-C), 143 by SIGTERM; run ends "
        "with 0 on both. COMMAND --help lists the other exit codes.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    for name, row in _COMMANDS.items():
        one = commands.add_parser(name, help=row.help, description=row.description or None)
        if row.module and list(command) == [name]:
            # Only this command: a daemon would hold the modules of the other commands in memory for weeks.
            _module(row).add_options(one)
    return parser


def _module(row: _Row) -> _Command:
    found: _Command = importlib.import_module(row.module)
    return found
