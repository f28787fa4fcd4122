"""A real one-node Kubernetes on this machine: ``python -m tests.cluster up``.

Environment: KUBE_VERSION (1.36.3; 1.29 to 1.36), KUBELET_SYNC_FREQUENCY (10s), AWS_OIDC_SIDECAR_CLUSTERS (the
directory of the state directories, /var/tmp/aws-oidc-sidecar-cluster), XDG_CACHE_HOME (where binaries are kept).
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.boot import down, up
from tests.cluster.build import build
from tests.cluster.cluster import Cluster
from tests.cluster.system import Unfit, check_machine, check_root
from tests.cluster.versions import chosen

__all__ = ("main",)

_FAILED, _USAGE = 1, 2


def main(arguments: Sequence[str]) -> int:
    """Run the command, and return the exit status: 0 success, 1 failure, 2 usage error, 6 missing rights."""
    options = _parser().parse_args(arguments)
    try:
        return _do(options)
    except Unfit as unfit:
        sys.stderr.write(f"{unfit}\n")
        return unfit.status
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return _FAILED


def _do(options: argparse.Namespace) -> int:
    if options.command == "up":
        up(options.name, parent=options.with_parent)
        return 0
    if options.command == "down":
        down(options.name)
        return 0
    if options.command == "build":
        check_machine()
        build(chosen(), _print)
        return 0
    check_root()
    cluster = Cluster.running(options.name)
    if cluster is None:
        sys.stderr.write(f"cluster {options.name} does not run; start it with `python -m tests.cluster up`\n")
        return _FAILED
    if options.command == "load":
        cluster.load(*options.archives)
    elif options.command == "status":
        _show(cluster)
    else:
        command = cluster.in_network([options.command, *options.arguments])
        os.execvpe(command[0], command, cluster.environment())
    return 0


def _show(cluster: Cluster) -> None:
    _print(f"cluster {cluster.layout.name}: Kubernetes {cluster.kubernetes.text}, state in {cluster.layout.root}")
    status = cluster.status()
    for service in sorted(status["running"]):
        _print(f"  {service} runs; log {cluster.log(service)}")
    for service, code in sorted(status["ended"].items()):
        _print(f"  {service} has ended with status {os.waitstatus_to_exitcode(code)}; log {cluster.log(service)}")
    _print(cluster.kubectl("get", "nodes").rstrip())


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", default="main", help="name of the cluster; several can run at once (default main)")
    commands = parser.add_subparsers(dest="command", required=True)
    starts = commands.add_parser("up", help="start the cluster, if it does not run")
    starts.add_argument("--with-parent", type=int, metavar="PID", help="end the cluster when this process ends")
    commands.add_parser("down", help="end the cluster, and remove its files and groups")
    commands.add_parser("build", help="build or download the programs, without starting a cluster")
    commands.add_parser("status", help="print the services and nodes")
    commands.add_parser("load", help="import images from archives").add_argument("archives", nargs="+", type=Path)
    for name in ("kubectl", "helm"):
        passed = commands.add_parser(name, help=f"run {name} as the administrator", add_help=False)
        passed.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
