"""Denials by policies that are in neither the role nor its trust policy: injected faults, with AWS's words for each.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html has the form of each text: "with an
explicit deny in a ..." or "because no ... allows the ... action".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from examples.local.errors import AwsError, Reason
from examples.local.faults import FaultKind


@dataclass(frozen=True, slots=True)
class _Denial:
    """The words for one kind of policy; `of_tokens` is whether it applies to a request without an AWS principal."""

    context: str
    of_tokens: bool


TEXTS: Mapping[FaultKind, _Denial] = MappingProxyType(
    {
        # https://github.com/aws-samples/resource-control-policy-examples/issues/18
        FaultKind.DENIED_BY_RCP: _Denial("with an explicit deny in a resource control policy", of_tokens=True),
        # https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html
        FaultKind.DENIED_BY_ENDPOINT_POLICY: _Denial(
            "because no VPC endpoint policy allows the {action} action", of_tokens=True
        ),
        # https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html: they affect users
        # and roles; the text: https://github.com/awslabs/landing-zone-accelerator-on-aws/pull/330
        FaultKind.DENIED_BY_SCP: _Denial("with an explicit deny in a service control policy", of_tokens=False),
        FaultKind.DENIED_BY_BOUNDARY: _Denial(
            "because no permissions boundary allows the {action} action", of_tokens=False
        ),
        # https://github.com/aws/aws-sdk-js/issues/4303
        FaultKind.DENIED_BY_SESSION_POLICY: _Denial(
            "because no session policy allows the {action} action", of_tokens=False
        ),
    }
)
"""A boundary and a session policy limit a role's session, so they apply to what is done with its credentials."""


def check_denials(faults: Mapping[FaultKind, object], *, user: str, action: str, resource: str) -> None:
    """Deny a request that the role's own policies allow, if such a fault is active.

    Args:
        faults: the faults that apply to this call.
        user: the ARN of the caller; "anonymous" for a request with a token.
        action: such as "sts:AssumeRole".
        resource: an ARN, or "*".

    Raises:
        AwsError: `DENIED_BY_POLICY`, for SSM `DENIED_BY_POLICY_JSON`.
    """
    for kind, denial in TEXTS.items():
        if kind in faults and (denial.of_tokens or user != "anonymous"):
            reason = Reason.DENIED_BY_POLICY_JSON if action.startswith("ssm:") else Reason.DENIED_BY_POLICY
            context = denial.context.format(action=action)
            raise AwsError(reason, user=user, action=action, resource=resource, context=context)
