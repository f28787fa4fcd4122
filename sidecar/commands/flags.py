"""Functions for flags that several commands have."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sidecar.errors import InvalidValueError, SettingsError
from sidecar.https.connect_to import ConnectTo, parse_connect_to

__all__ = (
    "add_connect_to",
    "connect_to",
    "current_directory",
    "parsed",
)

_Parsed = TypeVar("_Parsed")


def parsed(parse_one: Callable[[str], _Parsed], text: str, where: str) -> _Parsed:
    """Return the parsed value of a text.

    Args:
        parse_one: returns the value; raises InvalidValueError.
        text: the text to parse.
        where: the flag or variable that has this text.

    Raises:
        SettingsError: the text is not valid.
    """
    try:
        return parse_one(text)
    except InvalidValueError as error:
        raise SettingsError(where, error.what, error.fix) from None


def add_connect_to(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the flag ``--connect-to`` to a parser."""
    parser.add_argument(
        "--connect-to",
        metavar="HOST:PORT:ADDRESS:PORT",
        action="append",
        default=[],
        help="connect to ADDRESS:PORT instead of HOST:PORT, for issuers and AWS endpoints, as in curl; repeatable",
    )


def connect_to(given: argparse.Namespace) -> ConnectTo:
    """Return the address for each host and port of ``--connect-to``.

    Raises:
        SettingsError: a value is not HOST:PORT:ADDRESS:PORT.
    """
    return dict(parsed(parse_connect_to, text, "--connect-to") for text in given.connect_to)


def current_directory() -> Path:
    """Return the current directory; if it was deleted the empty path, which has the same effect."""
    try:
        return Path.cwd()
    except OSError:
        return Path()
