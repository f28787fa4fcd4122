"""The account: reads what is there of a set-up, and makes one change. The one importer of boto3 here."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import boto3
import botocore.exceptions as boto

from sidecar.bootstrap.failure import EXIT_REFUSED, EXIT_RIGHTS, EXIT_UNREACHABLE, EXIT_USAGE, Stopped
from sidecar.bootstrap.policies import document, items
from sidecar.bootstrap.spec import CHAIN_PREFIX, Spec
from sidecar.bootstrap.state import OPERATIONS, Account, Change, Observed, Provider, Role

__all__ = ("Iam",)

# Where none is set. Of STS any region of the partition will do; IAM has one endpoint for each partition.
_DEFAULT_REGION: Final = "us-east-1"
_LATER: Final = frozenset({
    "Throttling", "ThrottlingException", "ServiceUnavailable", "InternalFailure", "ServiceFailure",
})  # fmt: skip
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_BAD_KEYS: Final = frozenset({
    "ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException", "OptInRequired",
})  # fmt: skip
_CHANGED: Final = frozenset({
    "EntityAlreadyExists", "NoSuchEntity", "ConcurrentModification", "EntityTemporarilyUnmodifiable",
})  # fmt: skip
_FIXES: Final = (
    (_BAD_KEYS, "log in again, and see that the clock and the partition of the region are right"),
    (
        {"NoSuchEntity"},
        "see that the policies and roles that are named exist; if somebody removed one now, run it again",
    ),
    (_CHANGED, "somebody changes the object at this moment; run it again"),
    ({"MalformedPolicyDocument"}, "see that the document is a policy, and that each role that it names exists"),
    ({"DeleteConflict"}, "take off what others hang on it, such as an instance profile, and run it again"),
    ({"LimitExceeded"}, "a quota is used up, such as the length of a trust policy: raise it, or make do with less"),
)
# A role that is new is no principal yet for some seconds: "IAM ... eventual consistency",
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventually-consistent
_PROPAGATION_PAUSES: Final = (2.0, 4.0, 8.0, 16.0)
_GIVE_KEYS: Final = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its siblings, or use --emit cli without any"


class Iam:
    """IAM of one account, by the AWS CLI's own settings.

    Args:
        region: of STS, or None for that of the environment.
        pause: waits for so many seconds.

    Raises:
        Stopped: boto3 finds no usable settings or credentials (2).
    """

    def __init__(self, region: str | None = None, pause: Callable[[float], None] = time.sleep) -> None:
        self._pause = pause
        try:
            session = boto3.Session(region_name=region)
            self._profile = session.profile_name
            self._iam: Any = session.client("iam", region_name=session.region_name or _DEFAULT_REGION)
            self._sts: Any = session.client("sts", region_name=session.region_name or _DEFAULT_REGION)
        except (boto.BotoCoreError, ValueError) as error:
            raise Stopped(
                "the settings of AWS", _class(error), "see that `aws configure list` works", EXIT_USAGE
            ) from None

    def account(self) -> Account:
        """Return whose credentials are used.

        Raises:
            Stopped: as for every method: no credentials (2), unreachable (3), refused (4), rights missing (6).
        """
        answer = self._call("GetCallerIdentity", client=self._sts)
        return Account(answer["Account"], answer["Arn"].split(":")[1])

    def observe(self, spec: Spec, account: Account, *, trusting: bool = False) -> Observed:
        """Return what is there of a set-up.

        Args:
            spec: what to look for.
            account: that of the credentials.
            trusting: whether to find out which roles trust its providers.
        """
        providers = {arn: self._provider(arn) for arn in map(account.provider_arn, spec.issuers)}
        roles = {role.name: self._role(role.name, role.inline) for role in spec.roles}
        return Observed(
            account,
            {arn: found for arn, found in providers.items() if found is not None},
            {name: found for name, found in roles.items() if found is not None},
            self._trusting(tuple(providers)) if trusting else None,
        )

    def apply(self, change: Change) -> None:
        """Make one change.

        Raises:
            Stopped: see `account`; with `changed` where the object is not as it was seen.
        """
        names_roles = any('"Principal":{"AWS":' in str(value) for value in change.parameters.values())
        for pause in (*(_PROPAGATION_PAUSES if names_roles else ()), None):
            try:
                self._call(change.operation, **change.parameters)
            except _Coded as error:
                if pause is None or not isinstance(error, _Malformed):
                    raise error.stopped from None
                self._pause(pause)
            else:
                return

    def settle(self) -> None:
        """Wait until IAM has agreed with itself on what was changed, before one looks again."""
        self._pause(_PROPAGATION_PAUSES[0])

    def _provider(self, arn: str) -> Provider | None:
        found = self._find("GetOpenIDConnectProvider", OpenIDConnectProviderArn=arn)
        if found is None:
            return None
        return Provider(
            tuple(found.get("ClientIDList", ())), tuple(found.get("ThumbprintList", ())), _tags(found.get("Tags", ()))
        )

    def _role(self, name: str, inline: Mapping[str, object]) -> Role | None:
        answer = self._find("GetRole", RoleName=name)
        if answer is None:
            return None
        found = answer["Role"]
        names = [one for page in self._pages("ListRolePolicies", RoleName=name) for one in page["PolicyNames"]]
        return Role(
            trust=_document(found["AssumeRolePolicyDocument"]),
            path=found.get("Path", "/"),
            max_session_seconds=int(found.get("MaxSessionDuration", 3_600)),
            policy_arns=tuple(
                policy["PolicyArn"]
                for page in self._pages("ListAttachedRolePolicies", RoleName=name)
                for policy in page["AttachedPolicies"]
            ),
            inline={
                one: self._inline(name, one) if one in inline or one.startswith(CHAIN_PREFIX) else None for one in names
            },
            tags=_tags(found.get("Tags", ())),
        )

    def _inline(self, role: str, name: str) -> Mapping[str, Any] | None:
        found = self._find("GetRolePolicy", RoleName=role, PolicyName=name)
        return None if found is None else _document(found["PolicyDocument"])

    def _trusting(self, arns: tuple[str, ...]) -> Mapping[str, tuple[str, ...]] | None:
        try:
            roles = [role for page in self._pages("ListRoles") for role in page["Roles"]]
        except Stopped as error:
            if error.exit_code == EXIT_RIGHTS:
                return None
            raise
        named = {role["RoleName"]: _federated(_document(role.get("AssumeRolePolicyDocument", {}))) for role in roles}
        return {arn: tuple(name for name, found in named.items() if arn in found) for arn in arns}

    def _find(self, operation: str, **parameters: object) -> Any:  # noqa: ANN401 - of boto3
        try:
            return self._call(operation, **parameters)
        except _Missing:
            return None

    def _pages(self, operation: str, **parameters: object) -> Iterator[Any]:
        more: dict[str, object] = {}
        while True:
            try:
                page = self._call(operation, **parameters, **more)
            except _Coded as error:
                raise error.stopped from None
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"Marker": page["Marker"]}

    def _call(self, operation: str, *, client: Any = None, **parameters: object) -> Any:  # noqa: ANN401 - of boto3
        call = getattr(client or self._iam, OPERATIONS[operation].method)
        try:
            return call(**parameters)
        except boto.ClientError as error:
            if error.operation_name != operation:
                raise _profile_refused(self._profile, error) from None
            raise _refused(operation, error) from None
        except (boto.HTTPClientError, boto.ConnectionError) as error:
            fix = "is the network up, and the region or the endpoint right? Then run it again"
            raise Stopped(operation, f"AWS cannot be reached ({_class(error)})", fix, EXIT_UNREACHABLE) from None
        except (boto.NoCredentialsError, boto.PartialCredentialsError) as error:
            raise Stopped("credentials of AWS", f"none are there ({_class(error)})", _GIVE_KEYS, EXIT_USAGE) from None
        except boto.BotoCoreError as error:
            fix = "see that `aws sts get-caller-identity` works"
            raise Stopped(operation, f"the call cannot be made ({_class(error)})", fix, EXIT_USAGE) from None


class _Coded(Exception):  # noqa: N818 - a refusal that some callers know what to do with
    def __init__(self, stopped: Stopped) -> None:
        super().__init__()
        self.stopped = stopped


class _Missing(_Coded):
    """The object of a call does not exist."""


class _Malformed(_Coded):
    """A policy is none, or names a principal that does not exist."""


def _refused(operation: str, error: boto.ClientError) -> Exception:
    code = _code(error)
    if code in _DENIED:
        actions = " and ".join(OPERATIONS[operation].actions)
        fix = "have an administrator allow it; docs/bootstrap.md has the whole policy"
        return Stopped(operation, f"these credentials have no right to {actions}", fix, EXIT_RIGHTS)
    if _is_later(code):
        return Stopped(operation, f"AWS refuses ({code})", "run it again later", EXIT_UNREACHABLE)
    fix = next((fix for codes, fix in _FIXES if code in codes), "look the code up for this operation of IAM")
    stopped = Stopped(operation, f"AWS refuses ({code})", fix, EXIT_REFUSED, changed=code in _CHANGED)
    if code == "NoSuchEntity":
        return _Missing(stopped)
    return _Malformed(stopped) if code == "MalformedPolicyDocument" else stopped


def _profile_refused(profile: str, error: boto.ClientError) -> Stopped:
    """Before a call, botocore itself asks STS or IAM Identity Center for the credentials of such a profile."""
    code = _code(error)
    where, what = f"{error.operation_name} for the AWS profile {profile}", f"AWS refuses ({code})"
    if _is_later(code):
        return Stopped(where, what, "run it again later", EXIT_UNREACHABLE)
    fix = "mend the profile until `aws sts get-caller-identity` works with it, or name another by AWS_PROFILE"
    return Stopped(where, what, fix, EXIT_RIGHTS if code in _DENIED else EXIT_REFUSED)


def _code(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "no code"))


def _is_later(code: str) -> bool:
    # botocore gives the status where the body is no XML, as that of a proxy or load balancer.
    return code in _LATER or re.fullmatch(r"5[0-9]{2}", code) is not None


def _tags(listed: Any) -> dict[str, str]:  # noqa: ANN401 - of boto3
    return {tag["Key"]: tag["Value"] for tag in listed}


def _document(content: object) -> Mapping[str, Any]:
    """IAM keeps no other documents than policies; what cannot be read is as good as none, and is replaced."""
    try:
        return document(content)
    except ValueError:
        return {}


def _federated(policy: Mapping[str, Any]) -> frozenset[str]:
    principals = [one.get("Principal") for one in items(policy.get("Statement")) if isinstance(one, Mapping)]
    return frozenset(str(arn) for one in principals if isinstance(one, Mapping) for arn in items(one.get("Federated")))


def _class(error: Exception) -> str:
    return type(error).__name__
