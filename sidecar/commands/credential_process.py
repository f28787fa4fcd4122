"""``aws-oidc-sidecar credential-process --direct``: exchanges the token without a daemon.

For a laptop or a CI runner that has a token file. It does not retry and it saves nothing: the program that calls a
``credential_process`` calls it again. Without ``--direct`` the command is ``shim``.
"""

import argparse
import asyncio
from collections.abc import Mapping
from typing import TextIO

from sidecar.clock import Clock, SystemClock
from sidecar.commands.flags import current_directory
from sidecar.commands.options import add_settings, load
from sidecar.credentials.bodies import BodyError, process_body
from sidecar.errors import CommandError, Failure, Outcome, TokenError, TokenProblem
from sidecar.exchange.client import ExchangeClient
from sidecar.exits import Exit
from sidecar.model import AssumeRoleRequest, Credentials
from sidecar.settings.options import OPTIONS
from sidecar.settings.profiles import role_chain
from sidecar.settings.resolve import Settings
from sidecar.tokens import jwt
from sidecar.tokens.watch import read_token_file

__all__ = ("add_options", "exchange_once", "run")

# The settings that an exchange uses; the daemon uses the others.
_OPTIONS = tuple(option for option in OPTIONS if option.name in {
    "role-arn", "profiles-file", "token-file", "role-session-name", "cluster", "duration", "region", "sts-endpoint",
    "allow-http-sts", "fips", "dual-stack",
})  # fmt: skip
_EXITS = {
    Outcome.UNREACHABLE: Exit.UNREACHABLE,
    Outcome.TIMEOUT: Exit.UNREACHABLE,
    Outcome.INVALID_RESPONSE: Exit.UNREACHABLE,
    Outcome.INVALID_IDENTITY_TOKEN: Exit.ISSUER,
    Outcome.ISSUER_UNREACHABLE: Exit.ISSUER,
    Outcome.WORKER_FAILED: Exit.BUG,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``credential-process`` to the parser."""
    parser.add_argument(
        "--direct",
        action="store_true",
        required=True,
        help="exchange the token in this process; without it, get the credentials from the daemon",
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        default="",
        help="profile whose credentials are printed (default: `default`, or the one profile in the file)",
    )
    add_settings(parser, _OPTIONS)


def run(
    given: argparse.Namespace,
    environment: Mapping[str, str],
    out: TextIO,
    err: TextIO,  # noqa: ARG001 - every command has it
) -> int:
    """Exchange the token, print the credentials, and return 0.

    Args:
        given: the arguments, from a parser with ``add_options``.
        environment: of the process.
        out: receives the credentials.
        err: unused.

    Raises:
        CommandError: AWS denies the request, STS or the issuer cannot be reached, or no client accepts the result.
        SettingsError: a setting is invalid, or there is no such profile.
        TokenError: the file has no valid token.
    """
    settings = load(given, environment, current_directory())
    result = asyncio.run(exchange_once(settings, given.profile, environment, SystemClock()))
    if isinstance(result, Credentials):
        try:
            out.write(process_body(result).decode())
        except BodyError as error:
            raise CommandError(str(error), Exit.UNREACHABLE) from None
        return Exit.GOOD
    code = f" ({result.code})" if result.code else ""
    raise CommandError(f"{result.outcome}{code}: {result.hint}", _EXITS.get(result.outcome, Exit.REFUSED))


async def exchange_once(
    settings: Settings, name: str, environment: Mapping[str, str], clock: Clock
) -> Credentials | Failure:
    """Exchange the token for the credentials of one profile, through the roles of its chain.

    Args:
        settings: the token file and the profiles.
        name: the profile; "" means ``default``, or the one profile of the file.
        environment: of the process; the exchange uses its network settings.
        clock: for the expiration of the token.

    Raises:
        SettingsError: there is no such profile.
        TokenError: the file has no valid token.
    """
    profiles = role_chain(settings.profiles, name)
    token = jwt.parse_token(read_token_file(settings.token_file))
    if token.expires_at <= clock.now().wall:
        raise TokenError(TokenProblem.EXPIRED)
    held: Credentials | None = None
    async with ExchangeClient(clock, environment, settings.cluster).open() as exchange:
        for profile in profiles:
            [(_, outcome)] = [result async for result in exchange([AssumeRoleRequest(profile, token, held)])]
            if isinstance(outcome, Failure):
                return outcome
            held = outcome.credentials
    if held is None:
        raise RuntimeError("a bug: the role chain of a profile is empty")
    return held
