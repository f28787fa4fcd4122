"""Reads an image from the archive that docker, podman and buildah write."""

import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ("Archive", "File", "Size", "measure", "packed")

_GZIP_LEVEL = 6
_SYSTEM, _PACKAGES, _PROGRAM = "system (Debian)", "packages (PyPI)", "program"
LAYERS = (_SYSTEM, _PACKAGES, _PROGRAM)


class File(NamedTuple):
    """One file, folder or link of the image.

    Attributes:
        path: absolute.
        layer: number of the layer; the lowest is 0.
        info: owner, mode, size and time.
        content: empty unless it is a plain file.
    """

    path: str
    layer: int
    info: tarfile.TarInfo
    content: bytes


class Size(NamedTuple):
    """Bytes in gzip, as a registry stores them, and bytes unpacked."""

    packed: int
    unpacked: int


class Archive:
    """An image of one platform.

    Args:
        path: the archive, in the format of `docker save`, `podman save` and buildah's `docker-archive:`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not an image archive, or has several images.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with tarfile.open(path) as outer:
                (manifest,) = json.loads(_member(outer, "manifest.json"))
                self.config: dict[str, Any] = json.loads(_member(outer, manifest["Config"]))
                self._layers: list[str] = manifest["Layers"]
        except (tarfile.TarError, KeyError) as error:
            raise ValueError(
                f"{path}: is not an image archive; give one that `make image` or `docker save` wrote"
            ) from error

    @property
    def digests(self) -> list[str]:
        """The digests of the unpacked layers, which determine the digest of the image."""
        return list(self.config["rootfs"]["diff_ids"])

    def files(self) -> Iterator[File]:
        """Yield the files of all layers, the lowest layer first."""
        with tarfile.open(self._path) as outer:
            for number, name in enumerate(self._layers):
                with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                    for info in layer:
                        opened = layer.extractfile(info) if info.isfile() else None
                        path = "/" + info.name.removeprefix("./").strip("/")
                        yield File(path, number, info, opened.read() if opened else b"")

    def layer_sizes(self) -> list[Size]:
        """Return the size of each layer, in gzip as a registry stores it and unpacked."""
        with tarfile.open(self._path) as outer:
            contents = [_member(outer, name) for name in self._layers]
        return [Size(packed(content), len(content)) for content in contents]


def packed(content: bytes) -> int:
    """Return the length of the content in gzip, in bytes."""
    return len(zlib.compress(content, _GZIP_LEVEL, wbits=31))


def measure(archive: Archive) -> dict[str, Size]:
    """Return the size of each part of the image, each packed by itself, the largest first."""
    parts: dict[str, list[bytes]] = {}
    for file in archive.files():
        parts.setdefault(_part(file), []).append(file.content)
    sizes = {name: Size(packed(b"".join(contents)), sum(map(len, contents))) for name, contents in parts.items()}
    return dict(sorted(sizes.items(), key=lambda item: -item[1].packed))


def _part(file: File) -> str:
    name = file.path.rpartition("/")[2]
    if file.layer:
        return LAYERS[file.layer]
    if file.path.startswith("/usr/bin/python3"):
        return "interpreter"
    if file.path.startswith("/usr/lib/python3"):
        return "standard library"
    if ".so" in name and file.info.isfile():
        return name
    if file.path.startswith("/etc/ssl"):
        return "CA certificates"
    return "licences, package records, the rest"


def _member(outer: tarfile.TarFile, name: str) -> bytes:
    opened = outer.extractfile(name)
    if opened is None:
        raise KeyError(name)
    return opened.read()
