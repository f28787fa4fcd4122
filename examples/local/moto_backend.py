"""moto's HTTP server in this process, which holds the state of the strict AWS.

moto keeps its state in module globals, so one process can have one local AWS at a time; a second `start` raises an
error. moto does not load the AWS managed policies by default; `reset` adds those in `MANAGED_POLICIES`, with moto's
text, because loading all of them takes longer than the rest of the start.
"""

import http.client
import json
import logging
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import boto3
from botocore.config import Config
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, iam_backends
from moto.server import ThreadedMotoServer

from examples.local.iam_view import IamSnapshot, Provider, Role
from examples.local.quotas import Quotas
from examples.local.wire import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_sts import STSClient

ACCOUNT_ID = str(DEFAULT_ACCOUNT_ID)
REGION = "eu-central-1"
MANAGED_POLICIES = ("AmazonSSMReadOnlyAccess", "AmazonSSMFullAccess", "ReadOnlyAccess", "AdministratorAccess")

# One attempt, and no proxy of the environment for connections within this machine.
CLIENT_CONFIG = Config(retries={"total_max_attempts": 1}, proxies={}, connect_timeout=5, read_timeout=30)
_ONLY_ONE = threading.Lock()
_LOG = logging.getLogger("werkzeug")
_PASSED_ON = frozenset({"content-type", "x-amzn-requestid"})
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "expect", "content-length", "transfer-encoding"})


