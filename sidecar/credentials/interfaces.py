"""The interfaces between the refresher, the exchange with STS, and the reporter."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from sidecar.clock import Instant
from sidecar.credentials.states import ProfileState
from sidecar.errors import Failure
from sidecar.model import AssumeRoleRequest, AssumeRoleResult

__all__ = ("Exchange", "Exchanger", "Observer", "Withdrawal")

Exchange = Callable[[Sequence[AssumeRoleRequest]], AsyncGenerator[tuple[str, AssumeRoleResult | Failure]]]
"""Takes requests and yields (profile name, result) once for each request, when it is ready. Raises nothing."""


class Exchanger(Protocol):
    """Calls AssumeRoleWithWebIdentity and AssumeRole."""

    def open(self) -> AbstractAsyncContextManager[Exchange]:
        """Return an ``Exchange`` that can be called until the end of the block; the end also ends its child process."""
        ...


class Withdrawal(StrEnum):
    """Why the credentials of a profile were withdrawn; the ``reason`` of the log line."""

    EXPIRED = "expired"
    ROLE_CHANGED = "role_changed"
    REMOVED = "removed"
    NOT_SERVED = "not_served"


class Observer(Protocol):
    """Receives the events of the refresher, for logs and metrics. Its methods must not raise."""

    def exchange_started(self, profiles: Sequence[str]) -> None:
        """An exchange starts for these profiles."""

    def exchange_ended(
        self,
        profile: str,
        result: AssumeRoleResult | Failure,
        seconds: float,
        now: Instant,
        *,
        before: ProfileState,
        after: ProfileState,
    ) -> None:
        """The exchange of a profile ended after ``seconds``; its state was ``before`` and is ``after``."""

    def withdrawn(self, profile: str, state: ProfileState, reason: Withdrawal) -> None:
        """The credentials of a profile were withdrawn."""

    def previous_settings_served(self, profile: str, state: ProfileState, now: Instant) -> None:
        """The settings of a profile changed, and credentials of the previous settings are still served."""
