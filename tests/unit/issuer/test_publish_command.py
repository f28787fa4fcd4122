"""``aws-oidc-sidecar publish-issuer``: its page and its help say what it takes."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from sidecar.issuer.publish import KEEP_SECONDS
from sidecar.publish_command import add_options

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
def test_each_command_of_the_page_is_taken(command: str) -> None:
    parser().parse_args(shlex.split(command))


def test_the_help_tells_the_time_that_keys_are_kept_and_the_page_the_same() -> None:
    assert f"(default: {KEEP_SECONDS}, for" in " ".join(parser().format_help().split())
    assert f"keeps a key for {KEEP_SECONDS // 3600} hours" in PAGE


def test_every_option_has_help() -> None:
    assert all(action.help for action in parser()._actions)
