"""What is to be set up, and the limits that IAM puts on it. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html and, for patterns, the actions of
https://docs.aws.amazon.com/IAM/latest/APIReference/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.issuer.documents import check_issuer

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
"""Begins the names of the inline policies that let one role assume the next."""
CLIENT_IDS_MAX: Final = 100
THUMBPRINTS_MAX: Final = 5
TAGS_MAX: Final = 50
RESERVED_TAGS: Final = 3
"""How many of them are ours: who manages the object, for which issuer, and whether it was adopted."""

_URL_MAX: Final = 255
_CLIENT_ID_MAX: Final = 255
_PATH_MAX: Final = 512
_SUBJECT_MAX: Final = 255  # OpenID Connect Core 1.0, section 2
_SESSION_SECONDS: Final = (3_600, 43_200)
_PARTITIONS: Final = ("aws", "aws-cn", "aws-us-gov")
_ROLE_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_POLICY_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,128}")
_PATH: Final = re.compile(r"/|/[\x21-\x7e]+/")
_ROLE_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]{1,576}")
_POLICY_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9_+=,.@/-]{1,640}")
_TAG_TEXT: Final = re.compile(r"[\w\s.:/=+\-@]*")
_THUMBPRINT: Final = re.compile(r"[0-9a-f]{40}")
# RFC 1123, as Kubernetes checks names: a label for a namespace, a subdomain for a ServiceAccount.
_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_SERVICE_ACCOUNT: Final = re.compile(rf"(?P<namespace>{_LABEL})/(?P<name>(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*)")


@dataclass(frozen=True, slots=True)
class Issuer:
    """One OIDC issuer.

    Attributes:
        url: as tokens have it in `iss`.
        thumbprints: what to register, whatever the issuer serves; None to look at what it serves.
    """

    url: str
    thumbprints: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One role. It is assumed by tokens, or by the roles in `assumed_by`, never by both.

    Attributes:
        name: unique in the account, whatever its case.
        subjects: `sub` of the tokens that may assume it.
        subjects_like: the same with * and ?.
        audience: `aud` of these tokens, any of them.
        assumed_by: names of roles in the same `Spec`, or ARNs.
        session_tags: whether these may tag their sessions.
        policy_arns: managed policies to attach.
        inline: {name of an inline policy: its document}.
        tags: besides our own.
        max_session_seconds: the longest life of its credentials.
        path: of its ARN; cannot be changed later.
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
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole set-up.

    Attributes:
        issuers: each role trusts all of them; the first one is named in the tags of roles.
        roles: those in `assumed_by` before the ones that they assume.
        tags: of the providers, besides our own.
        audience: of tokens, where no role says one.
    """

    issuers: tuple[Issuer, ...]
    roles: tuple[RoleSpec, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    audience: tuple[str, ...] = (DEFAULT_AUDIENCE,)

    @property
    def client_ids(self) -> tuple[str, ...]:
        """Every audience that some role needs, each once; at least one."""
        needed = dict.fromkeys(one for role in self.roles if not role.assumed_by for one in role.audience)
        return tuple(needed) or self.audience


def issuer_url(text: str) -> str:
    """Return an issuer's URL; ValueError("what; fix") as for every function below."""
    if len(text) > _URL_MAX:
        raise ValueError(f"too long; IAM takes at most {_URL_MAX} characters in an issuer")
    # The parser of URLs drops line feeds, which would then begin a line of a script.
    if not re.fullmatch(r"[\x21-\x7e]*", text):
        raise ValueError("has white space or other characters that no URL has; give it as the tokens' iss has it")
    return check_issuer(text)


def role_name(text: str) -> str:
    """Return the name of a role."""
    return _matching(_ROLE_NAME, text, "a role's name", "use 1 to 64 of A-Z a-z 0-9 _ + = , . @ -")


def role_or_arn(text: str) -> str:
    """Return the name of a role, or an ARN of one."""
    if _ROLE_ARN.fullmatch(text):
        return text
    return _matching(_ROLE_NAME, text, "a role's name or ARN", "use a name of this file or arn:aws:iam::...:role/...")


def path(text: str) -> str:
    """Return the path of a role."""
    if len(text) > _PATH_MAX:
        raise ValueError(f"too long; IAM takes at most {_PATH_MAX} characters in a path")
    return _matching(_PATH, text, "a path", "begin and end it with a slash, as in /teams/payments/")


def policy_arn(text: str) -> str:
    """Return the ARN of a managed policy."""
    return _matching(_POLICY_ARN, text, "a policy's ARN", "use one as in arn:aws:iam::aws:policy/ReadOnlyAccess")


def policy_name(text: str) -> str:
    """Return the name of an inline policy."""
    if text.startswith(CHAIN_PREFIX):
        raise ValueError(f"begins with {CHAIN_PREFIX}, which is for the policies of role chains; use another name")
    return _matching(_POLICY_NAME, text, "an inline policy's name", "use 1 to 128 of A-Z a-z 0-9 _ + = , . @ -")


def client_id(text: str) -> str:
    """Return an audience, which is a client id to IAM."""
    if not 1 <= len(text) <= _CLIENT_ID_MAX or not text.isprintable():
        raise ValueError(f"not an audience; use 1 to {_CLIENT_ID_MAX} printable characters")
    return text


def service_account(text: str) -> str:
    """Return the `sub` of the tokens of NAMESPACE/NAME.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens
    """
    match = _SERVICE_ACCOUNT.fullmatch(text)
    if match is None:
        raise ValueError("not NAMESPACE/NAME of a ServiceAccount; write it as in default/aws-parameter-reader")
    return f"system:serviceaccount:{match['namespace']}:{match['name']}"


def subject(text: str) -> str:
    """Return a `sub` that is compared to the last character."""
    if "*" in text or "?" in text:
        raise ValueError("has * or ?, which stand for themselves here; a pattern has to be asked for as such")
    return _subject(text)


def subject_like(text: str) -> str:
    """Return a pattern for `sub`."""
    if "*" not in text and "?" not in text:
        raise ValueError("has no * or ?; give it as a subject, which is compared exactly")
    if not text.strip("*?"):
        raise ValueError("lets every token of the issuer in; name a namespace at least")
    return _subject(text)


def max_session(seconds: int) -> int:
    """Return a role's longest session in seconds."""
    least, most = _SESSION_SECONDS
    if not least <= seconds <= most:
        raise ValueError(f"out of range; IAM takes {least} to {most} seconds")
    return seconds


def tag_key(text: str) -> str:
    """Return the key of a tag."""
    if not 1 <= len(text) <= 128 or not _TAG_TEXT.fullmatch(text):  # noqa: PLR2004 - IAM's
        raise ValueError("not a tag's key; use 1 to 128 letters, digits, spaces and . : / = + - @ _")
    if text.lower().startswith("aws:"):
        raise ValueError("begins with aws:, which is AWS's own; use another key")
    if text.lower() == "managed-by" or text.lower().startswith("aws-oidc-sidecar/"):
        raise ValueError("is set by this command itself; use another key")
    return text


def tag_value(text: str) -> str:
    """Return the value of a tag."""
    if len(text) > 256 or not _TAG_TEXT.fullmatch(text):  # noqa: PLR2004 - IAM's
        raise ValueError("not a tag's value; use at most 256 letters, digits, spaces and . : / = + - @ _")
    return text


def thumbprint(text: str) -> str:
    """Return a thumbprint as IAM keeps it, from one with or without colons as openssl prints it."""
    found = text.replace(":", "").lower()
    return _matching(_THUMBPRINT, found, "a thumbprint", "use the SHA-1 of a certificate, 40 hexadecimal digits")


def account_id(text: str) -> str:
    """Return an account id."""
    return _matching(re.compile(r"[0-9]{12}"), text, "an account id", "use its 12 digits")


def partition(text: str) -> str:
    """Return the name of a partition."""
    if text not in _PARTITIONS:
        raise ValueError(f"not a partition that is known here; use {', '.join(_PARTITIONS)}")
    return text


def _subject(text: str) -> str:
    if not 1 <= len(text) <= _SUBJECT_MAX or not text.isprintable():
        raise ValueError(f"not a subject; use 1 to {_SUBJECT_MAX} printable characters")
    if "${" in text:
        raise ValueError("has a policy variable, which IAM would replace; write the subject out")
    return text


def _matching(pattern: re.Pattern[str], text: str, what: str, fix: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"not {what}; {fix}")
    return text
