"""``aws-oidc-sidecar bootstrap``: the commands ``aws`` and ``cluster``, which set up AWS and the cluster."""

import argparse
from collections.abc import Mapping
from typing import TextIO

from sidecar.commands import bootstrap_aws as aws, bootstrap_cluster as cluster

__all__ = ("add_options", "run")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add both commands and their options to the parser of ``bootstrap``."""
    commands = aws.add_options(parser)
    text = "check the cluster from inside, and with --mode apply let AWS read the issuer's documents"
    cluster.add_options(commands.add_parser("cluster", help=text, description=cluster.DESCRIPTION))


def run(given: argparse.Namespace, environment: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    """Run the selected command, and return its exit code.

    Args:
        given: the parsed arguments of a parser with ``add_options``.
        environment: the environment variables of the process.
        out: receives the result.
        err: receives warnings.

    Raises:
        CommandError: AWS, the issuer or the API server prevents the command from completing.
        SettingsError: an option is not valid, or a file that it names cannot be read.
    """
    run_it = cluster.run if given.bootstrap == "cluster" else aws.run
    return run_it(given, environment, out, err)
