r"""The patterns of names, paths and ARNs that IAM and STS accept, each pattern once. Pure.

AWS's ``\w`` means ASCII; Python's ``\w`` also matches letters of other scripts. An ARN has no white space and no
control character, so it is one word in a log line and in a profile. It is not safe in a shell: a role's path can have
quotes and dollar signs.
"""

import re
from typing import Final

from sidecar.limits import IAM_PATH_MAX_CHARS, POLICY_NAME_MAX_CHARS, ROLE_NAME_MAX_CHARS, SESSION_NAME_MAX_CHARS

__all__ = (
    "NAME_CHARACTERS",
    "PARTITION",
    "POLICY_ARN",
    "POLICY_NAME",
    "ROLE_ARN",
    "ROLE_NAME",
    "ROLE_PATH",
    "SESSION_NAME",
)

NAME_CHARACTERS: Final = "A-Za-z0-9_+=,.@-"
r"""AWS's ``\w+=,.@-``, for the end of a character class."""

PARTITION: Final = "aws[a-z0-9-]*"
"""Matches aws, aws-cn, aws-iso-b and others.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html; the list is botocore's data/partitions.json.
"""

_ROLE_NAME: Final = f"[{NAME_CHARACTERS}]{{1,{ROLE_NAME_MAX_CHARS}}}"
_POLICY_NAME: Final = f"[{NAME_CHARACTERS}]{{1,{POLICY_NAME_MAX_CHARS}}}"
# The characters between the slashes at both ends of a path.
_INSIDE: Final = f"{{1,{IAM_PATH_MAX_CHARS - 2}}}"
_ROLE_PATH: Final = f"/(?:[!-~]{_INSIDE}/)?"
_POLICY_PATH: Final = f"/(?:[/{NAME_CHARACTERS}]{_INSIDE}/)?"

ROLE_NAME: Final = re.compile(_ROLE_NAME)
"""``RoleName`` of https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html"""

ROLE_PATH: Final = re.compile(_ROLE_PATH)
"""``Path`` of https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html: any printable ASCII."""

ROLE_ARN: Final = re.compile(f"arn:{PARTITION}:iam::[0-9]{{12}}:role{_ROLE_PATH}{_ROLE_NAME}")
"""The ARN of a role, with path and name. STS accepts any text as ``RoleArn``, and denies a request without a valid ARN.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
"""

POLICY_NAME: Final = re.compile(_POLICY_NAME)
"""``PolicyName`` of https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html"""

POLICY_ARN: Final = re.compile(f"arn:{PARTITION}:iam::(?:aws|[0-9]{{12}}):policy{_POLICY_PATH}{_POLICY_NAME}")
"""A managed policy of a customer or of AWS; its path allows fewer characters than a role's.

``Path`` and ``PolicyName`` of https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html
"""

SESSION_NAME: Final = re.compile(f"[{NAME_CHARACTERS}]{{2,{SESSION_NAME_MAX_CHARS}}}")
"""``RoleSessionName`` of https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html"""
