"""Calls of AWS by boto3, and the error of ``bootstrap aws`` for each error of AWS."""

import re
from collections.abc import Iterator
from typing import Any, Final

import boto3
import botocore.exceptions as boto

from sidecar.bootstrap.failure import BootstrapError
from sidecar.bootstrap.state import OPERATIONS
from sidecar.exits import Exit

__all__ = ("Calls", "HandledError", "MalformedError")

# If no region is set. Any STS region of the partition works; IAM has one endpoint for each partition.
_DEFAULT_REGION: Final = "us-east-1"
_TEMPORARY: Final = frozenset({
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
    (_BAD_KEYS, "log in again, and check the clock and the partition of the region"),
    (
        {"NoSuchEntity"},
        "check that the named policies and roles exist; if one was deleted during this run, run it again",
    ),
    (_CHANGED, "another client changed the object during this run; run it again"),
    (
        {"MalformedPolicyDocument"},
        "check that it is a policy and that each role in it exists; remove an AROA... or AIDA... id: it was deleted",
    ),
    ({"DeleteConflict"}, "detach what was added to it, such as an instance profile, and run it again"),
    (
        {"LimitExceeded"},
        "a quota is reached, such as the 2048 characters of a trust policy: raise it, or use several roles",
    ),
)
_GIVE_KEYS: Final = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; --emit cli needs no credentials"


class Calls:
    """IAM and STS of one account, with the settings of the AWS CLI.

    Args:
        region: of STS, or None for the region of the environment.

    Raises:
        BootstrapError: boto3 finds no valid settings or credentials (2).
    """

    def __init__(self, region: str | None) -> None:
        try:
            session = boto3.Session(region_name=region)
            self._profile = session.profile_name
            self._iam: Any = session.client("iam", region_name=session.region_name or _DEFAULT_REGION)
            self._sts: Any = session.client("sts", region_name=session.region_name or _DEFAULT_REGION)
        except (boto.BotoCoreError, ValueError) as error:
            raise BootstrapError(
                "AWS settings", _class(error), "check that `aws configure list` works", Exit.USAGE
            ) from None

    def identity(self) -> Any:  # noqa: ANN401 - of boto3
        """Return the response of GetCallerIdentity, or raise BootstrapError."""
        return self.call("GetCallerIdentity", client=self._sts)

    def find(self, operation: str, **parameters: object) -> Any:  # noqa: ANN401 - of boto3
        """Return the response of a call, or None if its object does not exist."""
        try:
            return self.call(operation, **parameters)
        except _MissingError:
            return None

    def pages(self, operation: str, **parameters: object) -> Iterator[Any]:
        """Return each page of a list. Raises BootstrapError, also if the object does not exist."""
        more: dict[str, object] = {}
        while True:
            try:
                page = self.call(operation, **parameters, **more)
            except HandledError as handled:
                raise handled.error from None
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"Marker": page["Marker"]}

    def call(self, operation: str, *, client: Any = None, **parameters: object) -> Any:  # noqa: ANN401 - of boto3
        """Return the response of one operation of `state.OPERATIONS`.

        Raises:
            HandledError: the object does not exist, or a policy document is not valid.
            BootstrapError: another error: no credentials (2), AWS is unreachable (3), AWS returned an error (4), a
                permission is missing (6).
        """
        call = getattr(client or self._iam, OPERATIONS[operation].method)
        try:
            return call(**parameters)
        except boto.ClientError as error:
            if error.operation_name != operation:
                raise _profile_error(self._profile, error) from None
            raise _operation_error(operation, error) from None
        except (boto.HTTPClientError, boto.ConnectionError) as error:
            fix = "check the network, the region and the endpoint, then run it again"
            raise BootstrapError(operation, f"AWS is unreachable ({_class(error)})", fix, Exit.UNREACHABLE) from None
        except (boto.NoCredentialsError, boto.PartialCredentialsError) as error:
            raise BootstrapError("AWS credentials", f"none found ({_class(error)})", _GIVE_KEYS, Exit.USAGE) from None
        except boto.BotoCoreError as error:
            fix = "check that `aws sts get-caller-identity` works"
            raise BootstrapError(operation, f"the call cannot be made ({_class(error)})", fix, Exit.USAGE) from None


class HandledError(Exception):
    """An error of AWS that some callers handle; the others raise ``error``."""

    def __init__(self, error: BootstrapError) -> None:
        super().__init__()
        self.error = error


class _MissingError(HandledError):
    """The object of a call does not exist."""


class MalformedError(HandledError):
    """A policy document is not valid, or names a principal that does not exist."""


def _operation_error(operation: str, error: boto.ClientError) -> Exception:
    code = _code(error)
    if code in _DENIED:
        actions = " and ".join(OPERATIONS[operation].actions)
        fix = "ask an administrator to allow it; docs/bootstrap.md has the complete policy"
        return BootstrapError(operation, f"these credentials have no permission for {actions}", fix, Exit.RIGHTS)
    if _is_temporary(code):
        return BootstrapError(operation, f"AWS returned an error ({code})", "run it again later", Exit.UNREACHABLE)
    fix = next((fix for codes, fix in _FIXES if code in codes), "see the errors of this operation in the IAM API docs")
    what, conflict = f"AWS returned an error ({code})", code == "DeleteConflict"
    found = BootstrapError(operation, what, fix, Exit.REFUSED, changed=code in _CHANGED, conflict=conflict)
    if code == "NoSuchEntity":
        return _MissingError(found)
    return MalformedError(found) if code == "MalformedPolicyDocument" else found


def _profile_error(profile: str, error: boto.ClientError) -> BootstrapError:
    """Before a call, botocore itself gets the credentials of such a profile from STS or IAM Identity Center."""
    code = _code(error)
    where, what = f"{error.operation_name} for the AWS profile {profile}", f"AWS returned an error ({code})"
    if _is_temporary(code):
        return BootstrapError(where, what, "run it again later", Exit.UNREACHABLE)
    fix = "fix the profile until `aws sts get-caller-identity` works with it, or set AWS_PROFILE to another profile"
    return BootstrapError(where, what, fix, Exit.RIGHTS if code in _DENIED else Exit.REFUSED)


def _code(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "no code"))


def _is_temporary(code: str) -> bool:
    # botocore uses the HTTP status as the code if the body is not XML, as from a proxy or a load balancer.
    return code in _TEMPORARY or re.fullmatch(r"5[0-9]{2}", code) is not None


def _class(error: Exception) -> str:
    return type(error).__name__
