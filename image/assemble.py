"""Runs in the build stage: writes the files of the image, as ``manifest.toml`` says, to one folder for each layer.

    python3 -m image.assemble OUT

``OUT/system`` has the files of Debian, ``OUT/packages`` those of PyPI, ``OUT/program`` those of the program, so that a
new version of the program changes only the small last layer. All times are 0 and root owns all files, so that the same
input gives the same layers.
"""

import fnmatch
import importlib.util
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any, Final

from image.imports import Closure, Tree, closure
from image.records import debian_records, own_record, python_record

SOURCE: Final = Path(__file__).parent.parent
STDLIB: Final = Path("/usr/lib/python3.13")
PACKAGES: Final = Path("/usr/local/lib/python3.13/dist-packages")
CERTIFICATES: Final = Path("/usr/share/ca-certificates/mozilla")
BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"
USER: Final = "19841"
INTERPRETER: Final = "/usr/bin/python3"


class Layer:
    """One layer; paths are absolute, as in the image."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[str] = []

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file."""
        target = self._target(path)
        target.write_bytes(content)
        target.chmod(mode)

    def copy(self, source: Path, path: str) -> None:
        """Copy a file with its executable bit."""
        self.write(path, source.read_bytes(), 0o755 if os.access(source, os.X_OK) else 0o644)

    def link(self, path: str, to: str) -> None:
        """Make a symlink."""
        target = self._target(path)
        if not target.is_symlink():
            target.symlink_to(to)

    def follow(self, path: Path) -> None:
        """Copy a file of the build stage to the same path, with every symlink of that path."""
        for above in (*reversed(path.parents), path):
            if above.is_symlink():
                to = above.readlink()
                self.link(str(above), str(to))
                self.follow(Path(os.path.normpath(above.parent / to / path.relative_to(above))))
                return
        self.copy(path, str(path))

    def finish(self) -> None:
        """Give every file and folder the same time."""
        for folder, names, files in os.walk(self.root):
            for name in (*names, *files):
                os.utime(Path(folder, name), (0, 0), follow_symlinks=False)
            Path(folder).chmod(0o755)
        os.utime(self.root, (0, 0))

    def _target(self, path: str) -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path not in self.files:
            self.files.append(path)
        return target


def main(out: Path) -> int:
    """Write the layers and return 0; 1 if a module of an import is not found."""
    manifest = tomllib.loads((SOURCE / "image/manifest.toml").read_text())
    roots = (STDLIB, STDLIB / "lib-dynload", PACKAGES, SOURCE)
    found = closure(Tree(roots, manifest["made"], manifest["left_out"]), manifest["entries"])
    if found.unresolved:
        print(
            "modules of imports not found; list them in image/manifest.toml:",
            *found.unresolved,
            sep="\n  ",
            file=sys.stderr,
        )
        return 1
    system, packages, program = layers = [Layer(out / name) for name in ("system", "packages", "program")]
    write_system(system, found, manifest)
    write_packages(packages, found, manifest)
    write_program(program, found)
    # Libraries last, when all files that link to them are known.
    for library in libraries([path for layer in layers for path in layer.root.rglob("*")]):
        system.follow(library)
    for layer in layers:
        compile_all(layer)
    of_debian = set(system.files) - set(manifest["made_files"])
    for path, content in debian_records({*of_debian, BUNDLE}):
        system.write(path, content)
    for path in {f"/usr/share/doc/{Path(name).name}/copyright" for name in status_files(system)}:
        system.follow(Path(path))
    for folder in sorted(packages.root.joinpath(str(PACKAGES)[1:]).glob("*.dist-info")):
        packages.write(*python_record(folder, PACKAGES, packages.files))
    for path, content in own_record(SOURCE, PACKAGES, program.files):
        program.write(path, content)
    for layer in layers:
        layer.finish()
    return 0


