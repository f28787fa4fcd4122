"""The machine of the measurement, and the share of it that other programs used meanwhile."""

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
    """Return the processor, the number of usable cores, the memory and the kernel."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    processor = model[1] if model else platform.machine()
    cores = len(os.sched_getaffinity(0))
    return f"{processor}, {cores} cores, {kilobytes / 1e6:.0f} GB, {platform.system()} {platform.release()}"


def versions() -> str:
    """Return the versions of Python, of packages and of Go."""
    found = [f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    if shutil.which("go") is None:
        return ", ".join((*found, "Go not on PATH"))
    out = subprocess.run(("go", "env", "GOVERSION"), capture_output=True, text=True, check=True).stdout
    return ", ".join((*found, f"Go {out.strip().removeprefix('go')}"))


class Disturbance:
    """The CPU time that other programs used since the construction."""

    def __init__(self) -> None:
        self._before = _ticks()

    def __str__(self) -> str:
        """Return the share of the cores that other programs, and a hypervisor's other guests, used."""
        total, busy, stolen = (now - before for now, before in zip(_ticks(), self._before, strict=True))
        # The values come from different files, so the difference can be slightly negative on an idle machine.
        shares = (max(part, 0) / max(total, 1) for part in (busy, stolen))
        return "other programs used {:.0%} of the cores meanwhile, a hypervisor {:.1%}".format(*shares)


def _ticks() -> tuple[float, float, float]:
    # proc_stat(5): user nice system idle iowait irq softirq steal; the later fields are included in these.
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own = sum(usage.ru_utime + usage.ru_stime for usage in usages) * os.sysconf("SC_CLK_TCK")
    return sum(fields), sum(fields[:3]) - own, fields[7]
