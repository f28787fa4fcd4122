"""The requirements on the machine: root, Go, util-linux, and Debian packages, which are installed."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

__all__ = ("Unfit", "check_go", "check_machine", "check_root", "install_packages")

_USAGE, _RIGHTS = 2, 6  # exit codes of the project's table

# {package: a file of it}
_PACKAGES = {
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iproute2": "/usr/sbin/ip",
    "iptables": "/usr/sbin/iptables",
}


class Unfit(Exception):  # noqa: N818 - a state of the machine
    """The machine cannot run the cluster; the text is one line with the reason, `status` the exit code."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def check_root() -> None:
    """Raise `Unfit` if the user is not root: the cluster needs namespaces, mounts and control groups."""
    if os.geteuid():
        raise Unfit(_RIGHTS, "the cluster needs root, for namespaces, mounts and control groups; run it as root")


def check_machine() -> None:
    """Raise `Unfit` if a requirement is missing that `install_packages` does not install."""
    check_root()
    for program in ("unshare", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            raise Unfit(_USAGE, f"there is no `{program}` on PATH; install util-linux")


def check_go() -> None:
    """Raise `Unfit` if there is no Go; it is needed only for programs that are not in the cache."""
    if shutil.which("go") is None:
        raise Unfit(
            _USAGE, "there is no `go` on PATH, and the cluster is built from Go modules; install Go 1.26 or newer"
        )


def install_packages(report: Callable[[str], None]) -> None:
    """Install the missing Debian packages, and report them.

    Raises:
        Unfit: there is no apt-get.
        subprocess.CalledProcessError: apt-get failed; its output was printed.
    """
    missing = [package for package, file in _PACKAGES.items() if not Path(file).exists()]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Unfit(_USAGE, f"{' '.join(missing)} is missing, and there is no apt-get; install it yourself")
    report(f"installing Debian packages {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", *missing)):
        subprocess.run(["apt-get", *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
