"""The limits of parameters of STS and of IAM, from AWS's service models.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html
https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from examples.local.errors import AwsError, Reason
from examples.local.partitions import PARTITIONS, Account

DEFAULT_DURATION_SECONDS = 3600
_MIN_DURATION_SECONDS, _MAX_DURATION_SECONDS = 900, 43200
_LENGTHS = {
    "RoleArn": (20, 2048),
    "RoleSessionName": (2, 64),
    "WebIdentityToken": (4, 20000),
    "ExternalId": (2, 1224),
    "Policy": (1, 2048),
    "RoleName": (1, 64),
    "PolicyName": (1, 128),
    "Path": (1, 512),
}
_NAME = r"[\w+=,.@-]*"
_PATTERNS = {
    "RoleSessionName": _NAME,
    "ExternalId": r"[\w+=,.@:\/-]*",
    "RoleName": _NAME,
    "PolicyName": _NAME,
    "Path": r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)",
}
# No message contains their values.
_SENSITIVE = frozenset({"WebIdentityToken"})
_ROLE_ARN = re.compile(r"arn:([a-z-]+):iam::(\d{12}):role/[\x21-\x7e]+")

_MAX_THUMBPRINTS, _MAX_CLIENT_IDS, _MAX_CLIENT_ID, _MAX_URL = 5, 100, 255, 255
_THUMBPRINT = re.compile(r"[0-9a-fA-F]{40}")


def check_parameters(parameters: Mapping[str, str], required: tuple[str, ...]) -> int:
    """Check each parameter that STS or IAM limits, and return DurationSeconds.

    Raises:
        AwsError: `INVALID_PARAMETER`; the message names each parameter that is missing or out of its limits.
    """
    problems: list[str] = []
    for name, (shortest, longest) in _LENGTHS.items():
        value = parameters.get(name)
        if value is None:
            if name in required:
                problems.append(_problem(name, None, "Member must not be null"))
            continue
        shown = "***" if name in _SENSITIVE else value
        if len(value) > longest:
            problems.append(_problem(name, shown, f"Member must have length less than or equal to {longest}"))
        if len(value) < shortest:
            problems.append(_problem(name, shown, f"Member must have length greater than or equal to {shortest}"))
        if name in _PATTERNS and not re.fullmatch(_PATTERNS[name], value, re.ASCII):
            problems.append(_problem(name, shown, f"Member must satisfy regular expression pattern: {_PATTERNS[name]}"))
    duration, problem = _duration(parameters.get("DurationSeconds", str(DEFAULT_DURATION_SECONDS)))
    problems += problem
    if problems:
        count, plural = len(problems), "s" if len(problems) > 1 else ""
        raise AwsError(Reason.INVALID_PARAMETER, count=count, plural=plural, details="; ".join(problems))
    return duration


def account_of_role(arn: str) -> Account:
    """Return the account in a role's ARN.

    Raises:
        AwsError: `INVALID_ARN` if it is not the ARN of a role.
    """
    match = _ROLE_ARN.fullmatch(arn)
    if match is None or match[1] not in PARTITIONS:
        raise AwsError(Reason.INVALID_ARN)
    return Account(match[2], match[1])


def check_provider(parameters: Mapping[str, str]) -> None:
    """Check the parameters of CreateOpenIDConnectProvider and of UpdateOpenIDConnectProviderThumbprint.

    Raises:
        AwsError: `INVALID_PROVIDER` or `OVER_QUOTA`.
    """
    url = parameters.get("Url")
    if url is not None:
        parts = urlsplit(url)
        # `"?" in url`, because urlsplit cannot show an empty query; ":" in netloc, because ":443" is also rejected.
        if parts.scheme != "https" or not parts.hostname or len(url) > _MAX_URL:
            raise AwsError(Reason.INVALID_PROVIDER, detail="Invalid Open ID Connect Provider URL")
        if "?" in url or "#" in url or ":" in parts.netloc or "@" in parts.netloc:
            raise AwsError(
                Reason.INVALID_PROVIDER,
                detail="Open ID Connect Provider URL must not contain a port, a query or a fragment",
            )
    thumbprints = _members(parameters, "ThumbprintList")
    if len(thumbprints) > _MAX_THUMBPRINTS:
        raise AwsError(Reason.INVALID_PROVIDER, detail="Thumbprint list must contain fewer than 5 entries.")
    if not all(_THUMBPRINT.fullmatch(print_) for print_ in thumbprints):
        raise AwsError(Reason.INVALID_PROVIDER, detail="Thumbprints must be 40 hexadecimal digits")
    client_ids = _members(parameters, "ClientIDList")
    if len(client_ids) > _MAX_CLIENT_IDS:
        raise AwsError(Reason.OVER_QUOTA, quota=f"ClientIdsPerOpenIdConnectProvider: {_MAX_CLIENT_IDS}")
    if not all(1 <= len(client_id) <= _MAX_CLIENT_ID for client_id in client_ids):
        raise AwsError(Reason.INVALID_PROVIDER, detail="Client ids must have 1 to 255 characters")


def _members(parameters: Mapping[str, str], name: str) -> list[str]:
    return [value for key, value in parameters.items() if re.fullmatch(rf"{name}\.member\.\d+", key)]


def _duration(text: str) -> tuple[int, list[str]]:
    if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
        return 0, [_problem("DurationSeconds", text, "Member must be an integer")]
    seconds = int(text)
    if seconds < _MIN_DURATION_SECONDS:
        bound = f"Member must have value greater than or equal to {_MIN_DURATION_SECONDS}"
    elif seconds > _MAX_DURATION_SECONDS:
        bound = f"Member must have value less than or equal to {_MAX_DURATION_SECONDS}"
    else:
        return seconds, []
    return seconds, [_problem("DurationSeconds", text, bound)]


def _problem(name: str, value: str | None, constraint: str) -> str:
    shown = "Value null" if value is None else f"Value '{value}'"
    return f"{shown} at '{name[0].lower()}{name[1:]}' failed to satisfy constraint: {constraint}"
