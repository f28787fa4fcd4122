"""Containers of the image with the settings of Pod Security "restricted", run by runc.

No capabilities, no_new_privs, the default seccomp profile, a read-only root, and separate namespaces.
"""

import itertools
import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from image.archive import Archive
from tests.image.seccomp import default_profile

__all__ = ("Engine", "unpack")

# The mounts of containerd's containers; below, the paths that they cannot read or change.
_MOUNTS = (
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
)
_MASKED = ("/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware")
# A tmpfs, as the kubelet uses for memory volumes.
_MEMORY = Path("/dev/shm")
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class Engine:
    """Starts containers of one image.

    Args:
        archive: the image.
        rootfs: its files, unpacked.
        scratch: an empty folder.
    """

    def __init__(self, archive: Archive, rootfs: Path, scratch: Path) -> None:
        self._configured = archive.config["config"]
        self._rootfs = rootfs
        self._scratch = scratch
        self._numbers = itertools.count(1)
        self._names: list[str] = []

    def command(
        self,
        arguments: Sequence[str],
        *,
        user: tuple[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[tuple[Path, str, str]] = (),
        volumes: Sequence[str] = (),
        entrypoint: bool = True,
        own_network: bool = True,
    ) -> list[str]:
        """Return the command that runs a container in the foreground; its last word is the container's name.

        Args:
            arguments: the arguments of the image's entry point, or the complete command.
            user: user and group id; those of the image by default.
            environment: variables in addition to the image's.
            mounts: a folder or file of this machine, its path in the container, and ``ro`` or ``rw``.
            volumes: paths of memory volumes that all users can write, as the kubelet makes them.
            entrypoint: whether the image's entry point comes first.
            own_network: a network with only a loopback interface; False uses this machine's network.
        """
        name = f"aws-oidc-sidecar-test-{self._scratch.name}-{next(self._numbers)}"
        self._names.append(name)
        uid, gid = user or tuple(map(int, self._configured["User"].split(":")))
        environment = dict(entry.split("=", 1) for entry in self._configured["Env"]) | dict(environment or {})
        namespaces = ["pid", "ipc", "uts", "mount", *(["network"] if own_network else [])]
        configuration = {
            "ociVersion": "1.0.2",
            "hostname": "pod",
            "root": {"path": str(self._rootfs), "readonly": True},
            "process": {
                "user": {"uid": uid, "gid": gid},
                "args": [*(self._configured["Entrypoint"] if entrypoint else []), *arguments],
                "env": [f"{key}={value}" for key, value in environment.items()],
                "cwd": self._configured.get("WorkingDir") or "/",
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "mounts": [
                *_MOUNTS,
                *(_bind(*mount) for mount in mounts),
                *(_bind(self._volume(name, path), path, "rw") for path in volumes),
            ],
            "linux": {
                "namespaces": [{"type": namespace} for namespace in namespaces],
                "maskedPaths": _MASKED,
                "readonlyPaths": _READ_ONLY,
                "seccomp": default_profile(),
                # As containerd 2 has it (enable_unprivileged_ports).
                "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0"} if own_network else {},
            },
        }
        bundle = self._scratch / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(configuration))
        return ["runc", "run", "--bundle", str(bundle), name]

    def run(self, arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """Run a container to its end; options are those of ``command``."""
        return _finish(self.command(arguments, **options))

    def python(self, code: str, **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """Run code with the image's interpreter; options are those of ``command``."""
        return self.run(["/usr/bin/python3", "-I", "-c", code], entrypoint=False, **options)

    def execute(self, name: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in a running container, as an exec probe does."""
        return _finish(["runc", "exec", name, *arguments])

    def close(self) -> None:
        """End the containers that still run."""
        for name in self._names:
            subprocess.run(["runc", "delete", "--force", name], check=True, capture_output=True)
            shutil.rmtree(_MEMORY / name, ignore_errors=True)

    def _volume(self, name: str, path: str) -> Path:
        folder = _MEMORY / name / path.replace("/", "-")
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        return folder


def unpack(archive_path: Path, rootfs: Path) -> None:
    """Unpack an image's layers, with the owners of the files."""
    with tarfile.open(archive_path) as outer:
        manifest = outer.extractfile("manifest.json")
        assert manifest is not None
        for name in json.load(manifest)[0]["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                layer.extractall(rootfs, numeric_owner=True, filter="fully_trusted")


def _finish(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def _bind(source: Path, path: str, access: str) -> dict[str, Any]:
    return {"destination": path, "type": "bind", "source": str(source), "options": ["rbind", access]}
