"""The strict AWS of `examples/local` in a cluster's network, with the API server as the token issuer.

`tests.cluster.aws.LocalAws` runs it as ``python -m tests.cluster.local_aws``. Pods connect to it at the node's address.
It reads the discovery document and the keys from the API server over TLS, verified by the thumbprint of the cluster's
CA. `LocalAws` sends requests to it over a Unix socket.
"""

import argparse
import json
import re
import ssl
import threading
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from examples.local.aws import Aws
from examples.local.faults import Fault
from examples.local.keys import decode_segment
from examples.local.moto_backend import CLIENT_CONFIG, REGION
from examples.local.pki import thumbprint
from examples.local.wire import HttpRequest, HttpResponse, Operation
from examples.local.world import READ_ONLY_POLICY, trust_policy
from tests.cluster.lines import answer, listen

__all__ = ("RecordingAws", "main")

_MOST_EXCHANGES = 100_000
_KEY_ID = re.compile(rb"<AccessKeyId>(\w+)</AccessKeyId>")


class RecordingAws(Aws):
    """The strict AWS, which also records the claims and the result of each exchange, without tokens and secrets.

    Args:
        address: the listen address, which pods can reach.
        issuer: the issuer's URL.
        issuer_address: the address of the issuer; the port is 443.
    """

    def __init__(self, address: str, issuer: str, issuer_address: str) -> None:
        super().__init__(address=address)
        self.home = {(urlsplit(issuer).hostname or "", 443): (issuer_address, 443)}
        self.connect_to.update(self.home)
        self.exchanges: deque[dict[str, object]] = deque(maxlen=_MOST_EXCHANGES)

    def respond(self, request: HttpRequest) -> HttpResponse | None:
        """Respond as `Aws` does, and record the exchange."""
        response = super().respond(request)
        operation = Operation.of(request)
        if operation.name == "AssumeRoleWithWebIdentity":
            issued = _KEY_ID.search(response.body) if response else None
            self.exchanges.append(
                {
                    "at": self.clock(),
                    "status": response.status if response else None,
                    "access_key_id": issued[1].decode() if issued else None,
                    "session_name": operation.parameters.get("RoleSessionName", ""),
                    "role_arn": operation.parameters.get("RoleArn", ""),
                    **_claims(operation.parameters.get("WebIdentityToken", "")),
                }
            )
        return response


class _Handler:
    """Handles the requests of the socket; each public method is a request, its parameters the request's members."""

    def __init__(self, aws: RecordingAws, issuer: str, ca_file: Path) -> None:
        self._aws = aws
        self._issuer = issuer
        self._ca_thumbprint = thumbprint(ssl.PEM_cert_to_DER_cert(ca_file.read_text(encoding="ascii")))
        self._session = boto3.Session(aws.admin.access_key_id, aws.admin.secret_access_key, region_name=REGION)
        self.ended = threading.Event()

    def handle(self, request: dict[str, Any]) -> object:
        name = request.pop("do")
        requests: dict[str, Any] = {
            "about": self.about,
            "call": self.call,
            "end": self.ended.set,
            "exchanges": lambda: list(self._aws.exchanges),
            "faults": self.faults,
            "reset": self.reset,
            "set": self.set,
            "set_up_trust": self.set_up_trust,
        }
        return json.loads(json.dumps(requests[name](**request), default=str))

    def about(self) -> dict[str, str]:
        return {
            "url": self._aws.url,
            "tls_url": self._aws.tls_url,
            "ca_pem": self._aws.ca_pem,
            "account_id": self._aws.account_id,
            "region": REGION,
            "admin_access_key_id": self._aws.admin.access_key_id,
            "admin_secret_access_key": self._aws.admin.secret_access_key,
            "provider_arn": self._provider_arn,
            "thumbprint": self._ca_thumbprint,
        }

    def call(self, service: str, operation: str, arguments: dict[str, Any]) -> object:
        """Call the API with the administrator's key; errors are botocore's."""
        client = self._client(service)
        try:
            return getattr(client, operation)(**arguments)
        finally:
            client.close()

    def faults(self, faults: list[dict[str, object]]) -> object:
        self._aws.faults.replace([Fault.parse(fields) for fields in faults])
        return [asdict(fault) for fault in self._aws.faults.active()]

    def set(self, **values: float | None) -> None:
        for name, value in values.items():
            if name not in ("max_lifetime_seconds", "propagation_seconds"):
                raise ValueError(f"{name} cannot be set; use max_lifetime_seconds or propagation_seconds")
            setattr(self._aws, name, value)

    def reset(self) -> None:
        self._aws.reset()
        self._aws.exchanges.clear()
        self._aws.connect_to.clear()
        self._aws.connect_to.update(self._aws.home)

    def set_up_trust(
        self, *, role: str, namespace: str, service_account: str, audience: str, max_session_seconds: int
    ) -> str:
        client = self._client("iam")
        try:
            try:
                client.create_open_id_connect_provider(
                    Url=self._issuer, ClientIDList=[audience], ThumbprintList=[self._ca_thumbprint]
                )
            except client.exceptions.EntityAlreadyExistsException:
                client.add_client_id_to_open_id_connect_provider(
                    OpenIDConnectProviderArn=self._provider_arn, ClientID=audience
                )
                client.update_open_id_connect_provider_thumbprint(
                    OpenIDConnectProviderArn=self._provider_arn, ThumbprintList=[self._ca_thumbprint]
                )
            subject = f"system:serviceaccount:{namespace}:{service_account}"
            trust = json.dumps(trust_policy(self._provider_arn, audience=audience, subject=subject))
            try:
                client.create_role(
                    RoleName=role, AssumeRolePolicyDocument=trust, MaxSessionDuration=max_session_seconds
                )
            except client.exceptions.EntityAlreadyExistsException:
                client.update_assume_role_policy(RoleName=role, PolicyDocument=trust)
                client.update_role(RoleName=role, MaxSessionDuration=max_session_seconds)
            client.attach_role_policy(RoleName=role, PolicyArn=READ_ONLY_POLICY)
        finally:
            client.close()
        return f"arn:aws:iam::{self._aws.account_id}:role/{role}"

    @property
    def _provider_arn(self) -> str:
        return f"arn:aws:iam::{self._aws.account_id}:oidc-provider/{self._issuer.removeprefix('https://')}"

    def _client(self, service: str) -> Any:  # noqa: ANN401 - of a service that is named at run time
        client: Any = self._session.client(service, endpoint_url=self._aws.url, config=CLIENT_CONFIG)  # type: ignore[call-overload]
        return client


def _claims(token: str) -> dict[str, object]:
    """Return the claims that identify a token, without verifying it."""
    try:
        claims = decode_segment(token.split(".")[1])
    except (IndexError, ValueError):
        return {}
    return {name: claims.get(name) for name in ("jti", "sub", "exp")}


def main() -> None:
    """Serve until the request `end`."""
    parser = argparse.ArgumentParser()
    for name in ("socket", "address", "issuer", "issuer-address", "ca-file"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    with (
        RecordingAws(options.address, options.issuer, options.issuer_address) as aws,
        listen(Path(options.socket)) as listener,
    ):
        handler = _Handler(aws, options.issuer, Path(options.ca_file))
        listener.settimeout(0.1)
        while not handler.ended.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            # A thread for each: a call that the fault `slow` delays must not delay the others.
            threading.Thread(target=answer, args=(connection, handler.handle), daemon=True).start()


if __name__ == "__main__":
    main()
