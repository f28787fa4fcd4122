"""Starts the strict AWS in a cluster's network, and sends requests to it."""

import os
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from examples.local.world import AUDIENCE, NAMESPACE, ROLE, SERVICE_ACCOUNT
from tests.cluster.cluster import Cluster
from tests.cluster.layout import CHECKOUT, ISSUER
from tests.cluster.lines import ask
from tests.cluster.waiting import tail, wait_until

__all__ = ("LocalAws",)


class LocalAws:
    """The strict AWS in a cluster's network, from `__enter__` to `__exit__`; one at a time for each cluster.

    Attributes:
        url: the endpoint for pods, http.
        tls_url: the endpoint for pods, https; `ca_pem` verifies its certificate.
        about: also `account_id`, `region`, `provider_arn`, `thumbprint`, and the administrator's key.

    Args:
        cluster: the cluster; its API server is the issuer.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._socket = cluster.layout.root / "aws.sock"
        self._log = cluster.layout.logs / "aws.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.about: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        options = {
            "socket": self._socket,
            "address": self._cluster.address,
            "issuer": ISSUER,
            "issuer-address": self._cluster.address,
            "ca-file": self._cluster.ca_file,
        }
        command = [
            sys.executable,
            "-m",
            "tests.cluster.local_aws",
            *(f"--{key}={value}" for key, value in options.items()),
        ]
        self._socket.unlink(missing_ok=True)
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._cluster.enter(command),
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._listens, what="the local AWS", seconds=30, log=self._log, every=0.05)
            self.about = self._ask("about")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the process."""
        if self._listens():
            self._ask("end")
        self._end()

    @property
    def url(self) -> str:
        """The endpoint of all services, for pods."""
        return self.about["url"]

    @property
    def tls_url(self) -> str:
        """The endpoint over TLS."""
        return self.about["tls_url"]

    @property
    def ca_pem(self) -> str:
        """The CA of `tls_url`."""
        return self.about["ca_pem"]

    def set_up_trust(
        self,
        *,
        role: str = ROLE,
        namespace: str = NAMESPACE,
        service_account: str = SERVICE_ACCOUNT,
        audience: str = AUDIENCE,
        max_session_seconds: int = 3600,
    ) -> str:
        """Create the OIDC provider and the role for this API server; return the role's ARN; see `World`."""
        arn: str = self._ask(
            "set_up_trust",
            role=role,
            namespace=namespace,
            service_account=service_account,
            audience=audience,
            max_session_seconds=max_session_seconds,
        )
        return arn

    def put_parameter(self, name: str, value: str) -> None:
        """Create a parameter in the Parameter Store; the role of `set_up_trust` can read it."""
        self.call("ssm", "put_parameter", Name=name, Value=value, Type="String", Overwrite=True)

    def call(self, service: str, operation: str, **arguments: object) -> Any:  # noqa: ANN401 - botocore's answer
        """Call a boto3 client's method with the administrator's key, and return the result, with times as text.

        Raises:
            RequestFailed: botocore raised an exception; the text begins with the exception's name.
        """
        return self._ask("call", service=service, operation=operation, arguments=arguments)

    def exchanges(self, *, good: bool | None = None) -> list[dict[str, Any]]:
        """Return the calls of AssumeRoleWithWebIdentity since the last reset, oldest first.

        Each has `at`, `status` (None if the connection was closed), `access_key_id` (None if none was issued),
        `session_name`, `role_arn`, and of the token `jti` (None below 1.30), `sub` and `exp`.

        Args:
            good: True returns only calls that issued credentials, False only the other calls.
        """
        found: list[dict[str, Any]] = self._ask("exchanges")
        return [entry for entry in found if good is None or good == (entry["access_key_id"] is not None)]

    def faults(self, *faults: dict[str, object]) -> None:
        """Replace all faults by these, such as {"kind": "slow", "seconds": 2}; the keys are those of `Fault.parse`."""
        self._ask("faults", faults=list(faults))

    def set(self, **values: float | None) -> None:
        """Set `max_lifetime_seconds` or `propagation_seconds` of `Aws`."""
        self._ask("set", **values)

    def reset(self) -> None:
        """Delete state, faults, exchanges and settings."""
        self._ask("reset")

    def _ask(self, request: str, **members: object) -> Any:  # noqa: ANN401 - whatever JSON holds
        return ask(self._socket, {"do": request, **members})

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"the local AWS has ended{tail(self._log)}")
        return self._socket.exists()

    def _end(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
