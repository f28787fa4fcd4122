"""The paths of a cluster, by its name, and the addresses that all parts use."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = (
    "API_HOST",
    "BRIDGE_ADDRESS",
    "CACHE",
    "CHECKOUT",
    "ISSUER",
    "POD_NETWORK",
    "SERVICE_ADDRESS",
    "SERVICE_NETWORK",
    "Layout",
)

# Each cluster has its own network namespace, so all clusters have the same addresses.
API_HOST = "api.shoot.test"
ISSUER = f"https://{API_HOST}"
BRIDGE_ADDRESS = "10.88.0.1"
"""The node's address, where the API server, the kubelet and the local AWS listen."""
POD_NETWORK = "10.88.0.0/24"
SERVICE_ADDRESS = "10.96.0.1"
SERVICE_NETWORK = "10.96.0.0/16"

CHECKOUT = Path(__file__).parents[2]
"""The working directory of `python -m tests.cluster...`."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "aws-oidc-sidecar", "cluster")
"""The directory of built programs and images, and of locks."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


class Layout(NamedTuple):
    """The state directory of one cluster, and the paths in it."""

    name: str
    root: Path

    @classmethod
    def of(cls, name: str) -> "Layout":
        """Return the layout of the cluster with this name.

        Raises:
            ValueError: the name cannot be part of a path, of a control group's name and of a node's name.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"cluster name {name!r}: use a letter a-z, then at most 19 characters of a-z, 0-9 and -")
        base = os.environ.get("AWS_OIDC_SIDECAR_CLUSTERS") or "/var/tmp/aws-oidc-sidecar-cluster"
        return cls(name, Path(base, name))

    @property
    def node(self) -> str:
        """The node's name."""
        return f"{self.name}-node"

    @property
    def control(self) -> Path:
        """The socket of process 1."""
        return self.root / "control.sock"

    @property
    def containerd(self) -> Path:
        """The socket of containerd."""
        return self.root / "containerd.sock"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Configuration files, kubeconfigs among them."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """One file for each service; /var/log of the namespace."""
        return self.root / "log"

    @property
    def home(self) -> Path:
        """HOME of kubectl and helm, so that they do not use the user's files."""
        return self.root / "home"

    @property
    def signing_keys(self) -> list[Path]:
        """The keys of ServiceAccount tokens, oldest first."""
        return sorted(self.pki.glob("service-account-*.key"))

    @property
    def public_keys(self) -> Path:
        """The public keys of all `signing_keys`, concatenated."""
        return self.pki / "service-account.pub"

    @contextlib.contextmanager
    def locked(self, *, wait: bool = True) -> Iterator[bool]:
        """Hold the lock for starting and removing this cluster; False if another process has it and `wait` is False."""
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / f".{self.name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
