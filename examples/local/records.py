"""What STS was asked, and the credential sets it gave. Calls are recorded without a token or a secret."""

import threading
from collections import deque
from dataclasses import dataclass, field

# Bounds memory in a demo that runs for weeks.
_MAX_CALLS = 100_000


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call to STS.

    Attributes:
        at: when it was answered, seconds since the epoch.
        operation: such as "AssumeRoleWithWebIdentity".
        outcome: "ok", an error code, or "fault:<kind>" where the answer was spoiled on request.
        session_name: the RoleSessionName asked for, cut at 64 characters; empty where there is none.
    """

    at: float
    operation: str
    outcome: str
    session_name: str


class CallLog:
    """The calls to STS, oldest first. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[CallRecord] = deque(maxlen=_MAX_CALLS)

    def add(self, call: CallRecord) -> None:
        """Append a call."""
        with self._lock:
            self._calls.append(call)

    def all(self) -> tuple[CallRecord, ...]:
        """Return every call."""
        with self._lock:
            return tuple(self._calls)

    def clear(self) -> None:
        """Forget every call."""
        with self._lock:
            self._calls.clear()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signs: an ARN, and the ARN of the role behind it (empty for the administrator)."""

    arn: str
    role_arn: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """An access key that AWS knows.

    Attributes:
        access_key_id: public.
        secret_access_key: secret.
        session_token: secret; empty for a long-lived key.
        expires_at: seconds since the epoch; infinity for a long-lived key.
        caller: whom it stands for.
        session_name: the role session's name; empty for a long-lived key.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: float
    caller: Caller
    session_name: str


class KeyRing:
    """The access keys that AWS knows. Thread safe.

    Args:
        admin: the long-lived key of the administrator, which survives `clear`.
    """

    def __init__(self, admin: KeySet) -> None:
        self.admin = admin
        self._lock = threading.Lock()
        self._issued: dict[str, KeySet] = {}

    def add(self, keys: KeySet) -> None:
        """Remember an issued set."""
        with self._lock:
            self._issued[keys.access_key_id] = keys

    def find(self, access_key_id: str) -> KeySet | None:
        """Return the set with this id, expired or not, or None."""
        if access_key_id == self.admin.access_key_id:
            return self.admin
        with self._lock:
            return self._issued.get(access_key_id)

    def issued(self) -> tuple[KeySet, ...]:
        """Return every issued set, oldest first."""
        with self._lock:
            return tuple(self._issued.values())

    def clear(self) -> None:
        """Forget every issued set."""
        with self._lock:
            self._issued.clear()
