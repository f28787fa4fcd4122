"""IAM as STS sees it: a snapshot of providers and roles, which lags behind changes by a settable time.

"IAM ... uses a distributed computing model called eventual consistency":
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html
"""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from examples.local.clock import Clock


@dataclass(frozen=True, slots=True)
class Provider:
    """A registered OIDC provider: its ARN, its https URL, its client ids and its thumbprints (lower case)."""

    arn: str
    url: str
    client_ids: frozenset[str]
    thumbprints: frozenset[str]

    @property
    def account(self) -> str:
        """The account id."""
        return self.arn.split(":")[4]


@dataclass(frozen=True, slots=True)
class Role:
    """A role: its trust policy, its permission policies (inline and attached), and its longest session in seconds."""

    arn: str
    role_id: str
    max_session_seconds: int
    trust_policy: Mapping[str, Any]
    permissions: tuple[Mapping[str, Any], ...]

    @property
    def name(self) -> str:
        """The name without its path."""
        return self.arn.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class IamSnapshot:
    """Providers by URL and roles by ARN, at one moment."""

    providers: Mapping[str, Provider] = field(default_factory=lambda: MappingProxyType({}))
    roles: Mapping[str, Role] = field(default_factory=lambda: MappingProxyType({}))


class IamView:
    """The snapshot that is in effect. Thread safe.

    Args:
        clock: wall time in seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._current = IamSnapshot()
        self._pending: deque[tuple[float, IamSnapshot]] = deque()
        self.propagation_seconds = 0.0
        """How long the next changes take to reach STS. AWS's own take 0 to about 15 s."""

    def changed(self, snapshot: IamSnapshot) -> None:
        """Take effect after `propagation_seconds`, and never before an earlier change."""
        with self._lock:
            if self.propagation_seconds <= 0 and not self._pending:
                self._current = snapshot  # whatever a moved clock says
            else:
                self._pending.append((self._clock() + self.propagation_seconds, snapshot))

    def current(self) -> IamSnapshot:
        """Return the newest snapshot whose time has come."""
        with self._lock:
            while self._pending and self._pending[0][0] <= self._clock():
                self._current = self._pending.popleft()[1]
            return self._current

    def clear(self) -> None:
        """Forget every provider and role at once, and take changes without delay again."""
        with self._lock:
            self._pending.clear()
            self._current = IamSnapshot()
            self.propagation_seconds = 0.0
