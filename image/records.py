"""The records that scanners read from an image: those of dpkg, as in distroless images, and those of pip."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

__all__ = ("debian_records", "own_record", "python_record")

_DPKG: Final = Path("/var/lib/dpkg")
_STATUS_D: Final = "/var/lib/dpkg/status.d"


def debian_records(files: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the records of the Debian packages that own these files.

    Args:
        files: absolute paths in the image, also the source of each compiled module.
    """
    owners: dict[str, str] = {}
    for listing in sorted(_DPKG.glob("info/*.list")):
        owners |= dict.fromkeys(listing.read_text().splitlines(), listing.stem)
    # The bundle is made from the files of this package.
    owners["/etc/ssl/certs/ca-certificates.crt"] = "ca-certificates"
    saved: dict[str, list[str]] = {}
    for path in sorted(files):
        if path in owners:
            saved.setdefault(owners[path], []).append(path)
    for stanza in (_DPKG / "status").read_text().strip().split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", stanza, re.MULTILINE))
        name = fields["Package"]
        paths = saved.pop(f"{name}:{fields['Architecture']}", None) or saved.pop(name, None)
        if paths:
            plain = [path for path in paths if Path(path).is_file() and not Path(path).is_symlink()]
            sums = [f"{_md5(path)}  {path[1:]}\n" for path in plain]
            yield f"{_STATUS_D}/{name}", f"{stanza}\n".encode()
            yield f"{_STATUS_D}/{name}.md5sums", "".join(sums).encode()
    if saved:
        raise SystemExit(f"dpkg has no status of {sorted(saved)}; check /var/lib/dpkg/status of the build stage")


def _md5(path: str) -> str:
    return hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest()


def python_record(folder: Path, packages: Path, files: Iterable[str]) -> tuple[str, bytes]:
    """Return path and content of a distribution's RECORD, for those of its files that the image has.

    Args:
        folder: its .dist-info in the folder of the layer.
        packages: the folder of all packages.
        files: absolute paths in the image.
    """
    present = set(files)
    rows = list(csv.reader((packages / folder.name / "RECORD").open(newline="")))
    saved = [row for row in rows if f"{packages}/{row[0]}" in present]
    listed = {row[0] for row in saved}
    return f"{packages}/{folder.name}/RECORD", _record(folder.name, saved, _compiled(listed, packages, present))


def own_record(source: Path, packages: Path, files: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the .dist-info files that an installation of this program has.

    Args:
        source: the checkout.
        packages: the folder of all packages in the image.
        files: absolute paths of this program's files in the image.
    """
    match = re.search(r'^__version__ = "(.+)"$', (source / "sidecar/__init__.py").read_text(), re.MULTILINE)
    if match is None:
        raise SystemExit("sidecar/__init__.py: __version__ is missing; set it")
    folder = f"aws_oidc_sidecar-{match[1]}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: aws-oidc-sidecar\nVersion: {match[1]}\nLicense-Expression: Apache-2.0\n"
    yield f"{packages}/{folder}/METADATA", metadata.encode()
    licence = (source / "LICENSE").read_bytes()
    yield f"{packages}/{folder}/licenses/LICENSE", licence
    own = sorted(path.removeprefix(f"{packages}/") for path in files if path.startswith(f"{packages}/"))
    names = [f"{folder}/METADATA", f"{folder}/licenses/LICENSE", *own]
    yield f"{packages}/{folder}/RECORD", _record(folder, [[name, "", ""] for name in names], [])


def _compiled(sources: set[str], packages: Path, present: set[str]) -> list[str]:
    """Return the compiled files of these sources."""
    names = {path.removeprefix(f"{packages}/") for path in present if path.endswith(".pyc")}
    return sorted(name for name in names if re.sub(r"__pycache__/(\w+)\.[^/]+$", r"\1.py", name) in sources)


def _record(folder: str, rows: Iterable[list[str]], compiled: Iterable[str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([*rows, *([name, "", ""] for name in compiled), [f"{folder}/RECORD", "", ""]])
    return text.getvalue().encode()
