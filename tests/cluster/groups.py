"""The control group of a cluster, on cgroup v1 and v2: it has all processes of the cluster, pods included.

Therefore all processes can be ended, also those that no other part knows.
"""

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ("Group",)

_ROOT = Path("/sys/fs/cgroup")
_END_SECONDS = 20.0


class Group:
    """The control group of a cluster.

    Args:
        name: the cluster's name.
    """

    def __init__(self, name: str) -> None:
        self.name = f"aws-oidc-sidecar-cluster-{name}"
        self.unified = (_ROOT / "cgroup.controllers").exists()

    def make(self) -> None:
        """Create the group in all hierarchies: the kubelet requires that its cgroupRoot exists."""
        if self.unified:
            controllers = (_ROOT / "cgroup.controllers").read_text().split()
            (_ROOT / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
        for folder in self._folders():
            (folder / "daemons").mkdir(parents=True, exist_ok=True)
            # A new cpuset of cgroup v1 is empty, and rejects processes.
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (folder.parent / name).exists() and not self.unified:
                    for made in (folder, folder / "daemons"):
                        (made / name).write_text((folder.parent / name).read_text())

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command that joins the group's subgroup `daemons` and then executes `command`."""
        joins = "; ".join(
            f"echo $$ > {shlex.quote(str(folder / 'daemons' / 'cgroup.procs'))}" for folder in self._folders()
        )
        return ["/bin/sh", "-c", f"set -e; {joins}; exec {shlex.join(command)}"]

    def container(self, pod: str, container: str) -> list[Path]:
        """Return the folders of a container's controllers cpu and memory, which are the same on v2.

        Args:
            pod: the pod's UID.
            container: the container's id, without `containerd://`.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        parents = [_ROOT] if self.unified else [_ROOT / "cpu", _ROOT / "memory"]
        folders = []
        for parent in parents:
            inside = self._inner(parent / self.name / "kubepods")
            found = next((inner for inner in inside if inner.parts[-2:] == (f"pod{pod}", container)), None)
            if found is None:
                raise FileNotFoundError(f"no group of container {container} under {parent / self.name}")
            folders.append(found)
        return folders

    def end(self) -> None:
        """Kill all processes in the group, and remove the group, if it exists.

        Raises:
            TimeoutError: a process did not end within 20 s.
        """
        until = time.perf_counter() + _END_SECONDS
        while pids := self.processes():
            if time.perf_counter() > until:
                raise TimeoutError(f"{self.name}: processes {sorted(pids)} do not end")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        for folder in self._folders():
            for inner in reversed(list(self._inner(folder))):
                _remove(inner, until)

    def _folders(self) -> list[Path]:
        # Some names are links to a hierarchy that holds several controllers.
        parents = [_ROOT] if self.unified else sorted({path.resolve() for path in _ROOT.iterdir() if path.is_dir()})
        return [parent / self.name for parent in parents]

    def _inner(self, folder: Path) -> Iterator[Path]:
        """Return a group's folder and all below it, parents first; nothing if it does not exist."""
        # Not rglob, which raises at a folder that the kubelet removes meanwhile.
        return (Path(inner) for inner, _, _ in os.walk(folder))

    def processes(self) -> set[int]:
        """Return the ids of all processes in the group, pods included."""
        pids: set[int] = set()
        for folder in self._folders():
            for inner in self._inner(folder):
                with contextlib.suppress(FileNotFoundError):
                    pids.update(map(int, (inner / "cgroup.procs").read_text().split()))
        return pids


def _remove(folder: Path, until: float) -> None:
    """Remove a group; retried, because the kernel removes a process from it a moment after it was reaped."""
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.perf_counter() > until:
                raise
            time.sleep(0.02)
        else:
            return