class MotoBackend:
    """The server between `start` and `close`; `reset` deletes its state."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._address = ("127.0.0.1", 0)
        parsed = json.loads(aws_managed_policies_data)
        self._managed = {name: parsed[name] for name in MANAGED_POLICIES}
        self._log_level = logging.NOTSET
        self._iam: IAMClient | None = None
        self._sts: STSClient | None = None

    def start(self) -> None:
        """Start serving.

        Raises:
            RuntimeError: another local AWS is running in this process.
        """
        if not _ONLY_ONE.acquire(blocking=False):
            message = "moto's state is global: one local AWS per process at a time; close the other one first"
            raise RuntimeError(message)
        self._log_level = _LOG.level
        _LOG.setLevel(logging.ERROR)  # its request lines can carry web identity tokens
        self._server.start()
        host, port = self._server.get_host_and_port()
        self._address = (host, port)
        session = boto3.Session("internal", "internal", region_name=REGION)
        url = f"http://{host}:{port}"
        self._iam = session.client("iam", endpoint_url=url, config=CLIENT_CONFIG)
        self._sts = session.client("sts", endpoint_url=url, config=CLIENT_CONFIG)
        self.reset()

    def close(self) -> None:
        """Stop serving."""
        for client in (self._iam, self._sts):
            if client is not None:
                client.close()
        self._server.stop()
        _LOG.setLevel(self._log_level)
        _ONLY_ONE.release()

    def reset(self) -> None:
        """Delete the state of all services, and add the managed policies."""
        self.forward(HttpRequest("POST", "/moto-api/reset", (), b""))
        backend = self._state
        for name, data in self._managed.items():
            policy = AWSManagedPolicy.from_data(name, ACCOUNT_ID, "aws", data)
            backend.managed_policies[policy.arn] = policy

    def forward(self, request: HttpRequest) -> HttpResponse:
        """Return moto's response to a request that the strict AWS has checked."""
        connection = http.client.HTTPConnection(*self._address, timeout=30)
        try:
            connection.putrequest(
                request.method, request.target, skip_host=bool(request.headers), skip_accept_encoding=True
            )
            for name, value in request.headers:
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            response = connection.getresponse()
            headers = {name: value for name, value in response.getheaders() if name.lower() in _PASSED_ON}
            return HttpResponse(response.status, headers, response.read())
        finally:
            connection.close()

    def assume_role(self, role_arn: str, session_name: str) -> Mapping[str, Any]:
        """Return the credentials that moto creates, so that moto knows the role of the new key."""
        answer = self._sts_client.assume_role(RoleArn=role_arn, RoleSessionName=session_name)
        return {**answer["Credentials"]}

    def assume_role_with_web_identity(self, role_arn: str, session_name: str, token: str) -> Mapping[str, Any]:
        """Return the credentials that moto creates, so that moto knows the role of the new key."""
        answer = self._sts_client.assume_role_with_web_identity(
            RoleArn=role_arn, RoleSessionName=session_name, WebIdentityToken=token
        )
        return {**answer["Credentials"]}

    def change_client_ids(self, operation: str, arn: str, client_id: str) -> None:
        """Do AddClientIDTo... or RemoveClientIDFromOpenIDConnectProvider, which moto has not; both are idempotent.

        Raises:
            KeyError: no such provider.
        """
        provider = self._state.open_id_providers[arn]
        others = [known for known in provider.client_id_list if known != client_id]
        provider.client_id_list = [*others, client_id] if operation.startswith("Add") else others

    def counts(self) -> tuple[int, int]:
        """Return the number of roles, and of OIDC providers."""
        return len(self._state.roles), len(self._state.open_id_providers)

    def attached(self, role: str) -> frozenset[str]:
        """Return the ARNs of a role's managed policies; none for an unknown role."""
        return frozenset(arn for found in self._roles(role) for arn in found.managed_policies)

    def inline(self, role: str) -> Mapping[str, str]:
        """Return a role's inline policies; none for an unknown role."""
        return {name: document for found in self._roles(role) for name, document in found.policies.items()}

    def client_ids(self, provider: str) -> frozenset[str]:
        """Return a provider's client ids; none for an unknown provider."""
        found = self._state.open_id_providers.get(provider)
        return frozenset(found.client_id_list) if found else frozenset()

    def exists(self, principal: str) -> bool:
        """Return whether a role or user with this ARN exists."""
        return any(found.arn == principal for found in (*self._state.roles.values(), *self._state.users.values()))

    def set_quotas(self, quotas: Quotas) -> None:
        """Let GetAccountSummary return these quotas."""
        summary = self._state.account_summary
        # moto has no public way to set them.
        vars(summary).update(
            _assume_role_policy_size_quota=quotas.trust_policy,
            _attached_policies_per_role_quota=quotas.attached,
            _roles_quota=quotas.roles,
        )

    def make_older(self, seconds: float) -> None:
        """Move the CreateDate of all providers and roles back by `seconds`."""
        made: Any
        for made in (*self._state.open_id_providers.values(), *self._state.roles.values()):
            made.create_date -= timedelta(seconds=seconds)

    def snapshot(self) -> IamSnapshot:
        """Return IAM's providers and roles as they are now, read over HTTP."""
        iam = self._iam_client
        providers = [
            self._provider(entry["Arn"]) for entry in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        ]
        details: Any = iam.get_account_authorization_details(Filter=["Role", "LocalManagedPolicy", "AWSManagedPolicy"])
        documents = {policy["Arn"]: _default_version(policy) for policy in details["Policies"]}
        longest = {
            role["Arn"]: role.get("MaxSessionDuration", 3600)
            for page in iam.get_paginator("list_roles").paginate()
            for role in page["Roles"]
        }
        roles = [
            Role(
                arn=role["Arn"],
                role_id=role["RoleId"],
                max_session_seconds=longest[role["Arn"]],
                trust_policy=_document(role["AssumeRolePolicyDocument"]),
                permissions=(
                    *(_document(inline["PolicyDocument"]) for inline in role.get("RolePolicyList", [])),
                    *(documents[policy["PolicyArn"]] for policy in role["AttachedManagedPolicies"]),
                ),
            )
            for role in details["RoleDetailList"]
        ]
        return IamSnapshot({provider.url: provider for provider in providers}, {role.arn: role for role in roles})

    def _provider(self, arn: str) -> Provider:
        details = self._iam_client.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        return Provider(
            arn=arn,
            url="https://" + details["Url"].removeprefix("https://"),
            client_ids=frozenset(details.get("ClientIDList", [])),
            thumbprints=frozenset(print_.lower() for print_ in details.get("ThumbprintList", [])),
        )

    @property
    def _state(self) -> Any:  # noqa: ANN401 - of moto, which types only a part
        return iam_backends[ACCOUNT_ID]["aws"]

    def _roles(self, name: str) -> list[Any]:
        return [role for role in self._state.roles.values() if role.name == name]

    @property
    def _iam_client(self) -> "IAMClient":
        assert self._iam is not None, "start() comes first"  # noqa: S101 - a caller's bug, not an input
        return self._iam

    @property
    def _sts_client(self) -> "STSClient":
        assert self._sts is not None, "start() comes first"  # noqa: S101 - a caller's bug, not an input
        return self._sts


def _default_version(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    for version in policy["PolicyVersionList"]:
        if version["VersionId"] == policy["DefaultVersionId"]:
            return _document(version["Document"])
    return {}


def _document(document: object) -> Mapping[str, Any]:
    """Return a policy document as an object; a malformed document becomes an empty one, which allows nothing."""
    if isinstance(document, str):
        try:
            document = json.loads(unquote(document))
        except ValueError:
            return {}
    return document if isinstance(document, Mapping) else {}
