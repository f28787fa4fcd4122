"""IAM as STS sees it: a snapshot of providers and roles, delayed after each change by a settable time.

"IAM ... uses a distributed computing model called eventual consistency":
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from examples.local.clock import Clock
from examples.local.partitions import Account, account_of


@dataclass(frozen=True, slots=True)
class Provider:
    """A registered OIDC provider: its ARN, its https URL, its client ids and its thumbprints (lower case)."""

    arn: str
    url: str
    client_ids: frozenset[str]
    thumbprints: frozenset[str]

    @property
    def account(self) -> Account:
        """Its account."""
        return account_of(self.arn)


@dataclass(frozen=True, slots=True)
class Role:
    """A role: its trust policy, its permission policies (inline and attached), and MaxSessionDuration in seconds."""

    arn: str
    role_id: str
    max_session_seconds: int
    trust_policy: Mapping[str, Any]
    permissions: tuple[Mapping[str, Any], ...]

    @property
    def account(self) -> Account:
        """Its account."""
        return account_of(self.arn)

    @property
    def name(self) -> str:
        """The name without its path."""
        return self.arn.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class IamSnapshot:
    """The providers and roles of all accounts by ARN, at one moment."""

    providers: Mapping[str, Provider] = field(default_factory=lambda: MappingProxyType({}))
    roles: Mapping[str, Role] = field(default_factory=lambda: MappingProxyType({}))


class IamView:
    """The snapshot that is in effect. Thread safe.

    A snapshot reads all of IAM, so it is taken when it is needed: else thousands of changes would take hours.

    Args:
        clock: wall time in seconds.
        snapshot: reads IAM as it is now.
    """

    def __init__(self, clock: Clock, snapshot: Callable[[], IamSnapshot]) -> None:
        self._clock = clock
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._current = IamSnapshot()
        self._is_old = False
        self._pending: deque[tuple[float, IamSnapshot]] = deque()
        self._propagation_seconds = 0.0

    @property
    def propagation_seconds(self) -> float:
        """Seconds until later changes take effect in STS; at AWS 0 to about 15 s."""
        return self._propagation_seconds

    @propagation_seconds.setter
    def propagation_seconds(self, seconds: float) -> None:
        with self._lock:
            self._refresh()  # earlier changes stay in effect
            self._propagation_seconds = seconds

    def changed(self) -> None:
        """Put the present IAM into effect after `propagation_seconds`, and never before an earlier change."""
        with self._lock:
            if self._propagation_seconds <= 0 and not self._pending:
                self._is_old = True  # at once, also when a test has moved the clock back
            else:
                self._pending.append((self._clock() + self._propagation_seconds, self._snapshot()))

    def current(self) -> IamSnapshot:
        """Return the newest snapshot that is in effect."""
        with self._lock:
            self._refresh()
            while self._pending and self._pending[0][0] <= self._clock():
                self._current = self._pending.popleft()[1]
            return self._current

    def clear(self) -> None:
        """Delete all providers and roles at once, and set the delay to 0."""
        with self._lock:
            self._pending.clear()
            self._current = IamSnapshot()
            self._is_old = False
            self._propagation_seconds = 0.0

    def _refresh(self) -> None:
        if self._is_old:
            self._current = self._snapshot()
            self._is_old = False