def write_system(layer: Layer, found: Closure, manifest: dict[str, Any]) -> None:
    """Write Debian's files: the interpreter, modules, and the files that ``manifest`` names."""
    for path in manifest["system"]:
        layer.follow(Path(path.replace("MULTIARCH", sysconfig.get_config_var("MULTIARCH"))))
    # The kernel makes a process non-dumpable that executes a file which its user cannot read (execve(2)), so containers
    # with the sidecar's user id cannot read its memory, not even before its first line runs.
    layer.root.joinpath(os.path.realpath(INTERPRETER)[1:]).chmod(0o711)
    for file in found.files.values():
        if file.is_relative_to(STDLIB):
            layer.follow(file)
    # Not the bundle of the build stage: the machine that builds may have added its own certificates.
    bundle = b"".join(path.read_bytes() for path in sorted(CERTIFICATES.glob("*.crt")))
    layer.write(BUNDLE, bundle)
    layer.link("/usr/lib/ssl/cert.pem", BUNDLE)
    layer.write("/etc/passwd", f"aws-oidc-sidecar:x:{USER}:{USER}::/:/nonexistent\n".encode())
    layer.write("/etc/group", f"aws-oidc-sidecar:x:{USER}:\n".encode())


def write_packages(layer: Layer, found: Closure, manifest: dict[str, Any]) -> None:
    """Write PyPI's files: modules, and the data files that ``manifest`` names."""
    for file in found.files.values():
        if file.is_relative_to(PACKAGES):
            layer.copy(file, str(file))
    patterns = manifest["data"]
    unused = set(patterns)
    for file in sorted(PACKAGES.rglob("*")):
        matched = {name for name in patterns if matches(file.relative_to(PACKAGES), name)}
        unused -= matched
        if matched and file.is_file():
            layer.copy(file, str(file))
    if unused:
        raise SystemExit(f"image/manifest.toml: [data]: no file matches {sorted(unused)}; correct or delete them")
    layer.link(f"{PACKAGES}/botocore/cacert.pem", BUNDLE)


def matches(path: Path, pattern: str) -> bool:
    """Return whether the path matches; ``*`` matches any characters within one part of it."""
    wanted = pattern.split("/")
    return len(wanted) == len(path.parts) and all(map(fnmatch.fnmatchcase, path.parts, wanted))


def write_program(layer: Layer, found: Closure) -> None:
    """Write the files of the program."""
    for file in found.files.values():
        if file.is_relative_to(SOURCE):
            layer.copy(file, str(PACKAGES / file.relative_to(SOURCE)))
    layer.write("/usr/bin/aws-oidc-sidecar", (SOURCE / "image/aws-oidc-sidecar").read_bytes(), 0o755)
    layer.copy(SOURCE / "sidecar/shim.py", "/opt/aws-oidc-sidecar/shim.py")


def libraries(paths: list[Path]) -> set[Path]:
    """Return the shared libraries, and the loader, that the ELF files of these paths need."""
    needed = set()
    for path in paths:
        if path.is_file() and not path.is_symlink() and path.open("rb").read(4) == b"\x7fELF":
            listed = subprocess.run(["/usr/bin/ldd", path], check=True, capture_output=True, text=True).stdout
            needed |= {Path(word) for word in listed.split() if word.startswith("/")}
    return needed


def compile_all(layer: Layer) -> None:
    """Compile every module; Python does not compare the result with its source, because both are read-only."""
    for path in sorted(path for path in layer.files if path.endswith(".py") and "/python3" in path):
        compiled = importlib.util.cache_from_source(path)
        target = layer.root / compiled[1:]
        py_compile.compile(
            str(layer.root / path[1:]),
            cfile=str(target),
            dfile=path,
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        target.chmod(0o644)
        layer.files.append(compiled)


def status_files(layer: Layer) -> list[str]:
    """Return the paths of the records of Debian's packages."""
    return [path for path in layer.files if path.startswith("/var/lib/dpkg/status.d/") and "md5sums" not in path]


if __name__ == "__main__":
    _, output = sys.argv
    shutil.rmtree(output, ignore_errors=True)
    sys.exit(main(Path(output)))
