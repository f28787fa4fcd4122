"""The causes of a denial outside the OIDC provider and the trust policy, and what confirms each. Pure.

AWS names the kind of policy that denied a request if the request is of the same account or organization, and if the
service has the newer texts: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from collections.abc import Mapping
from typing import Final

from sidecar.doctor.result import Cause
from sidecar.errors import StsErrorKind
from sidecar.exits import Exit

__all__ = ("BY_POLICY", "IN_A_CHAIN", "OTHER_CERTIFICATE", "OUTSIDE_IAM", "SESSION", "UNEXPLAINED")

# The event of a failed exchange has errorCode, errorMessage, vpcEndpointId and requestID; it appears minutes later.
_EVENT: Final = (
    "aws cloudtrail lookup-events --region {trail_region} --lookup-attributes "
    "AttributeKey=EventName,AttributeValue={event} --query 'Events[].CloudTrailEvent' --output text"
)


def _policy(name: str, what: str, fix: str, to_confirm: str) -> Cause:
    return Cause(name, what, fix, to_confirm, Exit.REFUSED)


_RESOURCE_CONTROL: Final = _policy(
    "resource_control_policy",
    "a resource control policy of the organization of account {account} denies sts:{event} on {role}",
    "ask the organization's administrator to exempt {role}, or tokens of this issuer, in that policy",
    _EVENT + "   # errorMessage names a resource control policy; or, in the organization's management account: "
    "aws organizations list-policies-for-target --filter RESOURCE_CONTROL_POLICY --target-id {account}, and the same "
    "for each parent of the account",
)
_ENDPOINT: Final = _policy(
    "vpc_endpoint_policy",
    "STS is reached through a VPC endpoint whose policy does not allow sts:{event} on {role}",
    "allow sts:{event} on {role} in the endpoint's policy, for the principal *: a request with a token has no other "
    "principal",
    _EVENT + "   # the event has vpcEndpointId; then: aws ec2 describe-vpc-endpoints --region {trail_region} "
    "--query 'VpcEndpoints[].[VpcEndpointId, ServiceName, PolicyDocument]'",
)
_SERVICE_CONTROL: Final = _policy(
    "service_control_policy",
    "a service control policy of the organization denies sts:{event} on {role}",
    "ask the organization's administrator to allow sts:{event} on {role} in that policy",
    _EVENT + "   # errorMessage names a service control policy; or, in the organization's management account: "
    "aws organizations list-policies-for-target --filter SERVICE_CONTROL_POLICY --target-id {account}, and the same "
    "for each parent of the account",
)
_BOUNDARY: Final = _policy(
    "permissions_boundary",
    "the permissions boundary of the calling role does not allow sts:{event} on {role}",
    "allow sts:{event} on {role} in the boundary, or remove the boundary from the calling role",
    "aws iam get-role --role-name {calling_role_name} --query Role.PermissionsBoundary",
)
SESSION: Final = _policy(
    "session_policy_denies",
    "the session policy of the profile before this one in the chain does not allow sts:{event} on {role}",
    "allow sts:{event} on {role} in that profile's `policy`, or in one of its `policy_arns`",
    _EVENT + "   # errorMessage names a session policy",
)
_IDENTITY: Final = _policy(
    "identity_policy",
    "no policy of the calling role allows sts:{event} on {role}, or one denies it",
    "allow sts:{event} on {role} in a policy of the calling role: `assumed_by` in `bootstrap aws --file` does this",
    "aws iam simulate-principal-policy --policy-source-arn {calling_role} --action-names sts:{event} "
    "--resource-arns {role}",
)
OTHER_CERTIFICATE: Final = Cause(
    "other_certificate",
    "AWS gets another certificate from {host} than this machine: several servers have this name, or the name resolves "
    "to another address outside this network",
    "configure each server of {host} to send a certificate of the CA whose thumbprint the provider has",
    "openssl s_client -connect {host}:443 -servername {host} -showcerts </dev/null   # from outside your network",
    Exit.ISSUER,
)
UNEXPLAINED: Final = _policy(
    "unexplained",
    "another cause, if none of those above is confirmed",
    "read the CloudTrail event of the failed exchange, and give its requestID to AWS Support",
    _EVENT + "   # errorCode, errorMessage and requestID",
)

BY_POLICY: Final[Mapping[StsErrorKind, Cause]] = {
    StsErrorKind.RESOURCE_CONTROL_POLICY: _RESOURCE_CONTROL,
    StsErrorKind.SERVICE_CONTROL_POLICY: _SERVICE_CONTROL,
    StsErrorKind.ENDPOINT_POLICY: _ENDPOINT,
    StsErrorKind.PERMISSIONS_BOUNDARY: _BOUNDARY,
    StsErrorKind.SESSION_POLICY: SESSION,
    StsErrorKind.IDENTITY_POLICY: _IDENTITY,
}
"""The cause for each kind of policy that AWS names in its response."""

OUTSIDE_IAM: Final = (_RESOURCE_CONTROL, _ENDPOINT, _SERVICE_CONTROL)
"""What can deny a token that the trust policy allows, if AWS names no policy, the most likely first.

Without a permissions boundary and a session policy: these limit the session of a role, and a request with a token
has no session yet.
"""
IN_A_CHAIN: Final = (_SERVICE_CONTROL, _RESOURCE_CONTROL, _BOUNDARY, _ENDPOINT)
"""The same for an AssumeRole with the credentials of another role."""
