"""The control group of a cluster, on cgroup v1 and v2: everything that the cluster runs is inside, pods included.

That makes the end certain: whatever was lost track of, it is found here.
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
    """The group by a cluster's name.

    Args:
        name: the cluster's.
    """

    def __init__(self, name: str) -> None:
        self.name = f"aws-oidc-sidecar-cluster-{name}"
        self.unified = (_ROOT / "cgroup.controllers").exists()

    def make(self) -> None:
        """Make the group: the kubelet wants to find the one that it puts pods into, in every hierarchy."""
        if self.unified:
            controllers = (_ROOT / "cgroup.controllers").read_text().split()
            (_ROOT / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
        for folder in self._folders():
            (folder / "daemons").mkdir(parents=True, exist_ok=True)
            # A new cpuset of v1 is empty, and takes no process.
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (folder.parent / name).exists() and not self.unified:
                    for made in (folder, folder / "daemons"):
                        (made / name).write_text((folder.parent / name).read_text())

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` inside, beside the pods, from its first instruction on."""
        joins = "; ".join(
            f"echo $$ > {shlex.quote(str(folder / 'daemons' / 'cgroup.procs'))}" for folder in self._folders()
        )
        return ["/bin/sh", "-c", f"set -e; {joins}; exec {shlex.join(command)}"]

    def container(self, pod: str, container: str) -> list[Path]:
        """Return the folders of a container's controllers cpu and memory; one and the same on v2.

        Args:
            pod: the pod's UID.
            container: the container's id, without `containerd://`.

        Raises:
            FileNotFoundError: there is none.
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
        """Kill everything inside, and remove the group. Nothing to do is fine.

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
        """Return a group's folder and all below it, those above first; none where it is not there."""
        # Not rglob, which raises at a folder that the kubelet removes meanwhile.
        return (Path(inner) for inner, _, _ in os.walk(folder))

    def processes(self) -> set[int]:
        """Return the ids of all processes inside, those of pods too."""
        pids: set[int] = set()
        for folder in self._folders():
            for inner in self._inner(folder):
                with contextlib.suppress(FileNotFoundError):
                    pids.update(map(int, (inner / "cgroup.procs").read_text().split()))
        return pids


def _remove(folder: Path, until: float) -> None:
    """Remove a group: the kernel lets go of a process a moment after it was reaped."""
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
