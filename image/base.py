"""Makes a Debian base image on this machine, for a build without a registry.

debootstrap makes it from the mirror and with the settings of this machine's apt. Both are read when the base is made
and are only in the build stage, of which the image keeps nothing.
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
# How apt reaches a mirror, and whether it checks its dates: a mirror can be a snapshot.
_APT_SETTING: Final = re.compile(r"Acquire::(http|https|Check-Date|Check-Valid-Until|Retries)\b.*")


class BaseError(Exception):
    """No base can be made on this machine; the text says what is missing and how to fix it."""


def make_base(suite: str, architecture: str) -> Path:
    """Return an archive of a minimal Debian, from the cache if it has this state of the mirror. Needs root.

    Args:
        suite: such as trixie.
        architecture: one that differs from this machine's needs an emulator that is registered in the kernel.

    Raises:
        BaseError: no root, no debootstrap, no Debian mirror, or the mirror does not have the suite.
    """
    mirrors = _mirrors()
    with tempfile.TemporaryDirectory(prefix="aws-oidc-sidecar-base-") as scratch:
        release = Path(scratch, "InRelease")
        # Fetched by apt's helper, which uses apt's proxy and certificates.
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
    """Return the URLs of apt's mirrors by label, Debian and Debian-Security."""
    lines = _run("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages").splitlines()
    mirrors = dict(reversed([line.split() for line in lines if line.startswith("Debian")]))
    if "Debian" not in mirrors:
        raise BaseError("apt of this machine has no Debian mirror; run apt-get update, or set --base to an image")
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
        raise BaseError(f"{command[0]}: is not installed; run apt-get install debootstrap") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().rpartition("\n")[2]
        raise BaseError(f"{command[0]} failed: {last}") from None
