"""Asks a daemon all the time, and holds every answer against the invariants."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from examples.local.records import KeySet
from sidecar.clock import SystemClock

__all__ = ("CLOCK", "EVERY_SECONDS", "Addresses", "Promise", "Sample", "Watch", "ask")

CLOCK = SystemClock()
EVERY_SECONDS = 0.05
ANSWER_SECONDS = 1.0
"""I5: every answer within a second."""
STOP_SECONDS = 30.0
"""Before its expiry a set is not served any more."""
ROUNDING_SECONDS = 2.0
"""By so much may a set go earlier: STS rounds both its times to seconds, and its life counts from before the call."""
DATE_SECONDS = 1.0
GRANT_MAX_SECONDS = 43_200
PATIENCE_SECONDS = 75.0


class Addresses(NamedTuple):
    """Where and how to ask, and whom."""

    port: int
    admin_port: int
    auth_token: str
    pid: int
    file: Path
    """What ``cat`` would print."""


class Answer(NamedTuple):
    """One answer; status 0 is none, and the body says why."""

    status: int
    body: bytes
    asked_at: float
    seconds: float
    wall_offset: float = 0.0


class Promise(NamedTuple):
    """The set that was served last: it must stay until it cannot be served."""

    key: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What the endpoint answered at one moment; ``key`` is empty where it was no set."""

    asked_at: float
    status: int
    key: str
    cause: str


def ask(port: int, path: str, token: str = "", timeout: float = 5.0) -> Answer:
    """Return what is answered on a new connection."""
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


