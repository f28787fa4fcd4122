"""Images for pods: an application that holds no code of ours, and the one that ships."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from image.base import make_base
from tests.cluster.build import CACHE, Report, kept

__all__ = ("APPLICATION_IMAGE", "SIDECAR_IMAGE", "application_archive", "sidecar_archive")

APPLICATION_IMAGE = "localhost/aws-cli:1"
SIDECAR_IMAGE = "localhost/aws-oidc-sidecar"
_DOCKERFILE = Path(__file__).parent / "config" / "application.Dockerfile"


def application_archive(report: Report) -> Path:
    """Return the archive of ``APPLICATION_IMAGE``, made where it is not there yet; Debian's own AWS CLI and boto3.

    Raises:
        BaseError: there is no root, no debootstrap or no Debian mirror.
        subprocess.CalledProcessError: the build failed; its output has been shown.
    """
    base = make_base("trixie", "amd64")
    digest = hashlib.sha256(_DOCKERFILE.read_bytes() + base.name.encode() + APPLICATION_IMAGE.encode()).hexdigest()[:12]

    def make(to: Path, work: Path) -> None:
        (work / base.name).hardlink_to(base)
        (work / "Dockerfile").write_bytes(_DOCKERFILE.read_bytes())
        options = ["--isolation=chroot", "--network=host", "--squash", f"--build-arg=BASE={base.name}"]
        subprocess.run(["buildah", "bud", "--quiet", *options, "-t", APPLICATION_IMAGE, str(work)], check=True)
        target = f"docker-archive:{to / 'application.tar'}:{APPLICATION_IMAGE}"
        subprocess.run(["buildah", "push", "--quiet", APPLICATION_IMAGE, target], check=True)
        subprocess.run(["buildah", "rmi", APPLICATION_IMAGE], check=True, capture_output=True)

    return kept(CACHE / f"application-{digest}", report, make) / "application.tar"


def sidecar_archive(report: Report) -> Path:
    """Return the archive of the image that ships, built from this checkout; where nothing changed, from its cache.

    Raises:
        RuntimeError: the build failed; its output has been shown.
    """
    output = CACHE / "sidecar.tar"
    report("building the sidecar's image")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".sidecar.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another run may be loading the archive that is there: it is replaced, and never written to.
        new = CACHE / f".sidecar-{os.getpid()}.tar"
        build = [sys.executable, "-m", "image.build", "--tool=buildah", "--debootstrap", f"--output={new}"]
        done = subprocess.run(build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            sys.stderr.write(done.stdout)
            raise RuntimeError("the image was not built")
        new.replace(output)
    return output
