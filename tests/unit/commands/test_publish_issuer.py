"""``aws-oidc-sidecar publish-issuer``: its page and its help match its options."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from sidecar.commands.publish_issuer import add_options
from sidecar.issuer.publish import KEEP_SECONDS

PAGE = (Path(__file__).parents[3] / "docs" / "issuers.md").read_text()
COMMANDS = [
    found.replace("\\\n", " ").removesuffix("`")
    for found in re.findall(r"aws-oidc-sidecar publish-issuer (-(?:\\\n|[^\n`])*)", PAGE)
]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_options(made)
    return made


def test_the_page_shows_the_command() -> None:
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_the_page_is_valid(command: str) -> None:
    parser().parse_args(shlex.split(command))


def test_the_help_and_the_page_have_the_same_default_of_keep() -> None:
    assert f"(default: {KEEP_SECONDS}, enough for" in " ".join(parser().format_help().split())
    assert f"keeps a key for {KEEP_SECONDS // 3600} hours" in PAGE


def test_every_option_has_help() -> None:
    assert all(action.help for action in parser()._actions)
