"""The default seccomp profile of container engines, for a container without capabilities."""

import json
import platform
from pathlib import Path
from typing import Any, Final

__all__ = ("default_profile",)

# From Debian's golang-github-containers-common; it is Docker's profile, which containerd's follows.
_PROFILE: Final = Path("/usr/share/containers/seccomp.json")
_ARCHITECTURES: Final = {
    "x86_64": ("amd64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
    "aarch64": ("arm64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
}


def default_profile() -> dict[str, Any]:
    """Return ``linux.seccomp`` of an OCI runtime configuration."""
    profile = json.loads(_PROFILE.read_text())
    name, architectures = _ARCHITECTURES[platform.machine()]
    rules = [
        {key: rule[key] for key in ("names", "action", "args", "errnoRet") if rule.get(key) is not None}
        for rule in profile["syscalls"]
        # Without rules that need a capability; rules for containers without a capability are included.
        if not rule.get("includes", {}).get("caps")
        and name in rule.get("includes", {}).get("arches", [name])
        and name not in rule.get("excludes", {}).get("arches", [])
    ]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": architectures,
        "syscalls": rules,
    }
