"""The error responses of the strict AWS: one table of code, HTTP status and message, each row with its public source.

Two faults that AWS does not distinguish share a row, so their responses are identical to the byte except for the
request id. `UNSOURCED` marks a message for which no public page was found; code and status always have a public page.
"""

from collections.abc import Mapping
from types import MappingProxyType

from examples.local.reasons import UNSOURCED, Reason, Row

__all__ = ("TABLE", "UNSOURCED", "AwsError", "Reason", "Row")

_STS_API = "https://docs.aws.amazon.com/STS/latest/APIReference/"
_WEB_IDENTITY = _STS_API + "API_AssumeRoleWithWebIdentity.html"
_ASSUME_ROLE = _STS_API + "API_AssumeRole.html"
_STS_COMMON = _STS_API + "CommonErrors.html"
_IAM_COMMON = "https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html"
_SSM_COMMON = "https://docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html"
_DENIED_TEXTS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"
_CREATE_PROVIDER = "https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html"


class AwsError(Exception):
    """The local AWS rejects or denies a request.

    Args:
        reason: the row of `TABLE`.
        values: the values of the row's message template.
    """

    def __init__(self, reason: Reason, **values: object) -> None:
        row = TABLE[reason]
        self.reason = reason
        self.code = row.code
        self.status = row.status
        self.message = row.message.format(**values)
        super().__init__(f"{self.code}: {self.message}")


_UNKNOWN_TEXT = "The security token included in the request is invalid."
_EXPIRED_TEXT = "The security token included in the request is expired"
_NOT_AUTHORIZED_TEXT = "User: {user} is not authorized to perform: {action} on resource: {resource}"
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
        # Also for a token whose algorithm AWS does not accept, as a comment in openshift/hypershift says of its keys.
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
        # Two spaces after the comma, as STS sends it. Discovery document or keys unreachable, slow, malformed, of
        # another issuer, or without the token's `kid`: the knowledge centre has this one message for all of these.
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
        # One response for each mismatch with a trust policy, and for a role that does not exist.
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
        Reason.NOT_AUTHORIZED: Row("AccessDenied", 403, _NOT_AUTHORIZED_TEXT, _IAM_COMMON, _DENIED_TEXTS),
        # `denials.TEXTS` has the words for each kind of policy. A request with a token has no AWS principal.
        Reason.DENIED_BY_POLICY: Row(
            "AccessDenied",
            403,
            _NOT_AUTHORIZED_TEXT + " {context}",
            _DENIED_TEXTS,
            "https://github.com/aws-samples/resource-control-policy-examples/issues/18",
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
            "InvalidClientTokenId", 403, _UNKNOWN_TEXT, _STS_COMMON, "https://github.com/jrl84/amazon-sp-api/issues/218"
        ),
        Reason.EXPIRED_KEY: Row(
            "ExpiredToken", 403, _EXPIRED_TEXT, _STS_COMMON, "https://github.com/cfn-sphere/cfn-sphere/issues/55"
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
            _UNKNOWN_TEXT,
            _SSM_COMMON,
            "https://github.com/coveooss/spring-boot-parameter-store-integration/issues/3",
        ),
        Reason.EXPIRED_KEY_JSON: Row("ExpiredTokenException", 400, _EXPIRED_TEXT, _SSM_COMMON),
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
            _NOT_AUTHORIZED_TEXT + " because no identity-based policy allows the {action} action",
            _SSM_COMMON,
            _DENIED_TEXTS,
        ),
        Reason.DENIED_BY_POLICY_JSON: Row(
            "AccessDeniedException", 400, _NOT_AUTHORIZED_TEXT + " {context}", _SSM_COMMON, _DENIED_TEXTS
        ),
        Reason.INVALID_PROVIDER: Row("InvalidInput", 400, "{detail}", _CREATE_PROVIDER),
        # The same for roles (https://github.com/openshift/release/pull/69365) and attached policies
        # (https://github.com/aws/eks-hybrid/pull/741).
        Reason.OVER_QUOTA: Row(
            "LimitExceeded",
            409,
            "Cannot exceed quota for {quota}",
            _CREATE_PROVIDER,
            "https://github.com/kubernetes-sigs/secrets-store-csi-driver/issues/634",
        ),
        Reason.NO_SUCH_PROVIDER: Row(
            "NoSuchEntity",
            404,
            "OpenIDConnect Provider not found for arn {arn}",
            "https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddClientIDToOpenIDConnectProvider.html",
        ),
        Reason.NAME_IN_USE: Row(
            "EntityAlreadyExists",
            409,
            "Role with name {name} already exists.",
            "https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html",
        ),
        Reason.NO_SUCH_ROLE: Row(
            "NoSuchEntity",
            404,
            "The role with name {role} cannot be found.",
            "https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html",
        ),
        Reason.INLINE_POLICIES_TOO_LONG: Row(
            "LimitExceeded",
            409,
            "Maximum policy size of {most} bytes exceeded for role {role}",
            "https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html",
            "https://github.com/serverless/serverless/issues/7643",
        ),
        Reason.NO_SUCH_PRINCIPAL: Row(
            "MalformedPolicyDocument",
            400,
            'Invalid principal in policy: "AWS":"{arn}"',
            "https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAssumeRolePolicy.html",
            "https://github.com/opstrace/opstrace/issues/88",
        ),
    }
)
