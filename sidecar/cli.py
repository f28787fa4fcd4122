"""The command line: the only file that writes to standard output and decides exit codes.

Exit codes of every command: 0 good; 1 the thing checked is not good; 2 usage or configuration; 3 cannot reach;
4 AWS refuses; 5 issuer, keys or certificate do not fit; 6 rights missing; 7 drift; 70 a bug.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TextIO

from sidecar import __version__
from sidecar.config import Settings, resolve
from sidecar.errors import Outcome, SettingsError, StartError, TokenError
from sidecar.options import OPTIONS, Option
from sidecar.profiles_file import read_profiles

__all__ = ("main",)

PROGRAM = "aws-oidc-sidecar"
EXIT_GOOD, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_REFUSED, EXIT_ISSUER, EXIT_BUG = 0, 2, 3, 4, 5, 70
# What one exchange is decided by; the rest of the options is the daemon's.
_DIRECT_OPTIONS = tuple(option for option in OPTIONS if option.name in {
    "role-arn", "profiles-file", "token-file", "role-session-name", "cluster", "duration", "region", "sts-endpoint",
    "allow-http-sts", "fips", "dual-stack",
})  # fmt: skip
_DIRECT_EXITS = {
    Outcome.UNREACHABLE: EXIT_UNREACHABLE,
    Outcome.TIMEOUT: EXIT_UNREACHABLE,
    Outcome.BAD_ANSWER: EXIT_UNREACHABLE,
    Outcome.INVALID_IDENTITY_TOKEN: EXIT_ISSUER,
    Outcome.ISSUER_UNREACHABLE: EXIT_ISSUER,
    Outcome.WORKER_FAILED: EXIT_BUG,
}


class _Tool(Protocol):
    """A command that is no part of the flow, imported only when it is asked for."""

    def run(self, given: argparse.Namespace, environment: Mapping[str, str], out: TextIO, err: TextIO) -> int:
        """Do it, and return the exit code."""
        ...


class _Row(NamedTuple):
    module: str
    help: str
    description: str


_TOOLS: Final = {
    "env": _Row(
        "sidecar.env_command",
        "print the variables that an application needs, and warn of those in its way",
        "Prints what an application container needs, and warns of everything in the environment here that would win "
        'over it or leak. For a shell: eval "$(aws-oidc-sidecar env)". Exit codes: 0 printed, 1 a warning with '
        "--strict, 2 usage.",
    ),
    "doctor": _Row(
        "sidecar.doctor.command",
        "walk the whole chain from the application to AWS, and name the link that is broken",
        "Looks at every link from the application's environment to AWS, and stops nowhere. Works in the sidecar, in an "
        "application's container, in a Job and on a laptop; with rights to read IAM its word on a refusal is exact. "
        "Prints nothing secret. Exit codes: 0 the chain holds, 1 a link here is broken, 2 configuration, 3 something "
        "cannot be reached, 4 AWS refuses, 5 the issuer, its keys or its certificate do not fit.",
    ),
    "bootstrap": _Row(
        "sidecar.bootstrap_command",
        "set up what the exchange needs: in IAM the OIDC provider and roles, in the cluster access to its public keys",
        "Sets up what the exchange needs, and mends it; may be repeated as often as one likes.",
    ),
    "publish-issuer": _Row(
        "sidecar.publish_command",
        "write the issuer's documents for a web server that AWS can reach, or compare them",
        "For an issuer that AWS cannot reach: writes its discovery document and key set for any web server or bucket. "
        "Exit codes: 0 good, 2 usage, 3 cannot reach, 5 the documents do not fit, 6 rights missing, 7 drift.",
    ),
}


def main(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: without the program's name.
        environment: that of the process unless given.

    Raises:
        SystemExit: by argparse, for ``--help``, ``--version`` (0) and wrong usage (2).
    """
    given = _parser(arguments[:1]).parse_args(arguments)
    environment = os.environ if environment is None else environment
    flags = {option.name: getattr(given, option.name.replace("-", "_"), None) for option in OPTIONS}

    def load() -> Settings:
        return resolve(flags, environment, read_profiles)

    try:
        if given.command in _TOOLS:
            tool: _Tool = importlib.import_module(_TOOLS[given.command].module)
            return tool.run(given, environment, sys.stdout, sys.stderr)
        if given.command == "credential-process":
            return _exchange_once(load(), given.profile, environment)
        settings = load()
        if given.check_config:
            _show(settings)
            return EXIT_GOOD
        return _run(settings, load, environment)
    except (SettingsError, StartError, TokenError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return EXIT_USAGE


def _parser(command: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM, description="AWS credentials for a Kubernetes pod from its own ServiceAccount token."
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    run = commands.add_parser(
        "run",
        help="watch the token, keep credentials fresh, serve them on loopback",
        description="Watches the projected token, exchanges it at STS, and serves credentials on 127.0.0.1. "
        "A flag wins over AWS_OIDC_SIDECAR_*, which wins over the variables of IRSA.",
    )
    run.add_argument("--check-config", action="store_true", help="print the settings and where each is from, and exit")
    _add_options(run, OPTIONS)
    for name, row in _TOOLS.items():
        tool = commands.add_parser(name, help=row.help, description=row.description)
        if list(command) == [name]:
            # A daemon would keep in its memory for weeks what was imported for a command that is not asked for.
            importlib.import_module(row.module).add_options(tool)
    # For --help only: ``__main__`` takes this command before anything is imported.
    commands.add_parser("check", help="ask the daemon beside us whether it holds credentials; for exec probes")
    # Without --direct, ``__main__`` takes this one too.
    direct = commands.add_parser(
        "credential-process",
        help="print credentials as an AWS credential_process does; with --direct without a daemon",
        description="With --direct: exchanges the token here and prints the credentials, for a laptop or a CI runner "
        "with a token file. Each call is a call of STS. Exit codes: 2 usage, configuration or token file, 3 STS cannot "
        "be reached, 4 AWS refuses, 5 the issuer or its keys do not fit.",
    )
    direct.add_argument(
        "--direct", action="store_true", required=True, help="exchange here; without it a daemon is asked"
    )
    direct.add_argument(
        "--profile", metavar="NAME", default="", help="whose credentials (default: default, or the only one)"
    )
    _add_options(direct, _DIRECT_OPTIONS)
    return parser


def _add_options(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    for option in options:
        default = "" if not option.default else f" (default {option.default})"
        variables = ", ".join((option.variable, *option.others))
        parser.add_argument(f"--{option.name}", metavar="VALUE", help=f"{option.help}{default} [{variables}]")


def _show(settings: Settings) -> None:
    """Print what the daemon would run by; there is no secret among the settings, and a URL with one is refused."""
    width = max(len(name) for name, _, _ in settings.shown)
    for name, text, source in settings.shown:
        print(f"{name:<{width}}  {text or '(empty)'}  [{source}]")
    for profile in settings.profiles if settings.profiles_file else ():
        chained = f", by the set of {profile.source}" if profile.source else ""
        print(f"profile {profile.name}: {profile.role_arn}{chained}{'' if profile.served else ', not served'}")
    for warning in settings.warnings:
        print(f"warning: {warning}")


def _exchange_once(settings: Settings, profile: str, environment: Mapping[str, str]) -> int:
    import asyncio  # noqa: PLC0415 - as in _run

    from sidecar.clock import SystemClock  # noqa: PLC0415
    from sidecar.direct import exchange_once  # noqa: PLC0415
    from sidecar.endpoint.wire import BodyError, process_body  # noqa: PLC0415
    from sidecar.model import Credentials  # noqa: PLC0415

    result = asyncio.run(exchange_once(settings, profile, environment, SystemClock()))
    if isinstance(result, Credentials):
        try:
            sys.stdout.write(process_body(result).decode())
        except BodyError as error:
            print(f"{PROGRAM}: {error}", file=sys.stderr)
            return EXIT_UNREACHABLE
        return EXIT_GOOD
    code = f" ({result.code})" if result.code else ""
    print(f"{PROGRAM}: {result.outcome}{code}: {result.hint}", file=sys.stderr)
    return _DIRECT_EXITS.get(result.outcome, EXIT_REFUSED)


def _run(settings: Settings, load: Callable[[], Settings], environment: Mapping[str, str]) -> int:
    # Imported here: --help and --check-config need neither asyncio nor the packages.
    import asyncio  # noqa: PLC0415

    from sidecar.clock import SystemClock  # noqa: PLC0415
    from sidecar.daemon import Daemon  # noqa: PLC0415
    from sidecar.limits import DRAIN_SECONDS  # noqa: PLC0415
    from sidecar.log import Event, LineThread, make_logger  # noqa: PLC0415

    clock = SystemClock()
    lines = LineThread(sys.stderr, clock)
    logger = make_logger(settings.log_level, clock, lines)

    async def run() -> int:
        return await Daemon(settings, load, environment, clock, logger).run()

    status = EXIT_BUG
    try:
        status = asyncio.run(run())
    except StartError:
        status = EXIT_USAGE
        raise
    # A bug. Its text could quote anything, so the class and the place are all that is told.
    except Exception as error:  # noqa: BLE001
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
        logger.error(Event.CRASHED, error_type=type(error).__name__, where=place)  # noqa: TRY400 - as above
    finally:
        if not lines.stop(DRAIN_SECONDS):
            # Nobody reads our log. The interpreter's own end would wait for that stream for ever.
            os._exit(status)
    return status
