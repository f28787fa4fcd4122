"""Builds the image with docker, podman or buildah, writes it to an archive, and prints the size of each part.

python3 -m image.build                 from debian:trixie-slim
python3 -m image.build --debootstrap   without a registry: the base comes from this machine's Debian mirror
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from image.archive import LAYERS, Archive, Size, measure
from image.base import BaseError, make_base

__all__ = ("default_output", "main", "report")

ROOT: Final = Path(__file__).parent.parent
NAME: Final = "localhost/aws-oidc-sidecar"
SUITE: Final = "trixie"
TOOLS: Final = ("docker", "podman", "buildah")
# The names of the kernel, and those of Debian and registries.
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
# The settings of pip that describe an index; its other settings describe this machine.
_PIP_KEYS: Final = frozenset({"index-url", "extra-index-url", "trusted-host", "proxy", "retries", "default-timeout"})
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build; return 0, 1 if the build fails, 2 for wrong usage or a missing tool."""
    given = _parser().parse_args(arguments)
    version = _version()
    output = given.output or default_output(given.arch)
    try:
        tool = given.tool or _find_tool()
        base = given.base
        if given.debootstrap:
            base = _import_base(tool, make_base(SUITE, given.arch), given.arch)
        _build(tool, f"{NAME}:{version}", version, base, given)
        _save(tool, f"{NAME}:{version}", output)
    except BaseError as error:
        print(f"image: {error}", file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        print(f"image: {error.filename}: is not on this machine; install it", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        fix = "" if given.debootstrap else "; if it cannot reach a registry, use --debootstrap"
        print(f"image: {error.cmd[0]} failed, see its output above{fix}", file=sys.stderr)
        return 1
    print(report(output))
    return 0


def default_output(arch: str = "") -> Path:
    """Return the default path of the archive; for this machine's architecture if ``arch`` is empty."""
    return ROOT / "dist" / f"aws-oidc-sidecar-{_version()}-{arch or _own_arch()}.tar"


def _own_arch() -> str:
    return ARCHITECTURES.get(platform.machine(), "amd64")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python3 -m image.build", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tool", choices=TOOLS, help="build tool (default: the first of these that works)")
    bases = parser.add_mutually_exclusive_group()
    bases.add_argument(
        "--base", metavar="IMAGE", help="base image of the build stage, such as debian:trixie-slim@sha256:..."
    )
    bases.add_argument(
        "--debootstrap", action="store_true", help=f"make the base image with debootstrap {SUITE}, and cache it"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="archive of the image (default: dist/...)")
    parser.add_argument(
        "--arch",
        choices=sorted(ARCHITECTURES.values()),
        default=_own_arch(),
        help="architecture; one other than this machine's needs qemu-user-static or docker (default: %(default)s)",
    )
    parser.add_argument("--no-cache", action="store_true", help="build every step again")
    return parser


def report(output: Path) -> str:
    """Return a table of the sizes in an image archive."""
    archive = Archive(output)
    layers = archive.layer_sizes()
    rows = [
        (f"{output.name}", Size(sum(size.packed for size in layers), sum(size.unpacked for size in layers))),
        *((f"  layer {name}", size) for name, size in zip(LAYERS, layers, strict=True)),
        *((f"  {name}", size) for name, size in measure(archive).items()),
    ]
    lines = [f"{'MB':<44}  packed  unpacked"]
    lines += [f"{name:<44} {size.packed / 1e6:7.2f}  {size.unpacked / 1e6:8.2f}" for name, size in rows]
    return "\n".join([*lines, *(f"{digest}  {name}" for name, digest in zip(LAYERS, archive.digests, strict=True))])


def _find_tool() -> str:
    for tool in TOOLS:
        # `info` also connects to the daemon of docker: a client alone cannot build.
        if shutil.which(tool) and subprocess.run([tool, "info"], check=False, capture_output=True).returncode == 0:
            return tool
    raise BaseError("neither docker, podman nor buildah works on this machine; run apt-get install buildah")


def _build(tool: str, name: str, version: str, base: str | None, given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="aws-oidc-sidecar-image-") as scratch:
        values = {"VERSION": version, "REVISION": _git("%H"), "CREATED": _created()}
        values |= {name: os.environ[name] for name in _PROXIES if name in os.environ}
        values |= {"BASE_IMAGE": base} if base else {}
        options = [f"--build-arg={key}={value}" for key, value in values.items()]
        options += [f"--secret=id={key},src={path}" for key, path in _secrets(Path(scratch)).items()]
        options += ["--no-cache"] if given.no_cache else []
        options.append(f"--platform=linux/{given.arch}")
        if tool != "docker":
            # The files have time 0 already; --timestamp is for the folders that COPY creates, and for the image.
            # chroot: the steps need no container, and some machines cannot run one.
            options += ["--timestamp=0", "--isolation=chroot", "--layers"]
        if tool == "buildah":
            # The label would be buildah's version, which is not part of the image.
            options += ["--identity-label=false"]
        environment = os.environ | {"SOURCE_DATE_EPOCH": "0", "DOCKER_BUILDKIT": "1"}
        command = [tool, "bud" if tool == "buildah" else "build", *options, "-t", name, str(ROOT)]
        subprocess.run(command, check=True, env=environment)


def _save(tool: str, name: str, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    # A tool adds to an existing archive, or fails.
    output.unlink(missing_ok=True)
    if tool == "buildah":
        command = ["buildah", "push", "--quiet", name, f"docker-archive:{output}:{name}"]
    else:
        command = [tool, "save", "-o", str(output), name]
    subprocess.run(command, check=True)


def _import_base(tool: str, archive: Path, architecture: str) -> str:
    """Make an image of an archived file system, and return its name."""
    name = f"localhost/debian:{archive.stem.removeprefix('debian-')}"
    if subprocess.run([tool, "inspect", name], check=False, capture_output=True).returncode:
        with tempfile.TemporaryDirectory(prefix="aws-oidc-sidecar-base-") as scratch:
            Path(scratch, archive.name).hardlink_to(archive)
            Path(scratch, "Dockerfile").write_text(f"FROM scratch\nADD {archive.name} /\n")
            command = [tool, "bud" if tool == "buildah" else "build", f"--platform=linux/{architecture}"]
            subprocess.run([*command, "-t", name, scratch], check=True)
    return name


def _secrets(scratch: Path) -> dict[str, Path]:
    """Return the files with this machine's settings for pip, by the id of the secret in the Dockerfile."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    found = dict(re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE))
    secrets = {}
    settings = [f"{key} = {value}\n" for key, value in found.items() if key in _PIP_KEYS]
    if settings:
        secrets["pip"] = scratch / "pip.conf"
        secrets["pip"].write_text("[global]\n" + "".join(settings))
    certificates = found.get("cert") or os.environ.get("SSL_CERT_FILE")
    if certificates:
        secrets["ca"] = Path(certificates)
    return secrets


def _version() -> str:
    match = re.search(r'^__version__ = "(.+)"$', (ROOT / "sidecar/__init__.py").read_text(), re.MULTILINE)
    if match is None:
        raise SystemExit("sidecar/__init__.py: __version__ is missing; set it")
    return match[1]


def _git(form: str) -> str:
    """Return a field of the last commit, in a format of git log; "" outside a repository."""
    command = ["git", "-C", str(ROOT), "log", "-1", f"--format={form}"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def _created() -> str:
    seconds = _git("%ct")
    return datetime.fromtimestamp(int(seconds), UTC).isoformat() if seconds else ""


if __name__ == "__main__":
    sys.exit(main())
