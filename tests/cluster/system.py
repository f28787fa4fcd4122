"""What the machine has to bring along: root, Go, util-linux, and Debian packages, which are installed."""

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
    """This machine cannot run the cluster; the text is one line with the reason, `status` the exit code."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def check_root() -> None:
    """Raise `Unfit` unless this is root: namespaces, mounts and control groups are needed."""
    if os.geteuid():
        raise Unfit(_RIGHTS, "the cluster needs root: it makes namespaces, mounts and control groups")


def check_machine() -> None:
    """Raise `Unfit` where something lacks that is not installed by itself."""
    check_root()
    for program in ("unshare", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            raise Unfit(_USAGE, f"there is no `{program}` on PATH: it is part of util-linux")


def check_go() -> None:
    """Raise `Unfit` where there is no Go; it is needed only until everything has been built."""
    if shutil.which("go") is None:
        raise Unfit(_USAGE, "the cluster is built from Go modules: there is no `go` on PATH (1.26 or newer)")


def install_packages(report: Callable[[str], None]) -> None:
    """Install the Debian packages that lack, and say so.

    Raises:
        Unfit: this is no Debian.
        subprocess.CalledProcessError: apt-get failed; its output has been shown.
    """
    missing = [package for package, file in _PACKAGES.items() if not Path(file).exists()]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Unfit(_USAGE, f"there is no apt-get to install {' '.join(missing)} with")
    report(f"installing Debian packages {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", *missing)):
        subprocess.run(["apt-get", *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
