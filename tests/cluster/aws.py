"""A handle on the strict AWS in a cluster's network."""

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
    """The strict AWS beside a cluster's API server, from `__enter__` to `__exit__`; one at a time for each cluster.

    Attributes:
        url: for pods, http.
        tls_url: for pods, https, by the CA in `ca_pem`.
        about: also `account_id`, `region`, `provider_arn`, `thumbprint`, and the administrator's key.

    Args:
        cluster: where it runs, and whose API server it can reach.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._socket = cluster.layout.root / "aws.sock"
        self._log = cluster.layout.logs / "aws.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.about: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
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
        """End it; nothing is left."""
        if self._listens():
            self._ask("end")
        self._end()

    @property
    def url(self) -> str:
        """The endpoint of every service, for pods."""
        return self.about["url"]

    @property
    def tls_url(self) -> str:
        """The same over TLS."""
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
        """Do the tutorial's AWS half by the API, for this API server, and return the role's ARN; as World does."""
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
        """Make a parameter of the Parameter Store, which the role of `set_up_trust` may read."""
        self.call("ssm", "put_parameter", Name=name, Value=value, Type="String", Overwrite=True)

    def call(self, service: str, operation: str, **arguments: object) -> Any:  # noqa: ANN401 - botocore's answer
        """Return the answer of a boto3 client's method, called inside with the administrator's key; times are text.

        Raises:
            Refused: what botocore raised, as text that begins with the exception's name.
        """
        return self._ask("call", service=service, operation=operation, arguments=arguments)

    def exchanges(self, *, good: bool | None = None) -> list[dict[str, Any]]:
        """Return every AssumeRoleWithWebIdentity since the last reset, oldest first.

        Each has `at`, `status` (None where the connection was cut), `access_key_id` (None where none was issued),
        `session_name`, `role_arn`, and of the token `jti` (None below 1.30), `sub` and `exp`.

        Args:
            good: only those that issued a set, or only those that did not.
        """
        found: list[dict[str, Any]] = self._ask("exchanges")
        return [entry for entry in found if good is None or good == (entry["access_key_id"] is not None)]

    def faults(self, *faults: dict[str, object]) -> None:
        """Put exactly these faults in force, none for none: {"kind": "slow", "seconds": 2}, as `Fault` names them."""
        self._ask("faults", faults=list(faults))

    def set(self, **values: float | None) -> None:
        """Set `grant_seconds` or `propagation_seconds` of `Aws`."""
        self._ask("set", **values)

    def reset(self) -> None:
        """Forget state, faults, exchanges and settings."""
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
