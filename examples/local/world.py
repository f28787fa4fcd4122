"""The local world: an issuer, a strict AWS that can reach it, and kubelets."""

import contextlib
import json
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import boto3

from examples.local.aws import Aws
from examples.local.clock import Clock, MovableClock, system_clock
from examples.local.issuer import Issuer
from examples.local.kubelet import Kubelet
from examples.local.moto_backend import CLIENT_CONFIG, REGION
from examples.local.records import AccessKey

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

ROLE = "KubernetesParameterStoreRole"
NAMESPACE = "default"
SERVICE_ACCOUNT = "aws-parameter-reader"
AUDIENCE = "sts.amazonaws.com"
READ_ONLY_POLICY = "arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"


class World:
    """A cluster's issuer and an AWS account, from `__enter__` to `__exit__`; one at a time in a process.

    Attributes:
        clock: the time of all parts; a test moves it.
        issuer: a cluster's token issuer with a private CA.
        aws: STS, IAM and SSM.
        ca_file: the CA of `aws.tls_url`, PEM.

    Args:
        clock: the base of the attribute `clock`.
    """

    def __init__(self, clock: Clock = system_clock) -> None:
        self.clock = MovableClock(clock)
        self.issuer = Issuer(clock=self.clock)
        self.aws = Aws(clock=self.clock)
        self.ca_file = Path()
        self._session = boto3.Session(
            self.aws.admin.access_key_id, self.aws.admin.secret_access_key, region_name=REGION
        )
        self._clients: dict[str, Any] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start all parts."""
        with contextlib.ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            self.ca_file = Path(directory, "ca.pem")
            self.ca_file.write_text(self.aws.ca_pem, encoding="ascii")
            stack.enter_context(self.issuer)
            stack.enter_context(self.aws)
            self.aws.connect_to.update(self.issuer.connect_to)
            stack.callback(self._close_clients)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop all parts; no thread, socket or file is left."""
        self._stack.close()

    def reset(self) -> None:
        """Return to the state after the start: empty AWS, no faults, a well-behaved issuer, the real time."""
        self.clock.reset()
        self.issuer.reset()
        self.aws.reset()
        self.aws.connect_to.clear()
        self.aws.connect_to.update(self.issuer.connect_to)

    @overload
    def admin_client(self, service: Literal["iam"]) -> "IAMClient": ...
    @overload
    def admin_client(self, service: Literal["ssm"]) -> "SSMClient": ...
    @overload
    def admin_client(self, service: Literal["sts"]) -> "STSClient": ...
    def admin_client(self, service: Literal["iam", "ssm", "sts"]) -> Any:
        """Return a boto3 client that signs with the administrator's key and makes one attempt per call."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service, endpoint_url=self.aws.url, config=CLIENT_CONFIG)
        return self._clients[service]

    @overload
    def client_of(self, keys: AccessKey, service: Literal["iam"], region: str) -> "IAMClient": ...
    @overload
    def client_of(self, keys: AccessKey, service: Literal["sts"], region: str) -> "STSClient": ...
    def client_of(self, keys: AccessKey, service: Literal["iam", "sts"], region: str) -> Any:
        """Return a boto3 client like `admin_client` with another key and region, until the world is closed."""
        session = boto3.Session(keys.access_key_id, keys.secret_access_key, keys.session_token or None, region)
        client: Any = session.client(service, endpoint_url=self.aws.url, config=CLIENT_CONFIG)
        self._stack.callback(client.close)
        return client

    def kubelet(self, directory: Path, **options: Any) -> Kubelet:  # noqa: ANN401 - passed on to Kubelet, which types them
        """Return a `Kubelet` with this world's issuer and clock, not started; `options` are its keyword arguments."""
        return Kubelet(self.issuer, directory, clock=self.clock, **options)

    def set_up_trust(
        self,
        *,
        role: str = ROLE,
        namespace: str = NAMESPACE,
        service_account: str = SERVICE_ACCOUNT,
        audience: str = AUDIENCE,
        max_session_seconds: int = 3600,
    ) -> str:
        """Create the tutorial's OIDC provider and role through the API; return the role's ARN. Idempotent.

        The provider's thumbprint is that of the *last* served certificate; the trust policy has both `aud` and `sub`.

        Args:
            role: its name.
            namespace: the namespace of the ServiceAccount that may assume it.
            service_account: the name of that ServiceAccount.
            audience: a client id of the provider, and the `aud` of the trust policy.
            max_session_seconds: the role's MaxSessionDuration.
        """
        iam = self.admin_client("iam")
        provider_arn = f"arn:aws:iam::{self.aws.account_id}:oidc-provider/{self.issuer.url[8:]}"
        try:
            iam.create_open_id_connect_provider(
                Url=self.issuer.url, ClientIDList=[audience], ThumbprintList=[self.issuer.thumbprints[-1]]
            )
        except iam.exceptions.EntityAlreadyExistsException:
            iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=provider_arn, ClientID=audience)
            iam.update_open_id_connect_provider_thumbprint(
                OpenIDConnectProviderArn=provider_arn, ThumbprintList=[self.issuer.thumbprints[-1]]
            )
        trust = json.dumps(
            trust_policy(
                provider_arn, audience=audience, subject=f"system:serviceaccount:{namespace}:{service_account}"
            )
        )
        try:
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust, MaxSessionDuration=max_session_seconds)
        except iam.exceptions.EntityAlreadyExistsException:
            iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust)
            iam.update_role(RoleName=role, MaxSessionDuration=max_session_seconds)
        iam.attach_role_policy(RoleName=role, PolicyArn=READ_ONLY_POLICY)
        return f"arn:aws:iam::{self.aws.account_id}:role/{role}"

    def _close_clients(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()


def trust_policy(provider_arn: str, *, audience: str, subject: str) -> dict[str, Any]:
    """Return a trust policy that requires this audience and this subject in a token of this provider."""
    name = provider_arn.split("oidc-provider/", 1)[1]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": provider_arn},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{name}:aud": audience, f"{name}:sub": subject}},
            }
        ],
    }
