"""The calls to STS and the credentials that it issued. Calls are recorded without a token or a secret."""

import secrets
import threading
from collections import deque
from dataclasses import dataclass, field

from examples.local.partitions import Account, account_of

# Bounds memory in a demo that runs for weeks.
_MAX_CALLS = 100_000


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call to STS.

    Attributes:
        at: the time of the response, seconds since the epoch.
        operation: such as "AssumeRoleWithWebIdentity".
        outcome: "ok", an error code, or "fault:<kind>" if a fault changed the response.
        session_name: the requested RoleSessionName, cut at 64 characters; empty if there is none.
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
        self._cleared = 0

    def begin(self) -> int:
        """Return the argument of ``add`` for a call that begins now."""
        with self._lock:
            return self._cleared

    def add(self, call: CallRecord, begun: int) -> None:
        """Append a call, unless `clear` ran since it began: a slow call of one test is not a call of the next."""
        with self._lock:
            if begun == self._cleared:
                self._calls.append(call)

    def all(self) -> tuple[CallRecord, ...]:
        """Return all calls."""
        with self._lock:
            return tuple(self._calls)

    def clear(self) -> None:
        """Delete all calls, also those in progress."""
        with self._lock:
            self._calls.clear()
            self._cleared += 1


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal that signs: its ARN, and the ARN of its role (empty for the administrator)."""

    arn: str
    role_arn: str

    @property
    def account(self) -> Account:
        """Its account."""
        return account_of(self.arn)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key that AWS knows: the administrator's, or issued credentials.

    Attributes:
        access_key_id: public.
        secret_access_key: secret.
        session_token: secret; empty for a long-lived key.
        expires_at: seconds since the epoch; infinity for a long-lived key.
        caller: the principal of the key.
        session_name: the role session's name; empty for a long-lived key.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: float
    caller: Caller
    session_name: str


def administrator(account: Account) -> AccessKey:
    """Return a new long-lived key of an account's administrator."""
    return AccessKey(
        access_key_id="AKIA" + secrets.token_hex(8).upper(),
        secret_access_key=secrets.token_urlsafe(30),
        session_token="",
        expires_at=float("inf"),
        caller=Caller(f"{account.iam}:user/moto", ""),
        session_name="",
    )


class KeyRing:
    """The access keys that AWS knows. Thread safe.

    Args:
        admin: the long-lived key of the first account's administrator, which `clear` does not delete.
    """

    def __init__(self, admin: AccessKey) -> None:
        self._lock = threading.Lock()
        self._admins = {admin.access_key_id: admin}
        self._issued: dict[str, AccessKey] = {}

    def add(self, keys: AccessKey) -> None:
        """Save issued credentials."""
        with self._lock:
            self._issued[keys.access_key_id] = keys

    def find(self, access_key_id: str) -> AccessKey | None:
        """Return the access key with this id, expired or not, or None."""
        with self._lock:
            return self._admins.get(access_key_id) or self._issued.get(access_key_id)

    def add_admin(self, keys: AccessKey) -> None:
        """Save the long-lived key of another account's administrator."""
        with self._lock:
            self._admins[keys.access_key_id] = keys

    def forget_admins(self) -> None:
        """Delete the administrators that were added."""
        with self._lock:
            self._admins = dict(list(self._admins.items())[:1])

    def issued(self) -> tuple[AccessKey, ...]:
        """Return all issued credentials, oldest first."""
        with self._lock:
            return tuple(self._issued.values())

    def clear(self) -> None:
        """Delete all issued credentials."""
        with self._lock:
            self._issued.clear()
