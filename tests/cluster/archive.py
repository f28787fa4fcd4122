"""Images with one program, as an archive that `ctr images import` reads."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

__all__ = ("write_archive",)


def write_archive(archive: Path, reference: str, program: Path, architecture: str) -> None:
    """Write a docker-archive of an image FROM scratch whose entry point is `program`, at the root.

    Args:
        archive: the file to write.
        reference: the image's full name, such as localhost/pause:1.
        program: a static binary.
        architecture: the binary's architecture, as Go names it.
    """
    layer = _tar({program.name: program.read_bytes()})
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "User": "65534:65534", "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    archive.write_bytes(_tar({name: config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}))


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)  # root as the owner and no time, so that the bytes are reproducible
            entry.size = len(content)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
