"""A Debian base image made on this machine, for where no registry is in reach.

debootstrap makes it from the mirror that this machine's own apt uses, and with apt's own settings. Both are looked up
when it is made and go into the build stage alone, of which the image keeps nothing.
"""

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

__all__ = ("BaseError", "make_base")

_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aws-oidc-sidecar"
_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
# How to reach a mirror, and whether its dates are believed: a mirror may be a snapshot.
_APT_SETTING: Final = re.compile(r"Acquire::(http|https|Check-Date|Check-Valid-Until|Retries)\b.*")


class BaseError(Exception):
    """The text says what is missing on this machine."""


def make_base(suite: str, architecture: str) -> Path:
    """Return an archive of a minimal Debian, made or made before for this state of the mirror. Needs root.

    Args:
        suite: such as trixie.
        architecture: another than this machine's needs an emulator that the kernel knows.

    Raises:
        BaseError: no root, no debootstrap, no Debian mirror, or the mirror has no such suite.
    """
    mirrors = _mirrors()
    with tempfile.TemporaryDirectory(prefix="aws-oidc-sidecar-base-") as scratch:
        release = Path(scratch, "InRelease")
        # apt's own way of fetching, so that its proxy and certificates count.
        _run("/usr/lib/apt/apt-helper", "download-file", f"{mirrors['Debian']}dists/{suite}/InRelease", str(release))
        digest = hashlib.sha256(release.read_bytes()).hexdigest()[:12]
        archive = _CACHE / f"debian-{suite}-{architecture}-{digest}.tar"
        if not archive.exists():
            root = Path(scratch, "root")
            options = ("--variant=minbase", f"--keyring={_KEYRING}", f"--arch={architecture}")
            _run("debootstrap", *options, suite, str(root), mirrors["Debian"])
            _configure_apt(root, suite, mirrors)
            _CACHE.mkdir(parents=True, exist_ok=True)
            partial = archive.with_suffix(".partial")
            _run("tar", "--numeric-owner", "-C", str(root), "--exclude=./var/cache/apt/*", "-cf", str(partial), ".")
            partial.rename(archive)
    return archive


def _mirrors() -> dict[str, str]:
    """Return by label, Debian and Debian-Security, where apt finds them."""
    lines = _run("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages").splitlines()
    mirrors = dict(reversed([line.split() for line in lines if line.startswith("Debian")]))
    if "Debian" not in mirrors:
        raise BaseError("apt of this machine knows no Debian mirror; run apt-get update, or give --base an image")
    return mirrors


def _configure_apt(root: Path, suite: str, mirrors: dict[str, str]) -> None:
    pools = [(mirrors["Debian"], f"{suite} {suite}-updates")]
    if "Debian-Security" in mirrors:
        pools.append((mirrors["Debian-Security"], f"{suite}-security"))
    sources = [
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {_KEYRING}\n" for uri, suites in pools
    ]
    (root / "etc/apt/sources.list").unlink(missing_ok=True)
    (root / "etc/apt/sources.list.d/debian.sources").write_text("\n".join(sources))
    settings = [line for line in _run("apt-config", "dump").splitlines() if _APT_SETTING.fullmatch(line)]
    (root / "etc/apt/apt.conf.d/90build-machine").write_text("".join(f"{line}\n" for line in settings))


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise BaseError(f"no {command[0]} on this machine; apt-get install debootstrap") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().rpartition("\n")[2]
        raise BaseError(f"{command[0]} failed: {last}") from None
