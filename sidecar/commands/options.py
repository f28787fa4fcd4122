"""The settings as flags of a command."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from sidecar.settings.options import OPTIONS, Option
from sidecar.settings.read import read_profiles
from sidecar.settings.resolve import Settings, resolve

__all__ = ("add_settings", "load")


def add_settings(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    """Add a flag for each of these settings to a parser."""
    for option in options:
        default = "" if not option.default else f" (default: {option.default})"
        variables = ", ".join((option.variable, *option.others))
        parser.add_argument(f"--{option.name}", metavar="VALUE", help=f"{option.help}{default} [{variables}]")


def load(given: argparse.Namespace, environment: Mapping[str, str], directory: Path | None = None) -> Settings:
    """Return the settings that flags and variables give.

    Args:
        given: the parsed arguments; a setting without a flag comes from its environment variables.
        environment: of the process.
        directory: where relative paths start; None rejects them.

    Raises:
        SettingsError: a setting is invalid.
    """
    flags = {option.name: getattr(given, option.name.replace("-", "_"), None) for option in OPTIONS}
    return resolve(flags, environment, read_profiles, directory)
