"""Sends requests to a daemon at a fixed rate, and checks each response against the invariants."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from examples.local.records import AccessKey
from sidecar.clock import SystemClock

__all__ = ("CLOCK", "EVERY_SECONDS", "Addresses", "Promise", "Sample", "Watch", "ask")

CLOCK = SystemClock()
EVERY_SECONDS = 0.05
ANSWER_SECONDS = 1.0
"""I5: each response within a second."""
STOP_SECONDS = 30.0
"""The daemon withdraws credentials this long before their expiration."""
ROUNDING_SECONDS = 2.0
"""It may withdraw them this much earlier: STS rounds its two times to seconds, and the daemon counts the lifetime from
before the call."""
DATE_SECONDS = 1.0
MAX_LIFETIME_SECONDS = 43_200
TIMEOUT_SECONDS = 75.0


class Addresses(NamedTuple):
    """The ports, the auth token, the process id and the credentials file of a daemon."""

    port: int
    admin_port: int
    auth_token: str
    pid: int
    file: Path
    """The file that ``credential_process = cat`` reads."""


class Answer(NamedTuple):
    """One response; with status 0 there was none, and the body is the error."""

    status: int
    body: bytes
    asked_at: float
    seconds: float
    wall_offset: float = 0.0


class Promise(NamedTuple):
    """The credentials that were served last; they must be served until `STOP_SECONDS` before their expiration."""

    key: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One response of the endpoint; ``key`` is empty if it had no credentials."""

    asked_at: float
    status: int
    key: str
    cause: str


def ask(port: int, path: str, token: str = "", timeout: float = 5.0) -> Answer:
    """Send a request on a new connection, and return the response."""
    began = CLOCK.now()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Authorization": token} if token else {})
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        status, body = 0, repr(error).encode()
    finally:
        connection.close()
    return Answer(status, body, began.wall, CLOCK.now().mono - began.mono)


class CpuWait:
    """The time that this process and a daemon wait for a CPU; it is not counted as a slow response of the daemon.

    Args:
        pid: the process id of the daemon.
    """

    def __init__(self, pid: int) -> None:
        self._daemon = Path(f"/proc/{pid}/task/{pid}")
        self._before = self._waits()

    def restart(self) -> None:
        """Count from now on."""
        self._before = self._waits()

    def seconds(self) -> float:
        """Return the seconds since ``restart`` that the daemon waited, plus those of this process's slowest thread."""
        delays = {task: wait - self._before.get(task, 0.0) for task, wait in self._waits().items()}
        return delays.pop(self._daemon, 0.0) + max(delays.values(), default=0.0)

    def _waits(self) -> dict[Path, float]:
        found = {}
        for task in (self._daemon, *Path("/proc/self/task").iterdir()):
            with suppress(OSError):
                # Documentation/scheduler/sched-stats.rst: time on the processor, time waiting for one, both in ns.
                found[task] = int((task / "schedstat").read_text().split()[1]) / 1e9
        return found


