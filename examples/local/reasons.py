"""The reasons of the error responses of the strict AWS, and the form of a row of `errors.TABLE`."""

from dataclasses import dataclass
from enum import Enum, auto

UNSOURCED = "unsourced"


class Reason(Enum):
    """The reason of an error response; each has exactly one row in `TABLE`."""

    # AssumeRoleWithWebIdentity, in the order of the checks
    INVALID_PARAMETER = auto()
    INVALID_ARN = auto()
    NOT_A_JWT = auto()
    MISSING_CLAIM = auto()
    NO_PROVIDER = auto()
    NO_VERIFICATION_KEY = auto()
    THUMBPRINT_MISMATCH = auto()
    TOKEN_SIGNATURE = auto()
    TOKEN_EXPIRED = auto()
    TOKEN_NOT_YET_VALID = auto()
    WRONG_AUDIENCE = auto()
    WEB_IDENTITY_DENIED = auto()
    DURATION_OVER_ROLE_MAXIMUM = auto()
    # AssumeRole
    NOT_AUTHORIZED = auto()
    DENIED_BY_POLICY = auto()
    DURATION_OVER_CHAINING_LIMIT = auto()
    # injected faults
    IDP_COMMUNICATION = auto()
    THROTTLED = auto()
    UNAVAILABLE = auto()
    REGION_DISABLED = auto()
    POLICY_TOO_LARGE = auto()
    # signed requests of the query protocol (STS, IAM)
    MISSING_AUTHENTICATION = auto()
    INCOMPLETE_SIGNATURE = auto()
    UNKNOWN_KEY = auto()
    EXPIRED_KEY = auto()
    SIGNATURE_MISMATCH = auto()
    INVALID_ACTION = auto()
    # signed requests of the JSON protocol (SSM)
    MISSING_AUTHENTICATION_JSON = auto()
    INCOMPLETE_SIGNATURE_JSON = auto()
    UNKNOWN_KEY_JSON = auto()
    EXPIRED_KEY_JSON = auto()
    SIGNATURE_MISMATCH_JSON = auto()
    NOT_AUTHORIZED_JSON = auto()
    DENIED_BY_POLICY_JSON = auto()
    # IAM
    INVALID_PROVIDER = auto()
    OVER_QUOTA = auto()
    NO_SUCH_PROVIDER = auto()
    NAME_IN_USE = auto()
    NO_SUCH_ROLE = auto()
    INLINE_POLICIES_TOO_LONG = auto()
    NO_SUCH_PRINCIPAL = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """One error response of AWS.

    Attributes:
        code: the error code.
        status: the HTTP status.
        message: a `str.format` template.
        source: the page that gives the code and the status.
        message_source: the public page that shows the message, or `UNSOURCED`.
    """

    code: str
    status: int
    message: str
    source: str
    message_source: str = UNSOURCED
