"""Every refusal of the strict AWS: one table of code, HTTP status and message, each row with its public source.

Where AWS does not tell two faults apart, they share a row here, so their answers are identical to the byte but for
the request id. `UNSOURCED` marks a message that no public page was found for; its code and status always have one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

UNSOURCED = "unsourced"

_STS_API = "https://docs.aws.amazon.com/STS/latest/APIReference/"
_WEB_IDENTITY = _STS_API + "API_AssumeRoleWithWebIdentity.html"
_ASSUME_ROLE = _STS_API + "API_AssumeRole.html"
_STS_COMMON = _STS_API + "CommonErrors.html"
_IAM_COMMON = "https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html"
_SSM_COMMON = "https://docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html"
_CREATE_PROVIDER = "https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html"


class Reason(Enum):
    """Why a request is refused; each has exactly one row in `TABLE`."""

    # AssumeRoleWithWebIdentity, in the order in which things are checked
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
    DURATION_OVER_CHAINING_LIMIT = auto()
    # told to fail
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
    # IAM
    INVALID_PROVIDER = auto()
    TOO_MANY_CLIENT_IDS = auto()
    NO_SUCH_PROVIDER = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """What AWS answers.

    Attributes:
        code: the error code.
        status: the HTTP status.
        message: a `str.format` template.
        source: the page that gives the code and the status.
        message_source: where the message was seen in public, or `UNSOURCED`.
    """

    code: str
    status: int
    message: str
    source: str
    message_source: str = UNSOURCED


class Refused(Exception):  # noqa: N818 - AWS refuses; it is not an error of ours
    """A request is refused for `reason`.

    Args:
        reason: the row of `TABLE`.
        values: what the row's message names.
    """

    def __init__(self, reason: Reason, **values: object) -> None:
        row = TABLE[reason]
        self.reason = reason
        self.code = row.code
        self.status = row.status
        self.message = row.message.format(**values)
        super().__init__(f"{self.code}: {self.message}")


_SIGNATURE_TEXT = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)

TABLE: Mapping[Reason, Row] = MappingProxyType(
    {
        Reason.INVALID_PARAMETER: Row(
            "ValidationError",
            400,
            "{count} validation error{plural} detected: {details}",
            _STS_COMMON,
            "https://github.com/mmmorris1975/aws-runas/issues/80",
        ),
        Reason.INVALID_ARN: Row(
            "ValidationError",
            400,
            "Request ARN is invalid",
            _STS_COMMON,
            "https://github.com/crossplane-contrib/provider-aws/issues/517",
        ),
        # Also for a token whose algorithm AWS does not take, as a comment in openshift/hypershift says of its keys.
        Reason.NOT_A_JWT: Row(
            "InvalidIdentityToken",
            400,
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
            _WEB_IDENTITY,
            "https://github.com/aws-observability/aws-rum-web/blob/main/docs/cdn_troubleshooting.md",
        ),
        Reason.MISSING_CLAIM: Row(
            "InvalidIdentityToken",
            400,
            "Missing a required claim: {claim}",
            _WEB_IDENTITY,
            "https://github.com/aws/aws-sdk-ruby/issues/2698",
        ),
        Reason.NO_PROVIDER: Row(
            "InvalidIdentityToken",
            400,
            "No OpenIDConnect provider found in your account for {issuer}",
            _WEB_IDENTITY,
            "https://github.com/mozilla-iam/mozilla-aws-cli/issues/127",
        ),
        # Two spaces after the comma, as STS sends it. Discovery or keys out of reach, slow, malformed, of another
        # issuer, or without the token's `kid`: the knowledge centre names one message for all.
        Reason.NO_VERIFICATION_KEY: Row(
            "InvalidIdentityToken",
            400,
            "Couldn't retrieve verification key from your identity provider,  please reference "
            "AssumeRoleWithWebIdentity documentation for requirements",
            "https://repost.aws/knowledge-center/iam-sts-invalididentitytoken",
            "https://github.com/awslabs/aws-sdk-rust/issues/827",
        ),
        Reason.THUMBPRINT_MISMATCH: Row(
            "InvalidIdentityToken",
            400,
            "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint",
            "https://repost.aws/knowledge-center/eks-error-invalid-identity-token",
            "https://github.com/aws-actions/configure-aws-credentials/issues/357",
        ),
        Reason.TOKEN_SIGNATURE: Row(
            "InvalidIdentityToken",
            400,
            "The web identity token that was passed could not be validated by AWS",
            _WEB_IDENTITY,
        ),
        Reason.TOKEN_EXPIRED: Row(
            "ExpiredTokenException",
            400,
            "Token expired: current date/time {now} must be before the expiration date/time {expires_at}",
            _WEB_IDENTITY,
            "https://github.com/aws/aws-sdk-java-v2/issues/5709",
        ),
        Reason.TOKEN_NOT_YET_VALID: Row("InvalidIdentityToken", 400, "Token is not valid yet", _WEB_IDENTITY),
        Reason.WRONG_AUDIENCE: Row(
            "InvalidIdentityToken",
            400,
            "Incorrect token audience",
            _WEB_IDENTITY,
            "https://github.com/awslabs/amazon-eks-irsa-cfn/pull/18",
        ),
        # One answer for every mismatch with a trust policy, and for a role that does not exist.
        Reason.WEB_IDENTITY_DENIED: Row(
            "AccessDenied",
            403,
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            _STS_COMMON,
            "https://github.com/aws/aws-sdk-net/issues/1522",
        ),
        Reason.DURATION_OVER_ROLE_MAXIMUM: Row(
            "ValidationError",
            400,
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            _WEB_IDENTITY,
            "https://github.com/kreuzwerker/awsu/issues/27",
        ),
        Reason.NOT_AUTHORIZED: Row(
            "AccessDenied",
            403,
            "User: {user} is not authorized to perform: {action} on resource: {resource}",
            _IAM_COMMON,
            "https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html",
        ),
        Reason.DURATION_OVER_CHAINING_LIMIT: Row(
            "ValidationError",
            400,
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
            _ASSUME_ROLE,
            "https://github.com/aws/eks-anywhere/pull/9485",
        ),
        Reason.IDP_COMMUNICATION: Row(
            "IDPCommunicationError", 400, "An error occurred communicating with the identity provider", _WEB_IDENTITY
        ),
        Reason.THROTTLED: Row(
            "Throttling", 400, "Rate exceeded", _STS_COMMON, "https://github.com/aws/aws-sdk-go-v2/issues/2544"
        ),
        Reason.UNAVAILABLE: Row("ServiceUnavailable", 503, "Service Unavailable", _STS_COMMON),
        Reason.REGION_DISABLED: Row("RegionDisabledException", 403, "STS is not activated in {region}.", _WEB_IDENTITY),
        Reason.POLICY_TOO_LARGE: Row(
            "PackedPolicyTooLarge", 400, "Packed size of session tags and policies exceeds the limit", _WEB_IDENTITY
        ),
        Reason.MISSING_AUTHENTICATION: Row(
            "MissingAuthenticationToken", 403, "Request is missing Authentication Token", _STS_COMMON
        ),
        Reason.INCOMPLETE_SIGNATURE: Row("IncompleteSignature", 400, "Authorization header is malformed.", _STS_COMMON),
        Reason.UNKNOWN_KEY: Row(
            "InvalidClientTokenId",
            403,
            "The security token included in the request is invalid.",
            _STS_COMMON,
            "https://github.com/jrl84/amazon-sp-api/issues/218",
        ),
        Reason.EXPIRED_KEY: Row(
            "ExpiredToken",
            403,
            "The security token included in the request is expired",
            _STS_COMMON,
            "https://github.com/cfn-sphere/cfn-sphere/issues/55",
        ),
        Reason.SIGNATURE_MISMATCH: Row(
            "SignatureDoesNotMatch",
            403,
            _SIGNATURE_TEXT,
            _STS_COMMON,
            "https://github.com/apancutt/deploy-aws-s3-cloudfront/issues/25",
        ),
        Reason.INVALID_ACTION: Row(
            "InvalidAction", 400, "Could not find operation {action} for version {version}", _STS_COMMON
        ),
        Reason.MISSING_AUTHENTICATION_JSON: Row(
            "MissingAuthenticationTokenException",
            400,
            "Missing Authentication Token",
            _SSM_COMMON,
            "https://github.com/common-voice/common-voice/issues/1599",
        ),
        Reason.INCOMPLETE_SIGNATURE_JSON: Row(
            "IncompleteSignatureException", 400, "Authorization header is malformed.", _SSM_COMMON
        ),
        Reason.UNKNOWN_KEY_JSON: Row(
            "UnrecognizedClientException",
            400,
            "The security token included in the request is invalid.",
            _SSM_COMMON,
            "https://github.com/coveooss/spring-boot-parameter-store-integration/issues/3",
        ),
        Reason.EXPIRED_KEY_JSON: Row(
            "ExpiredTokenException", 400, "The security token included in the request is expired", _SSM_COMMON
        ),
        Reason.SIGNATURE_MISMATCH_JSON: Row(
            "InvalidSignatureException",
            400,
            _SIGNATURE_TEXT,
            _SSM_COMMON,
            "https://github.com/CrowdStrike/falcon-scripts/issues/126",
        ),
        Reason.NOT_AUTHORIZED_JSON: Row(
            "AccessDeniedException",
            400,
            "User: {user} is not authorized to perform: {action} on resource: {resource} "
            "because no identity-based policy allows the {action} action",
            _SSM_COMMON,
            "https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html",
        ),
        Reason.INVALID_PROVIDER: Row("InvalidInput", 400, "{detail}", _CREATE_PROVIDER),
        Reason.TOO_MANY_CLIENT_IDS: Row(
            "LimitExceeded", 409, "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100", _CREATE_PROVIDER
        ),
        Reason.NO_SUCH_PROVIDER: Row(
            "NoSuchEntity",
            404,
            "OpenIDConnect Provider not found for arn {arn}",
            "https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddClientIDToOpenIDConnectProvider.html",
        ),
    }
)
