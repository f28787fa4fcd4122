"""The causes in IAM, and the groups of causes for which AWS returns the same error. Pure."""

from collections.abc import Mapping
from typing import Final

from sidecar.doctor.checks.denial_causes import OUTSIDE_IAM
from sidecar.doctor.result import Cause
from sidecar.exits import Exit

__all__ = (
    "ACCOUNT_NAME",
    "ACTION",
    "AUDIENCES",
    "CA",
    "CLIENT_ID",
    "DENIED",
    "DENY",
    "DURATION",
    "KEY",
    "LEAF",
    "NAMESPACE",
    "OPEN",
    "OTHER_ACCOUNT",
    "PRINCIPAL",
    "PROPAGATION",
    "PROVIDER",
    "PROVIDERS",
    "PROVIDER_URL",
    "ROLE",
    "SOON",
    "SUBJECT",
    "THUMBPRINTS",
    "TOKEN_AUDIENCE",
    "TRUST",
    "TRUST_AUDIENCE",
    "TRUST_CONDITION",
    "WILDCARD",
    "not_read",
)

_READ_TRUST: Final = "aws iam get-role --role-name {role_name} --query Role.AssumeRolePolicyDocument"
_READ_PROVIDER: Final = (
    "aws iam get-open-id-connect-provider "
    "--open-id-connect-provider-arn arn:{partition}:iam::{account}:oidc-provider/{provider}"
)
_BOOTSTRAP: Final = (
    "aws-oidc-sidecar bootstrap aws --issuer {issuer} --role {role_name} "
    "--service-account {namespace}/{service_account} --audience {aws_audience}"
)


def _cause(name: str, what: str, fix: str, to_confirm: str, exit_code: int = Exit.REFUSED) -> Cause:
    return Cause(name, what, fix, to_confirm, exit_code)


