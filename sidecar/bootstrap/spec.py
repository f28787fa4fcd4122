"""The wanted issuers and roles, and the limits that IAM sets for them. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html and, for patterns, the actions of
https://docs.aws.amazon.com/IAM/latest/APIReference/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.errors import InvalidValueError
from sidecar.iam.names import (
    POLICY_ARN,
    POLICY_NAME,
    ROLE_ARN,
    ROLE_NAME,
    ROLE_PATH,
)
from sidecar.issuer.documents import check_issuer
from sidecar.limits import IAM_PATH_MAX_CHARS, POLICY_NAME_MAX_CHARS, ROLE_NAME_MAX_CHARS

__all__ = (
    "CHAIN_PREFIX",
    "CLIENT_IDS_MAX",
    "DEFAULT_AUDIENCE",
    "RESERVED_TAGS",
    "TAGS_MAX",
    "THUMBPRINTS_MAX",
    "Issuer",
    "RoleSpec",
    "Spec",
    "account_id",
    "client_id",
    "issuer_url",
    "max_session",
    "partition",
    "path",
    "policy_arn",
    "policy_name",
    "role_name",
    "role_or_arn",
    "service_account",
    "subject",
    "subject_like",
    "tag_key",
    "tag_value",
    "thumbprint",
)

DEFAULT_AUDIENCE: Final = "sts.amazonaws.com"
CHAIN_PREFIX: Final = "aws-oidc-sidecar-assume-"
"""Prefix of the names of inline policies for role chaining: each lets its role assume another role."""
CLIENT_IDS_MAX: Final = 100
THUMBPRINTS_MAX: Final = 5
TAGS_MAX: Final = 50
RESERVED_TAGS: Final = 3
"""The number of tags that this command sets: `managed-by`, the issuer, and whether the object was adopted."""

_URL_MAX: Final = 255
_CLIENT_ID_MAX: Final = 255
_SUBJECT_MAX: Final = 255  # OpenID Connect Core 1.0, section 2
_SESSION_SECONDS: Final = (3_600, 43_200)
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html, and data/partitions.json of botocore.
_PARTITIONS: Final = (
    "aws",
    "aws-cn",
    "aws-eusc",
    "aws-iso",
    "aws-iso-b",
    "aws-iso-e",
    "aws-iso-f",
    "aws-us-gov",
)
_TAG_TEXT: Final = re.compile(r"[\w\s.:/=+\-@]*")
_THUMBPRINT: Final = re.compile(r"[0-9a-f]{40}")
# RFC 1123, as Kubernetes checks names: a label for a namespace, a subdomain for a ServiceAccount.
_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_SERVICE_ACCOUNT: Final = re.compile(rf"(?P<namespace>{_LABEL})/(?P<name>(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*)")


@dataclass(frozen=True, slots=True)
class Issuer:
    """One OIDC issuer.

    Attributes:
        url: the `iss` of its tokens.
        thumbprints: the thumbprints to register, without contacting the issuer; None to read its certificates.
    """

    url: str
    thumbprints: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One role. It is assumed by tokens, or by the roles in `assumed_by`, never by both.

    Attributes:
        name: unique in the account; IAM does not distinguish names by case.
        subjects: `sub` of the tokens that can assume it.
        subjects_like: patterns for `sub`, with * and ?.
        audience: `aud` of these tokens; a token needs one of them.
        assumed_by: names of roles in the same `Spec`, or ARNs.
        session_tags: whether the roles of `assumed_by` can set session tags.
        policy_arns: managed policies to attach.
        inline: {name of an inline policy: its document}.
        tags: in addition to those of this command.
        max_session_seconds: the maximum session duration.
        path: of its ARN; cannot be changed later. "" means / for a new role, and the current path of an existing role.
    """

    name: str
    subjects: tuple[str, ...] = ()
    subjects_like: tuple[str, ...] = ()
    audience: tuple[str, ...] = (DEFAULT_AUDIENCE,)
    assumed_by: tuple[str, ...] = ()
    session_tags: bool = False
    policy_arns: tuple[str, ...] = ()
    inline: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    max_session_seconds: int = _SESSION_SECONDS[0]
    path: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """The wanted issuers and roles.

    Attributes:
        issuers: each role trusts all of them; the tags of the roles name the first.
        roles: each role comes after the roles in its `assumed_by`.
        tags: of the providers, in addition to those of this command.
        audience: `aud` of the tokens, if no role is assumed by tokens.
    """

    issuers: tuple[Issuer, ...]
    roles: tuple[RoleSpec, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    audience: tuple[str, ...] = (DEFAULT_AUDIENCE,)

    @property
    def client_ids(self) -> tuple[str, ...]:
        """The audiences that the roles need, without duplicates; at least one."""
        needed = dict.fromkeys(one for role in self.roles if not role.assumed_by for one in role.audience)
        return tuple(needed) or self.audience


def issuer_url(text: str) -> str:
    """Return an issuer's URL, or raise InvalidValueError, as the functions below do."""
    _check_length(text, _URL_MAX, "an issuer")
    # The URL parser drops line feeds, and such a line feed would start a new line of a script.
    if not re.fullmatch(r"[\x21-\x7e]*", text):
        what = "has white space or other characters that are not allowed in a URL"
        raise InvalidValueError(what, "give it exactly as in the tokens' iss")
    return check_issuer(text)


def role_name(text: str) -> str:
    """Return the name of a role."""
    _check_length(text, ROLE_NAME_MAX_CHARS, "a role's name")
    return _matching(ROLE_NAME, text, "a role's name", "use 1 to 64 of A-Z a-z 0-9 _ + = , . @ -")


def role_or_arn(text: str) -> str:
    """Return the name of a role, or an ARN of one."""
    if ROLE_ARN.fullmatch(text):
        return text
    _check_length(text.rpartition("/")[2], ROLE_NAME_MAX_CHARS, "a role's name")
    fix = "use the name of a role in this file, or arn:aws:iam::...:role/..."
    return _matching(ROLE_NAME, text, "a role's name or ARN", fix)


def path(text: str) -> str:
    """Return the path of a role."""
    _check_length(text, IAM_PATH_MAX_CHARS, "a path")
    return _matching(ROLE_PATH, text, "a path", "begin and end it with a slash, as in /teams/payments/")


def policy_arn(text: str) -> str:
    """Return the ARN of a managed policy."""
    _check_length(text.rpartition("/")[2], POLICY_NAME_MAX_CHARS, "a policy's name")
    return _matching(POLICY_ARN, text, "a policy's ARN", "use an ARN as arn:aws:iam::aws:policy/ReadOnlyAccess")


def policy_name(text: str) -> str:
    """Return the name of an inline policy."""
    if text.startswith(CHAIN_PREFIX):
        raise InvalidValueError(f"begins with {CHAIN_PREFIX}, which is reserved for role chaining", "use another name")
    _check_length(text, POLICY_NAME_MAX_CHARS, "a policy's name")
    return _matching(POLICY_NAME, text, "an inline policy's name", "use 1 to 128 of A-Z a-z 0-9 _ + = , . @ -")


def client_id(text: str) -> str:
    """Return an audience, which IAM calls a client id."""
    if not 1 <= len(text) <= _CLIENT_ID_MAX or not text.isprintable():
        raise InvalidValueError("not an audience", f"use 1 to {_CLIENT_ID_MAX} printable characters")
    return text


def service_account(text: str) -> str:
    """Return the `sub` of the tokens of NAMESPACE/NAME.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens
    """
    match = _SERVICE_ACCOUNT.fullmatch(text)
    if match is None:
        raise InvalidValueError("not NAMESPACE/NAME of a ServiceAccount", "write it as default/aws-parameter-reader")
    return f"system:serviceaccount:{match['namespace']}:{match['name']}"


def subject(text: str) -> str:
    """Return a `sub` that is compared exactly."""
    if "*" in text or "?" in text:
        raise InvalidValueError("has * or ?, which are not wildcards here", "give a pattern as a subject-like value")
    return _subject(text)


def subject_like(text: str) -> str:
    """Return a pattern for `sub`."""
    if "*" not in text and "?" not in text:
        raise InvalidValueError("has no * or ?", "give it as a subject, which is compared exactly")
    if not text.strip("*?"):
        raise InvalidValueError("matches every token of the issuer", "write at least a namespace into it")
    return _subject(text)


def max_session(seconds: int) -> int:
    """Return a role's maximum session duration in seconds."""
    minimum, maximum = _SESSION_SECONDS
    if not minimum <= seconds <= maximum:
        raise InvalidValueError("out of range", f"use {minimum} to {maximum} seconds: the range of IAM")
    return seconds


def tag_key(text: str) -> str:
    """Return the key of a tag."""
    if not 1 <= len(text) <= 128 or not _TAG_TEXT.fullmatch(text):  # noqa: PLR2004 - the limit of IAM
        raise InvalidValueError("not a tag's key", "use 1 to 128 letters, digits, spaces and . : / = + - @ _")
    if text.lower().startswith("aws:"):
        raise InvalidValueError("begins with aws:, which is reserved for AWS", "use another key")
    if text.lower() == "managed-by" or text.lower().startswith("aws-oidc-sidecar/"):
        raise InvalidValueError("is a key that this command sets itself", "use another key")
    return text


def tag_value(text: str) -> str:
    """Return the value of a tag."""
    if len(text) > 256 or not _TAG_TEXT.fullmatch(text):  # noqa: PLR2004 - the limit of IAM
        raise InvalidValueError("not a tag's value", "use at most 256 letters, digits, spaces and . : / = + - @ _")
    return text


def thumbprint(text: str) -> str:
    """Return a thumbprint as IAM stores it; the text can have colons and capitals, as openssl prints it."""
    found = text.replace(":", "").lower()
    return _matching(_THUMBPRINT, found, "a thumbprint", "use the SHA-1 of a certificate, 40 hexadecimal digits")


def account_id(text: str) -> str:
    """Return an account id."""
    return _matching(re.compile(r"[0-9]{12}"), text, "an account id", "use its 12 digits")


def partition(text: str) -> str:
    """Return the name of a partition."""
    if text not in _PARTITIONS:
        raise InvalidValueError("not a partition", f"use {', '.join(_PARTITIONS)}")
    return text


def _subject(text: str) -> str:
    if not 1 <= len(text) <= _SUBJECT_MAX or not text.isprintable():
        raise InvalidValueError("not a subject", f"use 1 to {_SUBJECT_MAX} printable characters")
    if "${" in text:
        raise InvalidValueError("has a policy variable, which IAM would replace", "write the subject without it")
    return text


def _check_length(text: str, most: int, of: str) -> None:
    if len(text) > most:
        what = f"too long, {len(text)} characters"
        raise InvalidValueError(what, f"use at most {most} characters: the limit of IAM for {of}")


def _matching(pattern: re.Pattern[str], text: str, what: str, fix: str) -> str:
    if not pattern.fullmatch(text):
        raise InvalidValueError(f"not {what}", fix)
    return text
