"""The causes that AWS's answer to an exchange names by itself, and those of documents that AWS does not get. Pure."""

from typing import Final

from sidecar.doctor.result import Cause
from sidecar.exits import Exit

__all__ = (
    "BAD_POLICY",
    "CACHED",
    "CHAIN",
    "ISSUER_CLOSED",
    "ISSUER_SLOW",
    "NO_ANSWER",
    "OPT_IN",
    "OTHER",
    "PARAMETER",
    "POLICY",
    "REGION",
    "REJECTED",
    "SIGNATURE",
    "SOURCE",
    "THROTTLED",
    "TOKEN",
    "TOKEN_EXPIRED_AT_AWS",
)

REGION: Final = Cause(
    "region_disabled",
    "STS is not active in {region} for the role's account",
    "activate STS in this region (IAM console, Account settings, Security Token Service), or set another region",
    "aws account get-region-opt-status --region-name {region}",
    Exit.REFUSED,
)
POLICY: Final = Cause(
    "session_policy_too_large",
    "the profile's session policy, policy ARNs and tags are together larger than STS accepts, or the credentials with "
    "them are larger than SDKs can read",
    "shorten `policy` in the profile, or move it into a managed policy and list that in `policy_arns`",
    exit_code=Exit.REFUSED,
)
BAD_POLICY: Final = Cause(
    "session_policy_malformed",
    "the profile's session policy is not a valid IAM policy",
    "correct `policy` in the profile",
    "aws accessanalyzer validate-policy --policy-type RESOURCE_POLICY --policy-document file://policy.json",
    Exit.REFUSED,
)
PARAMETER: Final = Cause(
    "parameter_refused",
    "AWS rejects a parameter: role ARN, session name, duration or policy",
    "check the profile's settings: aws-oidc-sidecar run --check-config",
    exit_code=Exit.REFUSED,
)
CHAIN: Final = Cause(
    "chain_refused",
    "role {chained_role} does not trust the role before it in the chain, the role before it is not allowed to assume "
    "it, or session tags are not allowed",
    "allow sts:AssumeRole (with session_tags also sts:TagSession) in the trust policy of this role and in a policy of "
    "the role before it: `assumed_by` in `bootstrap aws --file`",
    "aws iam get-role --role-name {chained_role_name} --query Role.AssumeRolePolicyDocument",
    Exit.REFUSED,
)
TOKEN_EXPIRED_AT_AWS: Final = Cause(
    "token_expired_at_aws",
    "the token has expired by the clock of AWS",
    "see the checks `token file` and `clock`: the token is not rotated, or the clock of this node is behind",
    exit_code=Exit.REFUSED,
)
TOKEN: Final = Cause(
    "token_refused",
    "AWS does not accept the token: its signature does not match the published key, a claim is missing, or the token "
    "is not valid yet",
    "compare the key sets of all API server instances; see the check `clock`",
    "kubectl get --raw /openid/v1/jwks",
    Exit.ISSUER,
)
REJECTED: Final = Cause(
    "claim_rejected",
    "the identity provider rejected the token",
    "compare the token's claims with what the identity provider expects",
    exit_code=Exit.REFUSED,
)
THROTTLED: Final = Cause(
    "throttled",
    "AWS throttles the requests",
    "run the doctor again in a minute; the daemon retries by itself",
    exit_code=Exit.REFUSED,
)
NO_ANSWER: Final = Cause(
    "sts_no_answer",
    "STS sent no usable response: {hint}",
    "see the check `path to STS`",
    exit_code=Exit.UNREACHABLE,
)
ISSUER_CLOSED: Final = Cause(
    "issuer_closed_to_aws",
    "{host} answers here and not to AWS: it is not open to the internet, or the name resolves to another address there",
    "open port 443 of {host} to the internet",
    "curl -sv {discovery_url}   # from outside your network",
    Exit.ISSUER,
)
CACHED: Final = Cause(
    "keys_not_seen_by_aws",
    "the key of this token, {kid}, is published, and a cache in front of {host} still gives AWS the keys before it",
    "empty each cache in front of {host}; publish a new key before it signs tokens",
    "curl -s {jwks_uri}   # from outside your network; the key with the kid {kid} is missing",
    Exit.ISSUER,
)
ISSUER_SLOW: Final = Cause(
    "issuer_slow_for_aws",
    "{host} needs more than 5 seconds for AWS, and less from here",
    "let it answer both documents within 5 seconds: use a managed issuer, or `aws-oidc-sidecar publish-issuer`",
    "curl -s -o /dev/null -w '%{{time_total}}' {discovery_url}   # from outside your network, several times",
    Exit.ISSUER,
)
OTHER: Final = Cause(
    "sts_error",
    "STS returned the error {code}, which the doctor does not know",
    "look up the code in the STS API Reference, Common Errors, and the request id in CloudTrail",
    exit_code=Exit.REFUSED,
)
OPT_IN: Final = Cause(
    "not_opted_in",
    "account {account} is not subscribed to the service or region that was called",
    "enable the region for the account, or set another region",
    "aws account get-region-opt-status --region-name {region}",
    Exit.REFUSED,
)
SOURCE: Final = Cause(
    "source_credentials_refused",
    "STS does not accept the credentials of the role before {role} in the chain",
    "run the doctor again, which gets new ones; if it stays, create the role before it again with `bootstrap aws`",
    exit_code=Exit.REFUSED,
)
SIGNATURE: Final = Cause(
    "signature_refused",
    "STS rejects the signature of the request for {role}: a proxy changes the request, or this node's clock is wrong",
    "compare the check `clock`; call STS without the proxy",
    exit_code=Exit.REFUSED,
)
