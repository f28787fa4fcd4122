"""Checks the projected token: readable, rotated, with a sufficient lifetime."""

from pathlib import Path
from typing import Final

from sidecar.doctor.case import ISSUER_ONLY, Case
from sidecar.doctor.options import Place
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, advice, broken, good, skipped
from sidecar.errors import StsErrorKind, TokenError, TokenProblem
from sidecar.exits import Exit
from sidecar.iam.statements import Comparison
from sidecar.model import Token

__all__ = ("CHECK", "from_future", "is_mounted_alone")

# Below the minimum session of STS (15 minutes) a short outage of the kubelet lets the token expire.
_SHORT_SECONDS: Final = 900
_MISSING: Final = Cause(
    "token_missing",
    "the token file does not exist",
    "mount a projected serviceAccountToken volume with audience {audience_setting} and path token at the file's "
    "directory",
    exit_code=Exit.USAGE,
)
_UNREADABLE: Final = Cause(
    "token_unreadable",
    "this user cannot read the token file",
    "remove a defaultMode such as 0400 from the volume, or set fsGroup in the pod's securityContext",
    exit_code=Exit.USAGE,
)
_NO_TOKEN: Final = Cause(
    "token_malformed",
    "the content of the token file is not a token",
    "set --token-file to the file `token` of the projected volume",
    exit_code=Exit.USAGE,
)
_SUBPATH: Final = Cause(
    "token_by_subpath",
    "the token file is mounted with subPath: the kubelet never updates such a file, so the token expires",
    "mount the whole volume at a directory, without subPath (Kubernetes documentation: projected volumes)",
    exit_code=Exit.USAGE,
)
_EXPIRED: Final = Cause(
    "token_expired",
    "the token has expired and was not rotated: the kubelet does not rotate it, or the file is a copy",
    "search the kubelet's log on this node for `serviceaccount token`: the kubelet cannot reach the API server, or the "
    "ServiceAccount was deleted; a copy of a token is never rotated, so mount the volume itself",
    "kubectl get events --field-selector involvedObject.kind=Pod",
)
# A Date header has whole seconds, and a response takes time.
_AHEAD_SECONDS: Final = 5
_FUTURE: Final = Cause(
    "token_from_future",
    "the token is not valid yet: its {claim} is {ahead} s ahead of the clock of {whose}",
    "start NTP on the nodes of the API server, whose clock is ahead; see the check `clock` for this node",
    "timedatectl show -p NTPSynchronized -p TimeUSec   # on the nodes of the API server",
)
_SHORT: Final = Cause(
    "token_short",
    "the token's lifetime is less than 15 minutes: it expires if the API server is down for a few minutes",
    "set expirationSeconds: 3600 in the projected volume",
    exit_code=Exit.GOOD,
)


def _run(case: Case) -> CheckResult:
    if case.issuer_only:
        return skipped(ISSUER_ONLY)
    if case.place is Place.APPLICATION:
        return skipped("only the sidecar has the token")
    path, token = case.settings.token_file, case.token
    if isinstance(token, TokenError):
        causes = {TokenProblem.MISSING: _MISSING, TokenProblem.UNREADABLE: _UNREADABLE}
        cause = causes.get(token.problem, _NO_TOKEN)
        return broken(
            f"{path}: {token.problem}{f' ({token.detail})' if token.detail else ''}", Finding(cause, case.facts)
        )
    left = token.expires_at - case.wall_at_aws
    if is_mounted_alone(path, _mounts()) or is_mounted_alone(path.parent.resolve() / path.name, _mounts()):
        return broken(f"{path} is itself a mount point", Finding(_SUBPATH, case.facts))
    if left <= 0 and not case.accepted:
        return broken(f"{path}: expired {_minutes(-left)} ago", Finding(_EXPIRED, case.facts))
    future = from_future(case)
    if future is not None:
        return broken(f"{path}: {future.facts['claim']} is {future.facts['ahead']} s in the future", future)
    lifetime = token.expires_at - token.issued_at
    evidence = f"{path}: {_minutes(left)} left of {_minutes(lifetime)}"
    if token.issued_at and lifetime < _SHORT_SECONDS:
        return advice(evidence, Finding(_SHORT, case.facts))
    return good(evidence)


def from_future(case: Case) -> Finding | None:
    """Return the finding for a token whose `iat` or `nbf` is in the future; None if it is not, or STS has compared it.

    The clock of STS or of the issuer counts, if one of them sent its time: that of this node may be wrong too.
    """
    token, done = case.token, case.exchange_result
    # For another error, or none, STS has accepted the times.
    compared = done is not None and (done.failure is None or done.failure.kind is not StsErrorKind.BAD_TOKEN)
    if not isinstance(token, Token) or compared:
        return None
    whose, skew = next(iter(case.skews.items()), ("this node", 0.0))
    claim, since = max((("iat", token.issued_at), ("nbf", token.not_before)), key=lambda each: each[1])
    ahead = since - (case.now.wall + skew)
    if ahead <= _AHEAD_SECONDS:
        return None
    found = Comparison("token", "at most", claim, (f"{case.now.wall + skew:.0f}",), (f"{since:.0f}",))
    return Finding(_FUTURE, case.facts | {"claim": claim, "ahead": f"{ahead:.0f}", "whose": whose}, (found,))


def is_mounted_alone(path: Path, mounts: str) -> bool:
    """Return whether a file is itself a mount point, as with subPath.

    Args:
        path: of the file, without symlinks, as in `mounts`; /var/run is often a symlink.
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
    "the token can be read, is not mounted with subPath, is valid now, and has a sufficient lifetime",
    (_MISSING, _UNREADABLE, _NO_TOKEN, _SUBPATH, _EXPIRED, _FUTURE, _SHORT),
    _run,
)