class Starvation:
    """How long this process and a daemon wait for a processor: what a busy machine does is nobody's slow answer.

    Args:
        pid: the daemon.
    """

    def __init__(self, pid: int) -> None:
        self._daemon = Path(f"/proc/{pid}/task/{pid}")
        self._before = self._waits()

    def restart(self) -> None:
        """Count from now on."""
        self._before = self._waits()

    def seconds(self) -> float:
        """Return the seconds since ``restart`` that the daemon waited, and that thread of ours that waited longest."""
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
    """A thread that asks for credentials, readiness and liveness every 50 ms, from its start to ``close``.

    Args:
        addresses: of the daemon.
        issued: returns every set that AWS has issued.
        promise: what a former daemon served, which this one must go on with.
        wall_offset: by how many seconds the daemon's wall clock is wrong.
    """

    def __init__(
        self,
        addresses: Addresses,
        issued: Callable[[], Sequence[KeySet]],
        promise: Promise | None = None,
        wall_offset: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.samples: list[Sample] = []
        self.violations: list[str] = []
        self.bodies: set[bytes] = set()
        """Every body but those with a set."""
        self.promise = promise
        self.slowest_seconds = 0.0
        self._addresses = addresses
        self._issued = issued
        self._offset = wall_offset
        self._starvation = Starvation(addresses.pid)
        self._excused = False
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop asking."""
        self._stopped.set()
        self._thread.join()

    @contextmanager
    def silence_excused(self) -> Iterator[None]:
        """Accept that no answer comes; whatever does come must still be right."""
        self._excused = True
        try:
            yield
        finally:
            self._excused = False

    def excuse(self, excused: bool) -> None:  # noqa: FBT001 - begins and ends what silence_excused does in a block
        self._excused = excused

    def forgive(self) -> None:
        """Take back the promise that the last set stays: what was done to the daemon takes it away by right."""
        self.promise = None

    def until(self, found: Callable[[Sample], bool], what: str, seconds: float = PATIENCE_SECONDS) -> Sample:
        """Return the first sample from now on of which ``found`` is true.

        Raises:
            TimeoutError: none came.
        """
        with self._news:
            start = len(self.samples)

            def search() -> Sample | None:
                return next((sample for sample in self.samples[start:] if found(sample)), None)

            sample = self._news.wait_for(search, seconds)
        if sample is None:
            raise TimeoutError(f"{what}: not in {seconds} s; the last answers were {self.samples[-3:]}")
        return sample

    def more(self, count: int) -> None:
        """Wait for so many more samples."""
        with self._news:
            wanted = len(self.samples) + count
            self._news.wait_for(lambda: len(self.samples) >= wanted, PATIENCE_SECONDS)

    def keys(self) -> set[str]:
        """Return the access key id of every set that was served so far."""
        return {sample.key for sample in self.samples if sample.key}

    def check(self) -> None:
        """Fail where an answer broke an invariant."""
        assert not self.violations, "\n".join(self.violations[:20])

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            self._starvation.restart()
            before = self._credentials()
            ready = self._ask(self._addresses.admin_port, "/readyz")
            after = self._credentials()
            self._file()
            live = self._ask(self._addresses.admin_port, "/livez")
            if live.status != 200 and live.status:
                self._violated(f"I7: /livez answered {live.status}")
            # Only where both answers around it agree is it known what readiness has to be.
            if 0 not in {before.status, ready.status, after.status} and before.status == after.status:
                held = before.status == 200
                if (ready.status == 200) is not held:
                    self._violated(f"I7: /readyz {ready.status} while credentials answer {before.status}")
            with self._news:
                self.samples.append(after)
                self._news.notify_all()

    def _ask(self, port: int, path: str, token: str = "") -> Answer:
        before = self._offset()
        answer = ask(port, path, token, timeout=1.0 if self._excused else 5.0)
        # A step meanwhile may have come before the decision or after it.
        answer = answer._replace(wall_offset=min(before, self._offset(), key=abs))
        if not self._excused:
            self.slowest_seconds = max(self.slowest_seconds, answer.seconds)
            if answer.status == 0:
                self._violated(f"I5: no answer to {path}: {answer.body.decode()}")
            elif answer.seconds > ANSWER_SECONDS and answer.seconds - self._starvation.seconds() > ANSWER_SECONDS:
                self._violated(f"I5: {path} answered after {answer.seconds:.2f} s")
        if answer.status != 200 or path != "/v1/credentials/default":
            self.bodies.add(answer.body)
        return answer

    def _credentials(self) -> Sample:
        answer = self._ask(self._addresses.port, "/v1/credentials/default", self._addresses.auth_token)
        if answer.status == 200:
            return Sample(answer.asked_at, 200, self._judge(answer), "")
        cause = ""
        if answer.status:
            cause = str(json.loads(answer.body).get("code"))
            self._judge_loss(answer)
        return Sample(answer.asked_at, answer.status, "", cause)

    def _judge(self, answer: Answer) -> str:
        """Return the access key id of a set, having compared it with what AWS issued (I1)."""
        body = json.loads(answer.body)
        key = str(body.get("AccessKeyId"))
        issued = next((keys for keys in self._issued() if keys.access_key_id == key), None)
        if issued is None:
            self._violated(f"I1: served a set that was never issued: {key}")
            return key
        if (body.get("SecretAccessKey"), body.get("Token")) != (issued.secret_access_key, issued.session_token):
            self._violated(f"I1: served a part of another set: {sorted(body)}")
        expires_at = datetime.strptime(body["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        # It decided after it was asked, so this is exact.
        left = expires_at - answer.asked_at - max(0.0, answer.wall_offset)
        # By its monotonic clock alone it knows the end to within the whole second of STS's Date header.
        if left <= STOP_SECONDS - (DATE_SECONDS if answer.wall_offset < 0 else 0.0):
            self._violated(f"I1: served {left:.2f} s before its expiry")
        if expires_at > answer.asked_at + GRANT_MAX_SECONDS:
            self._violated(f"I1: served an expiry that STS never grants: {body['Expiration']}")
        if self.promise and self.promise.key != key and self.promise.expires_at > expires_at + 1:
            self._violated("I2: a set gave way to one that ends earlier")
        self.promise = Promise(key, expires_at)
        return key

    def _file(self) -> None:
        """What ``cat`` prints is whole, as AWS issued it, and has not expired (I1)."""
        now = CLOCK.now().wall
        try:
            body = json.loads(self._addresses.file.read_bytes())
            expires_at = datetime.strptime(body["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        except OSError:
            return  # there is none
        except (ValueError, KeyError):
            self._violated("I1: the file is no whole set")
            return
        texts = (body.get("AccessKeyId"), body.get("SecretAccessKey"), body.get("SessionToken"))
        if all(texts != (keys.access_key_id, keys.secret_access_key, keys.session_token) for keys in self._issued()):
            self._violated("I1: the file has a set that was never issued")
        # Nobody takes it away while the daemon is stopped or its clock is wrong.
        if expires_at <= now and not self._excused and not self._offset():
            self._violated(f"I1: the file has a set that expired {now - expires_at:.1f} s ago")

    def _judge_loss(self, answer: Answer) -> None:
        """A set that was served once is served until it cannot be (I2)."""
        if self.promise is None or answer.wall_offset or self._offset():
            return
        left = self.promise.expires_at - STOP_SECONDS - ROUNDING_SECONDS - answer.asked_at - answer.seconds
        if left > 0:
            self._violated(f"I2: {answer.status} while the last set was good for {left:.1f} s more")

    def _violated(self, text: str) -> None:
        self.violations.append(f"{CLOCK.now().wall:.3f} {text}")
