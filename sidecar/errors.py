"""The errors of this program, by where the fault is. Pure.

::

    SidecarError               base class, never raised itself
    ├── SettingsError          settings: one is wrong, or two contradict each other; rejected at start
    ├── TokenError             kubelet or volume: the file has no usable token at this time
    ├── StartError             machine: a port is taken, a directory is missing
    └── CommandError           AWS or another server: a command cannot continue; has an exit code

``cli`` prints each of them as one line and ends the command: with its own exit code or that of wrong usage.

An exchange that fails raises nothing: it happens too often for an exception, and returns a ``Failure``.

Each class writes its own text from the data that it gets. None holds a token, a key or a message from AWS: STS quotes
parameter values in some of its texts, and a token is a parameter.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = (
    "DENIALS",
    "CommandError",
    "Failure",
    "InvalidValueError",
    "Outcome",
    "Retry",
    "SettingsError",
    "SidecarError",
    "StartError",
    "StsErrorKind",
    "TokenError",
    "TokenProblem",
)


class SidecarError(Exception):
    """The base class of the errors; catch it at the top only."""


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


class InvalidValueError(ValueError):
    """A text or a value cannot be used; the caller knows where it is, and raises a ``SettingsError`` from it.

    Args:
        what: what is wrong with it.
        fix: what to do.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}; {fix}")
        self.what, self.fix = what, fix


class StartError(SidecarError):
    """The daemon cannot start on this machine.

    Args:
        what: what is missing or cannot be used.
        fix: what to do.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}; {fix}")
        self.what, self.fix = what, fix


class CommandError(SidecarError):
    """A command cannot continue because of AWS or another server.

    Args:
        text: where, what is wrong, and what to do; no text from outside.
        exit_code: one of ``exits.Exit``.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


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
    TokenProblem.EMPTY: "the volume is being written or the disk is full; the file is read again every few seconds",
    TokenProblem.TOO_LARGE: "STS accepts at most 20000 characters: point the token file setting at a token",
    TokenProblem.MALFORMED: "it is not a JWT (RFC 7519): point the token file setting at a ServiceAccount token",
    TokenProblem.EXPIRED: "the kubelet has stopped rotating it: check that this node reaches the API server",
}


class TokenError(SidecarError):
    """The token file holds no usable token.

    Args:
        problem: why the file cannot be used.
        detail: which part is wrong; never bytes of the file.
    """

    def __init__(self, problem: TokenProblem, detail: str = "") -> None:
        self.problem, self.detail, self.hint = problem, detail, _TOKEN_FIX[problem]
        super().__init__(f"token {problem}{f' ({detail})' if detail else ''}; {self.hint}")


class Outcome(StrEnum):
    """How an exchange ended: all values of the metric label and of the log field ``outcome``."""

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
    OTHER_ERROR = "other_error"
    """STS returned an error code that ``exchange.classify`` does not list."""
    INVALID_RESPONSE = "invalid_response"
    WORKER_FAILED = "worker_failed"
    SOURCE_UNAVAILABLE = "source_unavailable"


class StsErrorKind(StrEnum):
    """What AWS distinguishes when it denies or rejects an exchange: one value for each row of ``exchange.classify``."""

    DENIED = "denied"
    """Denied by a policy whose kind AWS does not name."""
    TRUST_POLICY = "trust_policy"
    RESOURCE_CONTROL_POLICY = "resource_control_policy"
    SERVICE_CONTROL_POLICY = "service_control_policy"
    ENDPOINT_POLICY = "endpoint_policy"
    PERMISSIONS_BOUNDARY = "permissions_boundary"
    SESSION_POLICY = "session_policy"
    IDENTITY_POLICY = "identity_policy"
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
    OPT_IN = "opt_in"
    SOURCE_CREDENTIALS = "source_credentials"
    """The credentials that sign the request of a chained role."""
    SIGNATURE = "signature"
    THROTTLED = "throttled"


DENIALS: Final = (
    StsErrorKind.DENIED,
    StsErrorKind.TRUST_POLICY,
    StsErrorKind.RESOURCE_CONTROL_POLICY,
    StsErrorKind.SERVICE_CONTROL_POLICY,
    StsErrorKind.ENDPOINT_POLICY,
    StsErrorKind.PERMISSIONS_BOUNDARY,
    StsErrorKind.SESSION_POLICY,
    StsErrorKind.IDENTITY_POLICY,
)
"""The kinds of policy that deny an exchange: the ``policy`` label of the metric."""


class Retry(StrEnum):
    """The schedule of ``credentials.backoff`` after a failure."""

    TRANSIENT = "transient"
    """Can pass by itself: exponential, full jitter, at most a minute, or some seconds while nothing is held."""
    THROTTLED = "throttled"
    """Other pods use the same quota: exponential, full jitter, at most a minute, also while nothing is held."""
    PROPAGATION = "propagation"
    """Denied, but a change in IAM takes effect after some seconds: short waits until the first credentials."""
    PERMANENT = "permanent"
    """A person has to change a setting or a policy: long waits."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed exchange, in a form that is safe to log, count and serve.

    Attributes:
        outcome: the class of the failure, never ``SUCCESS``.
        retry: the schedule of the next attempts.
        hint: the next step for a person, one line.
        code: the AWS error code, or the name of a local error; "" if there is neither.
        status: the HTTP status, or 0 if AWS did not answer.
        kind: the error as far as STS distinguishes it; finer than ``outcome``. None if the error is not from STS.
        request_id: of the response of AWS, for a support case; "" without one.
    """

    outcome: Outcome
    retry: Retry
    hint: str
    code: str = ""
    status: int = 0
    kind: "StsErrorKind | None" = field(default=None, compare=False)
    request_id: str = field(default="", compare=False)
