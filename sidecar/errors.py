"""Every way things go wrong, and whose fault it is.

::

    SidecarError               never raised itself
    ├── SettingsError          the operator's: a setting is wrong or two contradict; refused at start
    ├── TokenError             the kubelet's or the volume's: no usable token in the file right now
    └── StartError             the machine's: a port is taken, a directory is missing

An exchange that fails raises nothing: it happens too often to be an exception, and gives a ``Failure``.

Each class writes its own text from the data it is given. None ever holds a token, a key or an upstream
message: STS quotes parameter values in some of its texts, and a token is a parameter.
"""

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = (
    "Failure",
    "Outcome",
    "Refusal",
    "Retry",
    "SettingsError",
    "SidecarError",
    "StartError",
    "TokenError",
    "TokenProblem",
)


class SidecarError(Exception):
    """The root of the tree; catch it at the top only."""


class SettingsError(SidecarError):
    """A setting cannot be used.

    Args:
        where: the variable, flag or file line that is wrong.
        what: what is wrong with it.
        fix: what to do.
    """

    def __init__(self, where: str, what: str, fix: str) -> None:
        super().__init__(f"{where}: {what}; {fix}")
        self.where, self.what, self.fix = where, what, fix


class StartError(SidecarError):
    """The daemon cannot start on this machine.

    Args:
        what: what could not be had.
        fix: what to do.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}; {fix}")
        self.what, self.fix = what, fix


class TokenProblem(StrEnum):
    """Why the token file cannot be used; also the ``reason`` label of the metric."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    NOT_A_FILE = "not_a_file"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    EXPIRED = "expired"


_TOKEN_FIX = {
    TokenProblem.MISSING: "mount a projected serviceAccountToken volume there",
    TokenProblem.UNREADABLE: "remove a defaultMode such as 0400 from the volume, or set fsGroup",
    TokenProblem.NOT_A_FILE: "point the token file setting at the file, not at its directory",
    TokenProblem.EMPTY: "the volume is being written or the disk is full; it is read again every few seconds",
    TokenProblem.TOO_LARGE: "STS takes at most 20000 characters; is this file a token?",
    TokenProblem.MALFORMED: "it is not a JWT (RFC 7519); is this file a projected ServiceAccount token?",
    TokenProblem.EXPIRED: "the kubelet has stopped rotating it: is the API server reachable from this node?",
}


class TokenError(SidecarError):
    """The token file holds no usable token.

    Args:
        problem: why.
        detail: which part, in words of ours; never bytes of the file.
    """

    def __init__(self, problem: TokenProblem, detail: str = "") -> None:
        self.problem, self.detail, self.hint = problem, detail, _TOKEN_FIX[problem]
        super().__init__(f"token {problem}{f' ({detail})' if detail else ''}; {self.hint}")


class Outcome(StrEnum):
    """How an exchange ended: the closed list of metric label values and log classes."""

    SUCCESS = "success"
    ACCESS_DENIED = "access_denied"
    INVALID_IDENTITY_TOKEN = "invalid_identity_token"  # noqa: S105 - a label value, not a secret
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - a label value, not a secret
    ISSUER_UNREACHABLE = "issuer_unreachable"
    REJECTED_CLAIM = "rejected_claim"
    INVALID_REQUEST = "invalid_request"
    REGION_DISABLED = "region_disabled"
    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    BAD_ANSWER = "bad_answer"
    WORKER_FAILED = "worker_failed"
    SOURCE_UNAVAILABLE = "source_unavailable"


class Refusal(StrEnum):
    """What AWS tells apart when it refuses an exchange: one for each row of ``exchange.classify``."""

    DENIED = "denied"
    NO_KEYS = "no_keys"
    THUMBPRINT = "thumbprint"
    AUDIENCE = "audience"
    NO_PROVIDER = "no_provider"
    BAD_TOKEN = "bad_token"  # noqa: S105 - a name
    EXPIRED = "expired"
    UNREACHABLE_ISSUER = "unreachable_issuer"
    REJECTED_CLAIM = "rejected_claim"
    DURATION = "duration"
    BAD_PARAMETER = "bad_parameter"
    BAD_POLICY = "bad_policy"
    POLICY_TOO_LARGE = "policy_too_large"
    REGION_DISABLED = "region_disabled"
    THROTTLED = "throttled"


class Retry(StrEnum):
    """Which schedule of ``credentials.backoff`` follows a failure."""

    TRANSIENT = "transient"
    """Comes back by itself: exponential, full jitter, capped at a minute."""
    PROPAGATION = "propagation"
    """Denied, but IAM needs seconds to learn of a change: quick at first while no set was ever held."""
    PERMANENT = "permanent"
    """Someone has to change something: slow."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed exchange, in a form that is safe to log, count and serve.

    Attributes:
        outcome: the class of the failure, never ``SUCCESS``.
        retry: which schedule follows.
        hint: the next step for a person, one line.
        code: the AWS error code, or "" where AWS did not answer.
        status: the HTTP status, or 0 where AWS did not answer.
        refusal: which of AWS's refusals it is, as far as AWS tells them apart; finer than ``outcome``.
    """

    outcome: Outcome
    retry: Retry
    hint: str
    code: str = ""
    status: int = 0
    refusal: "Refusal | None" = field(default=None, compare=False)
