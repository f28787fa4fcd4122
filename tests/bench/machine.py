"""On what the measurement ran, and how much others took of it meanwhile."""

import os
import platform
import re
import resource
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ("Disturbance", "machine", "versions")

_PACKAGES = ("httptools", "uvicorn", "boto3")


def machine() -> str:
    """Return the processor, the cores that may be used, the memory and the kernel."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    processor = model[1] if model else platform.machine()
    cores = len(os.sched_getaffinity(0))
    return f"{processor}, {cores} cores, {kilobytes / 1e6:.0f} GB, {platform.system()} {platform.release()}"


def versions() -> str:
    """Return what was measured and what stood beside it, with versions."""
    told = [f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            told.append(f"{name} not installed")
    if shutil.which("go") is None:
        return ", ".join((*told, "Go not on PATH"))
    out = subprocess.run(("go", "env", "GOVERSION"), capture_output=True, text=True, check=True).stdout
    return ", ".join((*told, f"Go {out.strip().removeprefix('go')}"))


class Disturbance:
    """What others did to the machine from the construction on."""

    def __init__(self) -> None:
        self._before = _ticks()

    def __str__(self) -> str:
        """Return how much of the cores others had: other programs, and a hypervisor's other guests."""
        total, busy, stolen = (now - before for now, before in zip(_ticks(), self._before, strict=True))
        # The two come from different files, so a machine that did nothing else can seem to have done less.
        shares = (max(part, 0) / max(total, 1) for part in (busy, stolen))
        return "others had {:.0%} of the cores meanwhile, a hypervisor {:.1%}".format(*shares)


def _ticks() -> tuple[float, float, float]:
    # proc_stat(5): user nice system idle iowait irq softirq steal; what comes after is counted in these too.
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own = sum(usage.ru_utime + usage.ru_stime for usage in usages) * os.sysconf("SC_CLK_TCK")
    return sum(fields), sum(fields[:3]) - own, fields[7]
