"""What the doctor reads from AWS with somebody's own rights: IAM's provider and role, and who a set is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import unquote

from sidecar.exchange.worker import new_session
from sidecar.model import Credentials, Profile, account_of

__all__ = ("AwsView", "IamFacts", "IamUnknown", "Provider", "Role")

_CONNECT_SECONDS: Final = 2.0
_READ_SECONDS: Final = 5.0
# Ways to credentials that lead through what is being examined, or through addresses that hang where nobody answers.
_NOT_ASKED: Final = ("assume-role-with-web-identity", "container-role", "iam-role")


@dataclass(frozen=True, slots=True)
class Provider:
    """An IAM OIDC provider: its ARN, its URL without https://, its client ids, thumbprints, and when it was made."""

    arn: str
    name: str
    client_ids: tuple[str, ...]
    thumbprints: tuple[str, ...]
    created_at: float


@dataclass(frozen=True, slots=True)
class Role:
    """A role: its trust policy, and its MaxSessionDuration in seconds."""

    trust: Mapping[str, Any]
    max_session_seconds: int


@dataclass(frozen=True, slots=True)
class IamFacts:
    """What IAM has.

    Attributes:
        account: the account that was read; that of whoever asked.
        providers: all of it.
        role: the role of that name, or None where there is none; also None where `account` is not the role's.
    """

    account: str
    providers: tuple[Provider, ...]
    role: Role | None


@dataclass(frozen=True, slots=True)
class IamUnknown:
    """IAM was not read, and why, in words of ours."""

    why: str


class AwsView:
    """Reads AWS. Every method returns, whatever AWS does."""

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - boto3 comes late, untyped
        """What the exchange is done with, too."""
        return new_session()

    @cached_property
    def _own_session(self) -> Any:  # noqa: ANN401 - as above
        """Of whoever runs this, with their profile."""
        import boto3.session  # noqa: PLC0415 - boto3 is imported where it is needed
        import botocore.credentials  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415

        plain = botocore.session.Session()
        resolver = botocore.credentials.create_credential_resolver(plain)
        for name in _NOT_ASKED:
            resolver.remove(name)
        plain.register_component("credential_provider", resolver)
        return boto3.session.Session(botocore_session=plain)

    def read_iam(self, profile: Profile) -> IamFacts | IamUnknown:
        """Return what IAM has of a profile's role and of all providers, by the credentials of whoever runs this.

        They come from the environment, a config file or a login, as for the AWS CLI; never from the token or the
        sidecar that are being examined.
        """
        from botocore import exceptions  # noqa: PLC0415 - as above

        try:
            return self._read_iam(profile)
        except exceptions.ClientError as error:
            return IamUnknown(f"{error.operation_name} was refused to the credentials that are here")
        except exceptions.ProfileNotFound:
            return IamUnknown("AWS_PROFILE names a profile that is in no file here")
        except exceptions.NoCredentialsError:
            return IamUnknown("there are no AWS credentials of one's own here")
        except (exceptions.BotoCoreError, ValueError) as error:
            return IamUnknown(f"IAM could not be read ({type(error).__name__})")

    def caller(self, held: Credentials, profile: Profile) -> str | None:
        """Return the ARN that a set stands for (GetCallerIdentity), or None where STS does not say."""
        from botocore import exceptions  # noqa: PLC0415 - as above

        keys = {
            "aws_access_key_id": held.access_key_id,
            "aws_secret_access_key": held.secret_access_key,
            "aws_session_token": held.session_token,
        }
        try:
            return str(_client(self._session, "sts", profile, keys).get_caller_identity()["Arn"])
        except (exceptions.BotoCoreError, exceptions.ClientError, ValueError):
            return None

    def partition(self, region: str) -> str:
        """Return a region's partition, such as "aws-cn", or "" where the region is not known or empty."""
        from botocore import exceptions  # noqa: PLC0415 - as above

        try:
            return str(self._session.get_partition_for_region(region)) if region else ""
        except exceptions.BotoCoreError:
            return ""

    def sts_endpoint(self, profile: Profile) -> str:
        """Return the URL of STS for a profile, or "" where botocore knows none."""
        from botocore import exceptions  # noqa: PLC0415 - as above

        try:
            return str(_client(self._session, "sts", profile, {}).meta.endpoint_url)
        except (exceptions.BotoCoreError, ValueError):
            return ""

    def _read_iam(self, profile: Profile) -> IamFacts:
        iam = _client(self._own_session, "iam", profile, {})
        account = str(_client(self._own_session, "sts", profile, {}).get_caller_identity()["Account"])
        listed = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        providers = tuple(_provider(iam, str(entry["Arn"])) for entry in listed)
        role = _role(iam, profile.role_arn) if account == account_of(profile.role_arn) else None
        return IamFacts(account, providers, role)


def _client(session: Any, service: str, profile: Profile, keys: Mapping[str, str]) -> Any:  # noqa: ANN401 - as above
    from botocore.config import Config  # noqa: PLC0415 - as above

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": 1},
        use_fips_endpoint=profile.fips,
        use_dualstack_endpoint=profile.dual_stack,
    )
    endpoint = profile.endpoint_url if service == "sts" else ""
    return session.client(
        service,
        # IAM is global in a partition, and the region says which.
        region_name=profile.region or "aws-global",
        endpoint_url=endpoint or None,
        config=config,
        **keys,
    )


def _provider(iam: Any, arn: str) -> Provider:  # noqa: ANN401 - as above
    details = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    return Provider(
        arn=arn,
        name=str(details["Url"]).removeprefix("https://"),
        client_ids=tuple(details.get("ClientIDList", ())),
        thumbprints=tuple(print_.lower() for print_ in details.get("ThumbprintList", ())),
        created_at=details["CreateDate"].timestamp(),
    )


def _role(iam: Any, arn: str) -> Role | None:  # noqa: ANN401 - as above
    try:
        role = iam.get_role(RoleName=arn.rpartition("/")[2])["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None
    # A role of the same name under another path is another role to STS.
    if role["Arn"] != arn:
        return None
    document = role["AssumeRolePolicyDocument"]
    trust = json.loads(unquote(document)) if isinstance(document, str) else document
    return Role(trust, int(role.get("MaxSessionDuration", 3600)))
