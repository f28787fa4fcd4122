"""The projected token: can it be read, does it rotate, how long does it live?"""

from pathlib import Path
from typing import Final

from sidecar.doctor.case import Case, Place
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, Verdict, advice, broken, good, skipped
from sidecar.errors import TokenError, TokenProblem

__all__ = ("CHECK", "is_mounted_alone")

# Below the least session of STS a token is hardly worth the kubelet's work, and a short outage of it is one of ours.
_SHORT_SECONDS: Final = 900
_MISSING: Final = Cause(
    "token_missing",
    "the token file is not there",
    "mount a projected serviceAccountToken volume with audience {audience_setting} and path token at its directory",
    exit_code=Exit.CONFIGURATION,
)
_UNREADABLE: Final = Cause(
    "token_unreadable",
    "the token file cannot be read by this user",
    "remove a defaultMode such as 0400 from the volume, or set fsGroup in the pod's securityContext",
    exit_code=Exit.CONFIGURATION,
)
_NO_TOKEN: Final = Cause(
    "token_malformed",
    "the token file holds no token",
    "point --token-file at the file `token` of the projected volume",
    exit_code=Exit.CONFIGURATION,
)
_SUBPATH: Final = Cause(
    "token_by_subpath",
    "the token file is mounted by subPath: the kubelet never updates such a file, and it expires in place",
    "mount the whole volume at a directory of its own, without subPath (Kubernetes: projected volumes)",
    exit_code=Exit.CONFIGURATION,
)
_EXPIRED: Final = Cause(
    "token_expired",
    "the token has expired and was not replaced: the kubelet has stopped rotating it, or the file is a copy",
    "look at the kubelet's log on this node for `serviceaccount token`: it cannot reach the API server, or the "
    "ServiceAccount was deleted; a copy of a token is never rotated: mount the volume itself",
    "kubectl get events --field-selector involvedObject.kind=Pod",
)
_SHORT: Final = Cause(
    "token_short",
    "the token lives less than 15 minutes: an outage of the API server of a few minutes lets it expire",
    "set expirationSeconds: 3600 in the projected volume",
    exit_code=Exit.GOOD,
)


def _run(case: Case) -> Verdict:
    if case.place is Place.APPLICATION:
        return skipped("the token is mounted in the sidecar only")
    path, token = case.settings.token_file, case.token
    if isinstance(token, TokenError):
        causes = {TokenProblem.MISSING: _MISSING, TokenProblem.UNREADABLE: _UNREADABLE}
        cause = causes.get(token.problem, _NO_TOKEN)
        return broken(
            f"{path}: {token.problem}{f' ({token.detail})' if token.detail else ''}", Finding(cause, case.facts)
        )
    left = token.expires_at - case.wall_at_aws
    if is_mounted_alone(path, _mounts()) or is_mounted_alone(path.parent.resolve() / path.name, _mounts()):
        return broken(f"{path} is a mount point of its own", Finding(_SUBPATH, case.facts))
    if left <= 0 and not case.accepted:
        return broken(f"{path}: expired {_minutes(-left)} ago", Finding(_EXPIRED, case.facts))
    life = token.expires_at - token.issued_at
    evidence = f"{path}: {_minutes(left)} left of {_minutes(life)}"
    if token.issued_at and life < _SHORT_SECONDS:
        return advice(evidence, Finding(_SHORT, case.facts))
    return good(evidence)


def is_mounted_alone(path: Path, mounts: str) -> bool:
    """Return whether a file is itself a mount point, as subPath makes it.

    Args:
        path: of the file; in `mounts` no part of it is a symlink, as /var/run often is.
        mounts: the content of /proc/self/mountinfo (proc_pid_mountinfo(5)); the fifth field is the mount point.
    """
    escaped = str(path).replace("\\", "\\134").replace(" ", "\\040")
    return any(line.split(" ", 5)[4:5] == [escaped] for line in mounts.splitlines())


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"


CHECK: Final = Check(
    "token_file",
    "token file",
    "that it can be read, is a whole volume's and not a subPath, has not expired, and lives long enough",
    (_MISSING, _UNREADABLE, _NO_TOKEN, _SUBPATH, _EXPIRED, _SHORT),
    _run,
)
