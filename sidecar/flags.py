"""What several commands do with their flags."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sidecar.connect_to import ConnectTo, parse
from sidecar.errors import SettingsError

__all__ = ("add_connect_to", "connect_to", "parsed", "read_text")

_Parsed = TypeVar("_Parsed")


def parsed(parse_one: Callable[[str], _Parsed], text: str, where: str) -> _Parsed:
    """Return the value of a text.

    Args:
        parse_one: raises ValueError("what; fix").
        text: what was given.
        where: by which flag or variable.

    Raises:
        SettingsError: it cannot be used.
    """
    try:
        return parse_one(text)
    except ValueError as error:
        what, _, fix = str(error).partition("; ")
        raise SettingsError(where, what, fix) from None


def add_connect_to(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Give a parser the flag ``--connect-to``."""
    parser.add_argument(
        "--connect-to",
        metavar="HOST:PORT:ADDRESS:PORT",
        action="append",
        default=[],
        help="reach HOST:PORT at ADDRESS:PORT, as curl does, issuers and AWS endpoints alike; may be repeated",
    )


def connect_to(given: argparse.Namespace) -> ConnectTo:
    """Return what ``--connect-to`` says, all together.

    Raises:
        SettingsError: one of them says nothing.
    """
    return dict(parsed(parse, text, "--connect-to") for text in given.connect_to)


def read_text(path: Path, most_bytes: int, fix: str) -> str:
    """Return the text of a file that a flag names.

    Raises:
        SettingsError: it cannot be read, is too large, or is not UTF-8; `fix` says what to do.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise SettingsError(str(path), f"cannot be read ({error.strerror})", fix) from None
    except UnicodeDecodeError:
        raise SettingsError(str(path), "is not UTF-8 text", fix) from None
    if len(content) > most_bytes:
        raise SettingsError(str(path), f"is over {most_bytes} bytes", fix)
    return text