class Watch:
    """A thread that requests credentials, readiness and liveness every 50 ms, from its start to ``close``.

    Args:
        addresses: the addresses of the daemon.
        issued: returns the credentials that AWS has issued.
        promise: the credentials that the previous daemon served, which this daemon must serve.
        wall_offset: returns the seconds that are added to the daemon's wall clock.
    """

    def __init__(
        self,
        addresses: Addresses,
        issued: Callable[[], Sequence[AccessKey]],
        promise: Promise | None = None,
        wall_offset: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.samples: list[Sample] = []
        self.violations: list[str] = []
        self.bodies: set[bytes] = set()
        """The bodies of responses without credentials."""
        self.promise = promise
        self.slowest_seconds = 0.0
        self._addresses = addresses
        self._issued = issued
        self._offset = wall_offset
        self._cpu_wait = CpuWait(addresses.pid)
        self._silence_ignored = False
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sending requests."""
        self._stopped.set()
        self._thread.join()

    @contextmanager
    def silence_ignored(self) -> Iterator[None]:
        """Accept missing responses in this block; the responses that come are still checked."""
        self._silence_ignored = True
        try:
            yield
        finally:
            self._silence_ignored = False

    def ignore_silence(self, ignored: bool) -> None:  # noqa: FBT001 - begins and ends what silence_ignored does in a block
        self._silence_ignored = ignored

    def drop_promise(self) -> None:
        """Stop expecting the last credentials: after the test's action the daemon may withdraw them."""
        self.promise = None

    def until(self, found: Callable[[Sample], bool], what: str, seconds: float = TIMEOUT_SECONDS) -> Sample:
        """Return the first sample from now on for which ``found`` is true.

        Raises:
            TimeoutError: there was no such sample within ``seconds``.
        """
        with self._news:
            start = len(self.samples)

            def search() -> Sample | None:
                return next((sample for sample in self.samples[start:] if found(sample)), None)

            sample = self._news.wait_for(search, seconds)
        if sample is None:
            raise TimeoutError(f"{what}: not within {seconds} s; the last samples are {self.samples[-3:]}")
        return sample

    def more(self, count: int) -> None:
        """Wait for this many more samples."""
        with self._news:
            wanted = len(self.samples) + count
            self._news.wait_for(lambda: len(self.samples) >= wanted, TIMEOUT_SECONDS)

    def keys(self) -> set[str]:
        """Return the access key ids that were served so far."""
        return {sample.key for sample in self.samples if sample.key}

    def check(self) -> None:
        """Fail if a response violated an invariant."""
        assert not self.violations, "\n".join(self.violations[:20])

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            self._cpu_wait.restart()
            before = self._credentials()
            ready = self._ask(self._addresses.admin_port, "/readyz")
            after = self._credentials()
            self._file()
            live = self._ask(self._addresses.admin_port, "/livez")
            if live.status != 200 and live.status:
                self._violated(f"I7: /livez returned {live.status}")
            # The expected readiness is known only if the responses before and after it are the same.
            if 0 not in {before.status, ready.status, after.status} and before.status == after.status:
                served = before.status == 200
                if (ready.status == 200) is not served:
                    self._violated(f"I7: /readyz returned {ready.status} while credentials returned {before.status}")
            with self._news:
                self.samples.append(after)
                self._news.notify_all()

    def _ask(self, port: int, path: str, token: str = "") -> Answer:
        before = self._offset()
        answer = ask(port, path, token, timeout=1.0 if self._silence_ignored else 5.0)
        # If the clock was stepped meanwhile, the daemon may have decided before or after the step.
        answer = answer._replace(wall_offset=min(before, self._offset(), key=abs))
        if not self._silence_ignored:
            self.slowest_seconds = max(self.slowest_seconds, answer.seconds)
            if answer.status == 0:
                self._violated(f"I5: no response to {path}: {answer.body.decode()}")
            elif answer.seconds > ANSWER_SECONDS and answer.seconds - self._cpu_wait.seconds() > ANSWER_SECONDS:
                self._violated(f"I5: response to {path} after {answer.seconds:.2f} s")
        if answer.status != 200 or path != "/v1/credentials/default":
            self.bodies.add(answer.body)
        return answer

    def _credentials(self) -> Sample:
        answer = self._ask(self._addresses.port, "/v1/credentials/default", self._addresses.auth_token)
        if answer.status == 200:
            return Sample(answer.asked_at, 200, self._check_credentials(answer), "")
        cause = ""
        if answer.status:
            cause = str(json.loads(answer.body).get("code"))
            self._check_loss(answer)
        return Sample(answer.asked_at, answer.status, "", cause)

    def _check_credentials(self, answer: Answer) -> str:
        """Compare the served credentials with those that AWS issued (I1); return their access key id."""
        body = json.loads(answer.body)
        key = str(body.get("AccessKeyId"))
        issued = next((keys for keys in self._issued() if keys.access_key_id == key), None)
        if issued is None:
            self._violated(f"I1: served credentials that were never issued: {key}")
            return key
        if (body.get("SecretAccessKey"), body.get("Token")) != (issued.secret_access_key, issued.session_token):
            self._violated(f"I1: served parts of different credentials: {sorted(body)}")
        expires_at = datetime.strptime(body["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        # The daemon decides after the request was sent, so this bound is exact.
        left = expires_at - answer.asked_at - max(0.0, answer.wall_offset)
        # With only its monotonic clock it knows the expiration with the precision of STS's Date header, one second.
        if left <= STOP_SECONDS - (DATE_SECONDS if answer.wall_offset < 0 else 0.0):
            self._violated(f"I1: served credentials {left:.2f} s before their expiration")
        if expires_at > answer.asked_at + MAX_LIFETIME_SECONDS:
            self._violated(f"I1: served an expiration over the maximum of STS: {body['Expiration']}")
        if self.promise and self.promise.key != key and self.promise.expires_at > expires_at + 1:
            self._violated("I2: replaced credentials by credentials that expire earlier")
        self.promise = Promise(key, expires_at)
        return key

    def _file(self) -> None:
        """Check that the credentials file is complete, as AWS issued it, and has not expired (I1)."""
        now = CLOCK.now().wall
        try:
            body = json.loads(self._addresses.file.read_bytes())
            expires_at = datetime.strptime(body["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        except OSError:
            return  # the file does not exist
        except (ValueError, KeyError):
            self._violated("I1: the file has incomplete credentials")
            return
        texts = (body.get("AccessKeyId"), body.get("SecretAccessKey"), body.get("SessionToken"))
        if all(texts != (keys.access_key_id, keys.secret_access_key, keys.session_token) for keys in self._issued()):
            self._violated("I1: the file has credentials that were never issued")
        # The daemon cannot remove the file while it is stopped or its clock is wrong.
        if expires_at <= now and not self._silence_ignored and not self._offset():
            self._violated(f"I1: the file has credentials that expired {now - expires_at:.1f} s ago")

    def _check_loss(self, answer: Answer) -> None:
        """Check that credentials that were served are served until `STOP_SECONDS` before their expiration (I2)."""
        if self.promise is None or answer.wall_offset or self._offset():
            return
        left = self.promise.expires_at - STOP_SECONDS - ROUNDING_SECONDS - answer.asked_at - answer.seconds
        if left > 0:
            self._violated(f"I2: returned {answer.status} while the last credentials were valid for {left:.1f} s more")

    def _violated(self, text: str) -> None:
        self.violations.append(f"{CLOCK.now().wall:.3f} {text}")
