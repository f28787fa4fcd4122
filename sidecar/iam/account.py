"""An OIDC provider and a role of IAM, parsed from the responses of its API. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.errors import InvalidValueError
from sidecar.iam.policies import document

__all__ = ("Provider", "Role", "parse_provider", "parse_role")


@dataclass(frozen=True, slots=True)
class Provider:
    """An OIDC provider of IAM.

    Attributes:
        arn: of the provider.
        name: its URL without https://.
        client_ids: the audiences that it accepts.
        thumbprints: of certificates, SHA-1 in lower case.
        tags: of the provider.
        created_at: wall seconds; IAM has no time of a later change.
    """

    arn: str
    name: str
    client_ids: tuple[str, ...] = ()
    thumbprints: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Role:
    """A role of IAM.

    Attributes:
        arn: of the role, with its path.
        trust: its trust policy.
        path: of its ARN.
        max_session_seconds: its maximum session duration.
        policy_arns: attached managed policies; () if they were not read.
        inline: {name of an inline policy: its document}; None for a document that was not requested, {} if no policy
            was read.
        tags: of the role.
        description: of the role; "" for none.
        created_at: wall seconds; IAM has no time of a later change, such as of the trust policy.
    """

    arn: str
    trust: Mapping[str, Any]
    path: str = "/"
    max_session_seconds: int = 3_600
    policy_arns: tuple[str, ...] = ()
    inline: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    created_at: float = 0.0


def parse_provider(arn: str, answer: Mapping[str, Any]) -> Provider:
    """Return a provider.

    Args:
        arn: the requested ARN: the response does not repeat it.
        answer: the response of GetOpenIDConnectProvider, as boto3 returns it.
            https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetOpenIDConnectProvider.html

    Raises:
        InvalidValueError: a member that IAM always sends is missing, for example if a gateway responds for IAM.
    """
    _check_members(answer, "Url", "CreateDate")
    return Provider(
        arn=arn,
        # IAM accepts the URL with https:// and returns it without; programs that emulate IAM return it unchanged.
        name=answer["Url"].removeprefix("https://"),
        client_ids=tuple(answer.get("ClientIDList", ())),
        # Hexadecimal digits: a thumbprint in capitals is of the same certificate.
        thumbprints=tuple(one.lower() for one in answer.get("ThumbprintList", ())),
        tags=_tags(answer),
        created_at=answer["CreateDate"].timestamp(),
    )


def parse_role(answer: Mapping[str, Any]) -> Role:
    """Return a role without its policies, which other operations return.

    Args:
        answer: the `Role` of the response of GetRole, as boto3 returns it.
            https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html

    Raises:
        InvalidValueError: a member that IAM always sends is missing, or the trust policy cannot be read. It is not
            treated as an empty policy: statements would be lost.
    """
    _check_members(answer, "Arn", "AssumeRolePolicyDocument", "CreateDate")
    return Role(
        arn=answer["Arn"],
        trust=_trust(answer["AssumeRolePolicyDocument"]),
        path=answer.get("Path", "/"),
        max_session_seconds=int(answer.get("MaxSessionDuration", 3_600)),
        tags=_tags(answer),
        description=answer.get("Description", ""),
        created_at=answer["CreateDate"].timestamp(),
    )


def _check_members(answer: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name not in answer:
            fix = "check that this endpoint is IAM, and not a gateway or a proxy"
            raise InvalidValueError(f"the response of IAM has no {name}", fix)


def _trust(given: object) -> Mapping[str, Any]:
    try:
        return document(given)
    except InvalidValueError as error:
        raise InvalidValueError(f"trust policy: {error.what}", error.fix) from None


def _tags(answer: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in answer.get("Tags", ())}
