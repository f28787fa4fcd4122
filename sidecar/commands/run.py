"""``aws-oidc-sidecar run``: runs the daemon, or prints its settings."""

import argparse
import os
from collections.abc import Callable, Mapping
from typing import TextIO

from sidecar.commands.options import add_settings, load
from sidecar.errors import StartError
from sidecar.exits import Exit
from sidecar.settings.options import OPTIONS
from sidecar.settings.resolve import Settings

__all__ = ("add_options", "run")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``run`` to the parser: ``--check-config`` and the settings."""
    parser.add_argument("--check-config", action="store_true", help="print each setting with its source, and exit")
    add_settings(parser, OPTIONS)


def run(given: argparse.Namespace, environment: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    """Run the daemon until a signal ends it, and return its exit code.

    Args:
        given: the arguments, from a parser with ``add_options``.
        environment: of the process.
        out: receives the settings, with ``--check-config``.
        err: receives the log.

    Raises:
        SettingsError: a setting is invalid.
        StartError: a port is in use, or a directory is missing.
    """
    settings = load(given, environment)
    if given.check_config:
        _show(settings, out)
        return Exit.GOOD
    return _serve(lambda: load(given, environment), environment, settings, err)


def _show(settings: Settings, out: TextIO) -> None:
    """Print the settings of the daemon. No setting is a secret, and a URL with a password is rejected."""
    width = max(len(name) for name, _, _ in settings.shown)
    for name, text, source in settings.shown:
        print(f"{name:<{width}}  {text or '(empty)'}  [{source}]", file=out)
    for profile in settings.profiles if settings.profiles_file else ():
        source = f", source_profile {profile.source}" if profile.source else ""
        print(f"profile {profile.name}: {profile.role_arn}{source}{'' if profile.served else ', not served'}", file=out)
    for warning in settings.warnings:
        print(f"warning: {warning}", file=out)


def _serve(reload: Callable[[], Settings], environment: Mapping[str, str], settings: Settings, err: TextIO) -> int:
    # Imported here: --help and --check-config do not need asyncio and the packages.
    import asyncio  # noqa: PLC0415

    from sidecar.clock import SystemClock  # noqa: PLC0415
    from sidecar.daemon import Daemon  # noqa: PLC0415
    from sidecar.limits import DRAIN_SECONDS  # noqa: PLC0415
    from sidecar.telemetry.log import LineThread, LogEvent, make_logger  # noqa: PLC0415

    clock = SystemClock()
    lines = LineThread(err, clock)
    logger = make_logger(settings.log_level, clock, lines)

    async def run() -> int:
        return await Daemon(settings, reload, environment, clock, logger).run()

    status: int = Exit.BUG
    try:
        status = asyncio.run(run())
    except StartError:
        status = Exit.USAGE
        raise
    # A bug. The text of the exception could quote a secret: the log gets only the class and the place.
    except Exception as error:  # noqa: BLE001
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
        logger.error(LogEvent.CRASHED, error_type=type(error).__name__, where=place)  # noqa: TRY400 - as above
    finally:
        if not lines.stop(DRAIN_SECONDS):
            # Nothing reads the log. At its end the interpreter would wait for that stream for ever.
            os._exit(status)
    return status
