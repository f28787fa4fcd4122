"""Images for pods: an application image without code of this project, and the sidecar's image."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from image.base import make_base
from tests.cluster.build import CACHE, Report, cached

__all__ = ("APPLICATION_IMAGE", "SIDECAR_IMAGE", "application_archive", "sidecar_archive")

APPLICATION_IMAGE = "localhost/aws-cli:1"
SIDECAR_IMAGE = "localhost/aws-oidc-sidecar"
_DOCKERFILE = Path(__file__).parent / "config" / "application.Dockerfile"


def application_archive(report: Report) -> Path:
    """Return the archive of ``APPLICATION_IMAGE``, built if it is not in the cache; it has Debian's AWS CLI and boto3.

    Raises:
        BaseError: the user is not root, or there is no debootstrap or no Debian mirror.
        subprocess.CalledProcessError: the build failed; its output was printed.
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

    return cached(CACHE / f"application-{digest}", report, make) / "application.tar"


def sidecar_archive(report: Report) -> Path:
    """Return the archive of the sidecar's image, built from this checkout; unchanged layers come from the cache.

    If IMAGE_ARCHIVE is set, it is the returned path.

    Raises:
        RuntimeError: the build failed; its output was printed.
    """
    if "IMAGE_ARCHIVE" in os.environ:
        return Path(os.environ["IMAGE_ARCHIVE"])
    output = CACHE / "sidecar.tar"
    report("building the sidecar's image")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".sidecar.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another run may be loading the existing archive: it is replaced, and never written to.
        new = CACHE / f".sidecar-{os.getpid()}.tar"
        build = [sys.executable, "-m", "image.build", "--tool=buildah", "--debootstrap", f"--output={new}"]
        done = subprocess.run(build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            sys.stderr.write(done.stdout)
            raise RuntimeError("the build of the sidecar's image failed; see the output above")
        new.replace(output)
    return output
