"""Reads AWS for the doctor: OIDC providers and the role from IAM, and the identity of credentials from STS."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from sidecar.doctor.options import Call
from sidecar.errors import InvalidValueError
from sidecar.exchange.worker import new_session
from sidecar.iam.account import Provider, Role, parse_provider, parse_role
from sidecar.model import Credentials, Profile, account_of

__all__ = ("AwsView", "CallerUnknown", "IamFacts", "IamUnknown", "SimulatedCall", "decision_of")

_CODE: Final = re.compile("[A-Za-z.]{1,64}")

_CONNECT_SECONDS: Final = 2.0
_READ_SECONDS: Final = 5.0
# Credential providers that use what the doctor checks, or addresses where a request can hang.
_REMOVED_PROVIDERS: Final = ("assume-role-with-web-identity", "container-role", "iam-role")


@dataclass(frozen=True, slots=True)
class IamFacts:
    """What was read from IAM.

    Attributes:
        account: the account of the credentials that read IAM.
        providers: all OIDC providers of the account.
        role: the role, or None if it does not exist, or if it is in another account.
        similar_role: the ARN of the role with the same name, and another path or letter case; "" for none.
    """

    account: str
    providers: tuple[Provider, ...]
    role: Role | None
    similar_role: str = ""


@dataclass(frozen=True, slots=True)
class IamUnknown:
    """Why IAM was not read; the text does not quote AWS."""

    why: str


@dataclass(frozen=True, slots=True)
class CallerUnknown:
    """Why the identity of credentials is not known.

    Attributes:
        code: the error code of STS; "" if STS did not answer.
    """

    code: str


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """The decision of IAM's policy simulator about one call.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_EvaluationResult.html

    Attributes:
        outcome: "allowed", "explicitDeny" or "implicitDeny".
        missing_keys: condition keys in the policies that only a real request has.
        policies: the names of the policies with the statements that decided.
        boundary_denies: whether the permissions boundary does not allow it.
        organization_denies: whether the service control policies do not allow it.
    """

    outcome: str
    missing_keys: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    boundary_denies: bool = False
    organization_denies: bool = False

    @property
    def allowed(self) -> bool:
        """Whether all policies that the simulator evaluates allow the call."""
        return self.outcome == "allowed"

    @property
    def denied(self) -> bool:
        """Whether the call is denied for certain: no condition on a real request can allow it."""
        return self.outcome == "explicitDeny" or (not self.allowed and not self.missing_keys)


class AwsView:
    """Reads AWS. No method raises an error of AWS or of the network."""

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - boto3 is imported late, and has no types
        """The same kind of session as for the exchange."""
        return new_session()

    @cached_property
    def _own_session(self) -> Any:  # noqa: ANN401 - as above
        """With the credentials and the AWS profile of the user who runs the doctor."""
        import boto3.session  # noqa: PLC0415 - boto3 is imported where it is needed
        import botocore.credentials  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415

        plain = botocore.session.Session()
        resolver = botocore.credentials.create_credential_resolver(plain)
        for name in _REMOVED_PROVIDERS:
            resolver.remove(name)
        plain.register_component("credential_provider", resolver)
        return boto3.session.Session(botocore_session=plain)

    def read_iam(self, profile: Profile) -> IamFacts | IamUnknown:
        """Return all OIDC providers and the role of a profile, read with the credentials of the user.

        These come from the environment, a config file or a login, as for the AWS CLI; never from the token or the
        sidecar that are checked.
        """
        from botocore import exceptions  # noqa: PLC0415 - as above

        try:
            return self._read_iam(profile)
        except exceptions.ClientError as error:
            return IamUnknown(f"{error.operation_name} failed with the AWS credentials of this environment")
        except (exceptions.BotoCoreError, InvalidValueError, ValueError) as error:
            return _unknown(error)

    def simulate(self, profile: Profile, call: Call) -> SimulatedCall | IamUnknown:
        """Return what the policies of a profile's role decide about a call, asked as `read_iam` asks."""
        from botocore import exceptions  # noqa: PLC0415 - as above

        try:
            answer = _client(self._own_session, "iam", profile, {}).simulate_principal_policy(
                PolicySourceArn=profile.role_arn, ActionNames=[call.action], ResourceArns=[call.resource]
            )
            return decision_of(answer["EvaluationResults"][0])
        except exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code.startswith("AccessDenied"):
                return IamUnknown("the AWS credentials of this environment have no iam:SimulatePrincipalPolicy")
            return IamUnknown(f"SimulatePrincipalPolicy failed ({code if _CODE.fullmatch(code) else 'unknown error'})")
        except (KeyError, IndexError):
            return IamUnknown("the answer to SimulatePrincipalPolicy has no decision")
        except (exceptions.BotoCoreError, ValueError) as error:
            return IamUnknown(f"{_unknown(error).why}; iam:SimulatePrincipalPolicy is needed")

    def caller(self, credentials: Credentials, profile: Profile) -> "str | CallerUnknown":
        """Return the ARN of the identity of credentials (GetCallerIdentity), or why it is not known."""
        from botocore import exceptions  # noqa: PLC0415 - as above

        keys = {
            "aws_access_key_id": credentials.access_key_id,
            "aws_secret_access_key": credentials.secret_access_key,
            "aws_session_token": credentials.session_token,
        }
        try:
            return str(_client(self._session, "sts", profile, keys).get_caller_identity()["Arn"])
        except exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            return CallerUnknown(code if _CODE.fullmatch(code) else "")
        except (exceptions.BotoCoreError, ValueError):
            return CallerUnknown("")

    def sts_endpoint(self, profile: Profile) -> str:
        """Return the URL of STS for a profile, or "" if botocore knows none."""
        from botocore import exceptions  # noqa: PLC0415 - as above

        try:
            return str(_client(self._session, "sts", profile, {}).meta.endpoint_url)
        except (exceptions.BotoCoreError, ValueError):
            return ""

    def _read_iam(self, profile: Profile) -> IamFacts:
        iam = _client(self._own_session, "iam", profile, {})
        account = str(_client(self._own_session, "sts", profile, {}).get_caller_identity()["Account"])
        listed = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        arns = [str(entry["Arn"]) for entry in listed]
        providers = tuple(
            parse_provider(arn, iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)) for arn in arns
        )
        role = _role(iam, profile.role_arn) if account == account_of(profile.role_arn) else None
        # For STS a role with the same name and another path is another role.
        if role is not None and role.arn != profile.role_arn:
            return IamFacts(account, providers, None, role.arn)
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
        # IAM is global in a partition; the region selects the partition.
        region_name=profile.region or "aws-global",
        endpoint_url=endpoint or None,
        config=config,
        **keys,
    )


