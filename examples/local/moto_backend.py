"""moto's HTTP server in this process, which holds the state of the strict AWS.

moto keeps its state in module globals, so one process can have one local AWS at a time; a second `start` raises an
error. moto does not load the AWS managed policies by default; `reset` adds those in `MANAGED_POLICIES`, with moto's
text, because loading all of them takes longer than the rest of the start.
"""

import http.client
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import boto3
from botocore.config import Config
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy
from moto.server import ThreadedMotoServer
from moto.utilities import utils as moto_utils

from examples.local.iam_view import IamSnapshot, Provider, Role
from examples.local.moto_iam import MotoIam
from examples.local.partitions import PARTITIONS, Account
from examples.local.wire import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

DEFAULT_ACCOUNT = Account(str(DEFAULT_ACCOUNT_ID))
REGION = "eu-central-1"
MANAGED_POLICIES = ("AmazonSSMReadOnlyAccess", "AmazonSSMFullAccess", "ReadOnlyAccess", "AdministratorAccess")

# One attempt, and no proxy of the environment for connections within this machine.
CLIENT_CONFIG = Config(retries={"total_max_attempts": 1}, proxies={}, connect_timeout=5, read_timeout=30)
_ONLY_ONE = threading.Lock()
_LOG = logging.getLogger("werkzeug")
_ACCOUNT_HEADER = "x-moto-account-id"
_PASSED_ON = frozenset({"content-type", "x-amzn-requestid"})
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "expect", "content-length", "transfer-encoding"})


# moto has no entry for these partitions. It reads both when it makes the state of an account.
_UNKNOWN = {PARTITIONS[name].region_prefix: name for name in PARTITIONS if name not in moto_utils.PARTITION_NAMES}
moto_utils.REGION_PREFIX_TO_PARTITION.update(_UNKNOWN)
moto_utils.PARTITION_NAMES.extend(_UNKNOWN.values())


class MotoBackend:
    """The server between `start` and `close`; `reset` deletes its state."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._address = ("127.0.0.1", 0)
        parsed = json.loads(aws_managed_policies_data)
        self._managed = {name: parsed[name] for name in MANAGED_POLICIES}
        self._log_level = logging.NOTSET
        self._accounts = [DEFAULT_ACCOUNT]
        self._clients: dict[Account, IAMClient] = {}

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
        self.reset()

    def close(self) -> None:
        """Stop serving."""
        for client in self._clients.values():
            client.close()
        self._server.stop()
        _LOG.setLevel(self._log_level)
        _ONLY_ONE.release()

    def reset(self) -> None:
        """Delete the state of all services and the added accounts, and add the managed policies."""
        self.forward(HttpRequest("POST", "/moto-api/reset", (), b""), DEFAULT_ACCOUNT)
        self._accounts = []
        self.add(DEFAULT_ACCOUNT)

    def add(self, account: Account) -> None:
        """Add an account, with the managed policies."""
        self._accounts = [*self._accounts, account]
        policies = self.iam(account).state.managed_policies
        for name, data in self._managed.items():
            policy = AWSManagedPolicy.from_data(name, account.id, account.partition, data)
            policies[policy.arn] = policy

    def forward(self, request: HttpRequest, account: Account) -> HttpResponse:
        """Return moto's response to a request that the strict AWS has checked, of a caller in this account.

        moto reads the partition from the region in the signature.
        """
        connection = http.client.HTTPConnection(*self._address, timeout=30)
        try:
            connection.putrequest(
                request.method, request.target, skip_host=bool(request.headers), skip_accept_encoding=True
            )
            for name, value in request.headers:
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.putheader(_ACCOUNT_HEADER, account.id)
            connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            response = connection.getresponse()
            headers = {name: value for name, value in response.getheaders() if name.lower() in _PASSED_ON}
            return HttpResponse(response.status, headers, response.read())
        finally:
            connection.close()

    def iam(self, account: Account) -> MotoIam:
        """Return the state of IAM in an account."""
        return MotoIam(account, frozenset(self._accounts))

    def make_older(self, seconds: float) -> None:
        """Move the CreateDate of all providers and roles back by `seconds`."""
        made: Any
        for state in (self.iam(account).state for account in self._accounts):
            for made in (*state.open_id_providers.values(), *state.roles.values()):
                made.create_date -= timedelta(seconds=seconds)

    def snapshot(self) -> IamSnapshot:
        """Return the providers and roles of all accounts as they are now, read over HTTP."""
        clients = [self._client(account) for account in self._accounts]
        providers = [provider for client in clients for provider in _providers(client)]
        roles = [role for client in clients for role in _roles(client)]
        return IamSnapshot({provider.arn: provider for provider in providers}, {role.arn: role for role in roles})

    def _client(self, account: Account) -> "IAMClient":
        if account not in self._clients:
            session = boto3.Session("internal", "internal", region_name=account.region)
            client = session.client("iam", endpoint_url="http://{}:{}".format(*self._address), config=CLIENT_CONFIG)

            def add_header(request: Any, **_: object) -> None:  # noqa: ANN401 - of botocore
                request.headers[_ACCOUNT_HEADER] = account.id

            client.meta.events.register("before-sign.iam", add_header)
            self._clients[account] = client
        return self._clients[account]


def _providers(iam: "IAMClient") -> Iterator[Provider]:
    for entry in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        details = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=entry["Arn"])
        yield Provider(
            arn=entry["Arn"],
            url="https://" + details["Url"].removeprefix("https://"),
            client_ids=frozenset(details.get("ClientIDList", [])),
            thumbprints=frozenset(print_.lower() for print_ in details.get("ThumbprintList", [])),
        )


def _roles(iam: "IAMClient") -> Iterator[Role]:
    details: Any = iam.get_account_authorization_details(Filter=["Role", "LocalManagedPolicy", "AWSManagedPolicy"])
    documents = {policy["Arn"]: _default_version(policy) for policy in details["Policies"]}
    longest = {
        role["Arn"]: role.get("MaxSessionDuration", 3600)
        for page in iam.get_paginator("list_roles").paginate()
        for role in page["Roles"]
    }
    for role in details["RoleDetailList"]:
        yield Role(
            arn=role["Arn"],
            role_id=role["RoleId"],
            max_session_seconds=longest[role["Arn"]],
            trust_policy=_document(role["AssumeRolePolicyDocument"]),
            permissions=(
                *(_document(inline["PolicyDocument"]) for inline in role.get("RolePolicyList", [])),
                *(documents[policy["PolicyArn"]] for policy in role["AttachedManagedPolicies"]),
            ),
        )


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