ROLE: Final = _cause(
    "role_missing",
    "account {account} has no role {role}",
    "correct the role ARN in the sidecar's settings, or create the role: " + _BOOTSTRAP,
    "aws iam get-role --role-name {role_name} --query Role.Arn",
)
NAMESPACE: Final = _cause(
    "trust_namespace",
    "the role's trust policy allows the ServiceAccount of another namespace than {namespace}",
    "if {subject} should not have this role, change the ServiceAccount or the role of the pod; else allow it too: "
    + _BOOTSTRAP,
    _READ_TRUST,
)
ACCOUNT_NAME: Final = _cause(
    "trust_service_account",
    "the role's trust policy allows another ServiceAccount than {service_account}",
    "set serviceAccountName in the pod to the right ServiceAccount, or set the sub condition of the policy to "
    "{subject}: " + _BOOTSTRAP,
    _READ_TRUST,
)
SUBJECT: Final = _cause(
    "trust_subject",
    "the role's trust policy requires another sub than {subject}",
    "if {subject} should not have this role, change the ServiceAccount or the role of the pod; else allow it too: "
    + _BOOTSTRAP,
    _READ_TRUST,
)
TRUST_AUDIENCE: Final = _cause(
    "trust_audience",
    "the role's trust policy requires another aud than {audience}",
    "set the aud condition of the policy to {aws_audience}: " + _BOOTSTRAP,
    _READ_TRUST,
)
PRINCIPAL: Final = _cause(
    "trust_principal",
    "no statement of the role's trust policy has the OIDC provider of this issuer, {provider}, as its principal; "
    "found: {principals} (AWS compares every character)",
    "set the Federated principal of the policy to the provider: " + _BOOTSTRAP,
    _READ_TRUST,
)
ACTION: Final = _cause(
    "trust_action",
    "the role's trust policy allows the provider another action than sts:AssumeRoleWithWebIdentity",
    "set the Action of the statement to sts:AssumeRoleWithWebIdentity: " + _BOOTSTRAP,
    _READ_TRUST,
)
KEY: Final = _cause(
    "trust_key",
    "the role's trust policy has the condition key {key}, which does not exist for tokens of this issuer: the keys are "
    "{token_keys}, with the provider's URL to the last character, including a slash at its end",
    "use the condition keys {token_keys}: " + _BOOTSTRAP,
    _READ_TRUST,
)
WILDCARD: Final = _cause(
    "trust_wildcard",
    "the role's trust policy compares {key} with {pattern}, but * and ? are wildcards under StringLike and not under "
    "StringEquals",
    "move this condition to StringLike, or write its value without wildcards: " + _BOOTSTRAP,
    _READ_TRUST,
)
DENY: Final = _cause(
    "trust_denied",
    "a Deny statement of the role's trust policy matches this token",
    "remove the statement from the policy, or exempt {subject} in it",
    _READ_TRUST,
)
TRUST_CONDITION: Final = _cause(
    "trust_condition",
    "the role's trust policy has a condition that the doctor cannot evaluate: {condition}",
    "check that condition; only aud and sub are needed: " + _BOOTSTRAP,
    _READ_TRUST,
)
PROPAGATION: Final = _cause(
    "propagation",
    "IAM was changed less than a minute ago: a change takes effect after some seconds, and until then AWS returns the "
    "same error as before",
    "run the doctor again one minute after the change; if AWS still returns the error, this is not the cause",
    "aws-oidc-sidecar doctor   # again, one minute after the last change in IAM",
)
PROVIDER: Final = _cause(
    "provider_missing",
    "account {account} has no OIDC provider for {issuer}",
    "create the provider: " + _BOOTSTRAP,
    "aws iam list-open-id-connect-providers",
)
PROVIDER_URL: Final = _cause(
    "provider_url",
    "the account has no OIDC provider for the token's iss, {issuer}, but one for {registered}: STS compares every "
    "character, so these are two issuers",
    "create a provider whose URL is exactly the iss; delete the other provider if no other tokens need it: "
    "" + _BOOTSTRAP,
    "aws iam list-open-id-connect-providers",
)
OTHER_ACCOUNT: Final = _cause(
    "role_in_other_account",
    "the role is in account {account}, and the OIDC provider is in another: AWS needs the provider in the role's "
    "account",
    "create the provider in {account} too, or use a role of the provider's account",
    "aws iam list-open-id-connect-providers   # with credentials of account {account}",
)
CLIENT_ID: Final = _cause(
    "client_id_missing",
    "the token's aud, {audience}, is not a client id of the OIDC provider",
    "aws iam add-client-id-to-open-id-connect-provider --client-id {audience} "
    "--open-id-connect-provider-arn arn:{partition}:iam::{account}:oidc-provider/{provider}",
    _READ_PROVIDER,
)
TOKEN_AUDIENCE: Final = _cause(
    "token_audience",
    "the token has aud {audience}, and the OIDC provider expects another",
    "set audience: {audience_setting} in the projected volume of the pod",
    _READ_PROVIDER,
)
LEAF: Final = _cause(
    "thumbprint_of_leaf",
    "no thumbprint of the OIDC provider is that of a certificate that the issuer sends: most likely it has that of an "
    "earlier leaf",
    "register the thumbprint of the last certificate, {thumbprint}, which stays the same when the leaf changes: "
    "" + _BOOTSTRAP,
    _READ_PROVIDER,
    Exit.ISSUER,
)
CA: Final = _cause(
    "ca_rotated",
    "no thumbprint of the OIDC provider is that of a certificate that the issuer sends, and the last of these is newer "
    "than the provider: most likely the CA was replaced",
    "register the thumbprint of the new CA, {thumbprint}, in addition to the old one: " + _BOOTSTRAP,
    _READ_PROVIDER,
    Exit.ISSUER,
)
DURATION: Final = _cause(
    "duration_over_maximum",
    "the session duration, {duration} s, is longer than the role's MaxSessionDuration, {maximum}",
    "aws iam update-role --role-name {role_name} --max-session-duration {duration}   # or lower --duration",
    "aws iam get-role --role-name {role_name} --query Role.MaxSessionDuration",
)
SOON: Final = Cause(
    "thumbprint_is_leaf",
    "the OIDC provider has only the thumbprint of the issuer's leaf: the next leaf breaks the trust",
    "register the thumbprint of the last certificate, {thumbprint}: " + _BOOTSTRAP,
    exit_code=Exit.GOOD,
)
OPEN: Final = Cause(
    "trust_open",
    "the role's trust policy does not limit sub to a namespace or a ServiceAccount: any other pod of the cluster can "
    "assume {role} too",
    "set the sub condition of the policy to {subject}: aws iam update-assume-role-policy --role-name {role_name} "
    "--policy-document file://trust.json",
    _READ_TRUST,
    exit_code=Exit.GOOD,
)

_TRUST: Final = (
    NAMESPACE, ACCOUNT_NAME, SUBJECT, TRUST_AUDIENCE, PRINCIPAL, KEY, WILDCARD, ACTION, DENY, TRUST_CONDITION,
)  # fmt: skip
TRUST: Final = (*_TRUST, PROPAGATION)
"""The possible causes if AWS says that the trust policy denies the request."""
DENIED: Final = (ROLE, *_TRUST, *OUTSIDE_IAM, PROPAGATION)
"""The possible causes of an AccessDenied of AssumeRoleWithWebIdentity; the response of AWS is the same for all."""
PROVIDERS: Final = (PROVIDER, OTHER_ACCOUNT, PROVIDER_URL, PROPAGATION)
AUDIENCES: Final = (CLIENT_ID, TOKEN_AUDIENCE, PROPAGATION)
THUMBPRINTS: Final = (LEAF, CA, PROPAGATION)


def not_read(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts for facts of IAM if IAM was not read.

    Args:
        facts: of the case.
    """
    provider = facts.get("provider", "")
    return {
        "registered": "a URL that differs in a trailing slash, in upper and lower case or in a port",
        "principals": "another provider",
        "key": f"https://{provider}:sub, or another one that is not exactly the token's",
        "token_keys": f"{provider}:aud and {provider}:sub",
        "pattern": "a value with * or ?",
        "condition": "on another key than aud and sub",
        "maximum": "which IAM shows",
        "thumbprint": "which the check `certificate` shows",
    }
