"""The keys of a profile: those of the AWS config file that are supported, ignored or rejected, and our own. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.errors import InvalidValueError
from sidecar.iam.names import POLICY_ARN
from sidecar.limits import POLICY_ARNS_MAX, POLICY_MAX_CHARS
from sidecar.settings import options
from sidecar.settings.regions import region

__all__ = ("FIXES", "IGNORED", "KEYS", "OTHER_SECTIONS", "ProfileKey", "misleads", "profile_name")

# The name is part of a URL path, of a directory, and of the volume aws-oidc-profile-<name>, a label of at most 63.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,44}[a-z0-9])?")
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_+=,.@:/\\-]{2,1224}")


def _external_id(text: str) -> str:
    if not _EXTERNAL_ID.fullmatch(text):
        raise InvalidValueError("not an external ID", "use 2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / \\ - (AWS STS)")
    return text


def _policy(text: str) -> str:
    if len(text) > POLICY_MAX_CHARS:
        raise InvalidValueError(
            "too long for a session policy", f"shorten it; STS accepts at most {POLICY_MAX_CHARS} characters"
        )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        # Without white space: STS counts characters.
        return json.dumps(value, separators=(",", ":"))
    raise InvalidValueError("not a JSON object", "write the session policy on one line or indent its lines")


def _policy_arns(text: str) -> tuple[str, ...]:
    # The name of a policy can contain a comma, but not ",arn:".
    words = (word.strip(",") for word in text.replace(",arn:", " arn:").split())
    arns = tuple(word for word in words if word)
    if len(arns) > POLICY_ARNS_MAX:
        raise InvalidValueError("too many policies", f"remove some; STS accepts at most {POLICY_ARNS_MAX}")
    for arn in arns:
        if not POLICY_ARN.fullmatch(arn):
            raise InvalidValueError("not a list of IAM policy ARNs", "separate the ARNs by commas or white space")
    return arns


def profile_name(text: str) -> str:
    """Return the name of a profile, or raise InvalidValueError."""
    if not _NAME.fullmatch(text):
        raise InvalidValueError("not a valid profile name", "use 1 to 46 of a-z 0-9 -, without - at the ends")
    return text


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """One key of a profile: the field of ``Profile`` that it sets, the parser of its text, and its help."""

    field: str
    parse: Callable[[str], Any]
    help: str


KEYS: Final[Mapping[str, ProfileKey]] = {
    "role_arn": ProfileKey("role_arn", options.role_arn, "ARN of the IAM role to assume; required"),
    "source_profile": ProfileKey(
        "source", profile_name, "role chaining: the profile whose credentials sign the AssumeRole request for this role"
    ),
    "role_session_name": ProfileKey("session_name", options.session_name, "session name, shown in CloudTrail"),
    "duration_seconds": ProfileKey(
        "duration_seconds", options.duration, "lifetime of the credentials in seconds; at most 3600 with source_profile"
    ),
    "region": ProfileKey("region", region, "AWS region of the STS endpoint"),
    "endpoint_url": ProfileKey("endpoint_url", options.url, "URL of another STS endpoint"),
    "use_fips_endpoint": ProfileKey("fips", options.switch, "use the FIPS endpoint of STS"),
    "use_dualstack_endpoint": ProfileKey("dual_stack", options.switch, "use the dual-stack endpoint of STS"),
    "external_id": ProfileKey("external_id", _external_id, "external ID (sts:ExternalId); needs source_profile"),
    "policy": ProfileKey("policy", _policy, "session policy (JSON) that restricts the permissions of the role"),
    "policy_arns": ProfileKey(
        "policy_arns", _policy_arns, "ARNs of managed policies that restrict the permissions of the role, at most 10"
    ),
    "session_tags": ProfileKey(
        "session_tags", options.switch, "tag the session with namespace and pod; needs source_profile"
    ),
    "on_change": ProfileKey("on_change", options.on_change, options.ON_CHANGE_HELP),
    "serve": ProfileKey(
        "served", options.switch, "whether applications can get the credentials; false for a source of other profiles"
    ),
}
"""The keys that a profile may have."""

IGNORED: Final = frozenset({
    "cli_auto_prompt", "cli_binary_format", "cli_follow_urlparam", "cli_history", "cli_pager", "cli_timestamp_format",
    "defaults_mode", "max_attempts", "output", "parameter_validation", "retry_mode",
})  # fmt: skip
"""Keys of the AWS config file that change nothing in an exchange, whatever their value:
https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html"""

_STATIC = "remove the profile: the credentials of a pod come from its token"
FIXES: Final[Mapping[str, str]] = {
    "aws_access_key_id": _STATIC,
    "aws_secret_access_key": _STATIC,
    "aws_session_token": _STATIC,
    "ca_bundle": "remove it; set AWS_CA_BUNDLE in the sidecar's container",
    "credential_process": "remove it; each role here is assumed with the token, or with source_profile",
    "credential_source": "remove it; write source_profile for role chaining",
    "endpoint_url_sts": "write endpoint_url",
    "mfa_serial": "remove it: a pod has no MFA device",
    "services": "remove it; write endpoint_url for another STS endpoint",
    "sso_account_id": "remove the profile: a pod cannot log in to IAM Identity Center",
    "sso_region": "remove the profile: a pod cannot log in to IAM Identity Center",
    "sso_role_name": "remove the profile: a pod cannot log in to IAM Identity Center",
    "sso_session": "remove the profile: a pod cannot log in to IAM Identity Center",
    "sso_start_url": "remove the profile: a pod cannot log in to IAM Identity Center",
    "sts_regional_endpoints": "remove it: the endpoint is that of region; without a region it is the global endpoint",
    "web_identity_token_file": "remove it, and set the token-file setting to this path: the sidecar has one token",
}
"""What to do about keys of the AWS config file that are not supported, or not with this value."""

OTHER_SECTIONS: Final = ("plugins", "preview", "services", "sso-session")
"""The first words of sections of the AWS config file that have no profile."""


def misleads(key: str, text: str, token_file: str) -> bool:
    """Whether a key that is not in ``KEYS`` would look as if it had an effect that it has not.

    Args:
        key: in lower case.
        text: its value.
        token_file: the file of the projected token.
    """
    harmless = {"sts_regional_endpoints": "regional", "web_identity_token_file": token_file}
    return key not in IGNORED and harmless.get(key) != text
