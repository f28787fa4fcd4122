"""``aws-oidc-sidecar bootstrap``: its two commands, AWS's half of the set-up and the cluster's."""

import argparse
from collections.abc import Mapping
from typing import TextIO

from sidecar.bootstrap import command as aws
from sidecar.bootstrap_cluster import command as cluster

__all__ = ("add_options", "run")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser of ``bootstrap`` its commands, and these their options."""
    commands = aws.add_options(parser)
    text = "look at the cluster's half from inside, and with --mode apply open discovery to AWS"
    cluster.add_options(commands.add_parser("cluster", help=text, description=cluster.DESCRIPTION))


def run(given: argparse.Namespace, environment: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    """Run the command that was asked for, and return its exit code.

    Args:
        given: what a parser with ``add_options`` made.
        environment: of the process.
        out: gets the outcome.
        err: gets warnings, and why it ended early.

    Raises:
        SettingsError: an option cannot be used, or a file that it names cannot be read.
    """
    run_it = cluster.run if given.bootstrap == "cluster" else aws.run
    return run_it(given, environment, out, err)