def _unknown(error: Exception) -> IamUnknown:
    from botocore import exceptions  # noqa: PLC0415 - as above

    if isinstance(error, exceptions.ProfileNotFound):
        return IamUnknown("AWS_PROFILE names a profile that no AWS config file here has")
    if isinstance(error, exceptions.NoCredentialsError):
        return IamUnknown("no AWS credentials in the environment, a config file or a login")
    if isinstance(error, InvalidValueError):
        return IamUnknown(f"IAM could not be read: {error.what}")
    return IamUnknown(f"IAM could not be read ({type(error).__name__})")


def decision_of(result: Mapping[str, Any]) -> SimulatedCall:
    """Return the decision in one of the `EvaluationResults`, as boto3 returns it.

    Raises:
        KeyError: it has no decision.
    """
    # With a resource its own result counts; the other one is the most restrictive of all resources.
    own: Mapping[str, Any] = next(iter(result.get("ResourceSpecificResults", ())), {})
    details = {**result, **own}
    boundary = details.get("PermissionsBoundaryDecisionDetail", {})
    organization = details.get("OrganizationsDecisionDetail", {})
    return SimulatedCall(
        outcome=str(own.get("EvalResourceDecision", result["EvalDecision"])),
        missing_keys=tuple(details.get("MissingContextValues", ())),
        policies=tuple(dict.fromkeys(str(each["SourcePolicyId"]) for each in details.get("MatchedStatements", ()))),
        boundary_denies=boundary.get("AllowedByPermissionsBoundary") is False,
        organization_denies=organization.get("AllowedByOrganizations") is False,
    )


def _role(iam: Any, arn: str) -> Role | None:  # noqa: ANN401 - as above
    try:
        response = iam.get_role(RoleName=arn.rpartition("/")[2])
    except iam.exceptions.NoSuchEntityException:
        return None
    return parse_role(response["Role"])
