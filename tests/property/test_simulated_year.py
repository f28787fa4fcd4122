"""A simulated year of one profile: the known faults at random, with the laws checked at each step.

Time advances from one event to the next. Where the state machine only has to check its clocks every few seconds and
no check can change anything, the checks are counted and skipped; one of each such stretch is done.
"""

import heapq
import itertools
import random
from dataclasses import replace

import pytest

from sidecar.clock import Instant
from sidecar.credentials.lifecycle import seconds_until_due, step
from sidecar.credentials.states import Action, Event, Failed, InputChanged, Loaded, Phase, ProfileState, Succeeded, Tick
from sidecar.errors import Failure, Outcome, Retry
from sidecar.limits import TICK_MAX_SECONDS
from sidecar.model import AssumeRoleResult, Token
from tests.helpers.clock import FakeClock
from tests.helpers.values import assume_role_result, token
from tests.property.accounts import WANTED_SECONDS, Span, Summary, excused, merged, total

DAY = 86_400.0
YEAR = 365 * DAY
LIFETIME = 3_600.0
ROTATION_SECONDS = 0.8 * LIFETIME - 10  # the kubelet's rule, at its earliest
# The longest backoff, the longest attempt, and the spread of a rotation: after this time a fault has no more effect.
RECOVERY_SECONDS = 330.0
# NTP makes steps up to this size; a larger step makes credentials look older or younger than they are.
SMALL_STEP_SECONDS = 60.0
# IAM accepts a token until this many seconds after its exp (IAM User Guide, OIDC federation).
TOKEN_LEEWAY_SECONDS = 300.0

FAULTS = (
    Failure(Outcome.UNREACHABLE, Retry.TRANSIENT, "hint"),
    Failure(Outcome.ACCESS_DENIED, Retry.PROPAGATION, "hint"),
    Failure(Outcome.REGION_DISABLED, Retry.PERMANENT, "hint"),
    None,  # false answers: the credentials cannot be used
)
EXPIRED = Failure(Outcome.EXPIRED_TOKEN, Retry.TRANSIENT, "hint")


class Year:
    """One profile, its kubelet, its node's clocks and its AWS."""

    _token: Token | None = None
    _saved: AssumeRoleResult | None = None

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = FakeClock()
        self.true = self.clock.wall  # AWS's time; the node's wall clock may differ
        self.state = ProfileState()
        self.summary = Summary()
        self._events: list[tuple[float, int, str, float]] = []
        self._order = itertools.count()
        self._number = 0
        self._exchange = 0  # the number of the running exchange, 0 for none
        self._sent = (0.0, 0.0)
        self._faults: list[Failure | None] = []
        self._kubelet_from = 0.0
        self._blind_until = 0.0  # a step of the wall clock is noticed at the next check, not at once
        self._repaired_at = 0.0

    # --- events from outside ---

    def plan(self) -> None:
        """Schedule a year of faults."""
        draw = self.random
        self._at(0.0, "rotate")
        for _ in range(120):
            seconds = 10.0 ** draw.uniform(1, 4.3)  # ten seconds to five and a half hours
            self._at(draw.uniform(0, YEAR), "outage", seconds)
        for _ in range(40):
            self._at(draw.uniform(0, YEAR), "wall", draw.choice((-1, 1)) * 10.0 ** draw.uniform(0, 3.9))
        for _ in range(60):
            self._at(draw.uniform(0, YEAR), "restart", draw.choice((0.0, 0.0, 1.0)))
        for _ in range(20):
            self._at(draw.uniform(0, YEAR), "kubelet stops", 10.0 ** draw.uniform(2, 4.3))
        self._fault(0.0, 0.0, sudden=True)

    def run(self) -> Summary:
        """Simulate the year."""
        self.plan()
        while True:
            # At least a millisecond: a shorter time is lost in the digits of a wall clock.
            wait = max(0.001, self._next_check())
            until = self._events[0][0] if self._events else YEAR
            if min(until, self._now + wait) >= YEAR:
                break
            if until <= self._now + wait:
                self._pass(until - self._now)
                _, _, what, amount = heapq.heappop(self._events)
                getattr(self, f"_{what.replace(' ', '_')}")(amount)
            else:
                self._pass(wait)
                self._step(Tick())
                assert seconds_until_due(self.state, self.clock.now()) > 0, "no busy loop"
        return self.summary

    @property
    def _now(self) -> float:
        return self.clock.mono - 1_000.0

    def _at(self, when: float, what: str, amount: float = 0.0) -> None:
        heapq.heappush(self._events, (when, next(self._order), what, amount))

    def _rotate(self, _: float) -> None:
        if self._now < self._kubelet_from:
            self._at(self._kubelet_from + 60.0, "rotate")
            return
        self._number += 1
        self._token = token(f"head.{self._number}.sig", self.true + LIFETIME)
        # The kubelet checks every 60 to 90 s.
        self._at(self._now + ROTATION_SECONDS + self.random.uniform(0, 100), "rotate")
        self._step(InputChanged(self._token))

    def _kubelet_stops(self, seconds: float) -> None:
        self._kubelet_from = max(self._kubelet_from, self._now + seconds)

    def _outage(self, seconds: float) -> None:
        number = self.random.randrange(len(FAULTS))
        self._faults.append(FAULTS[number])
        self._fault(self._now, self._now + seconds)
        self._at(self._now + seconds, "repaired", number)

    def _repaired(self, fault: float) -> None:
        self._faults.remove(FAULTS[int(fault)])

    def _wall(self, seconds: float) -> None:
        # A person corrects the clock after some time.
        wrong = self.random.uniform(60, 7_200)
        self._at(self._now + wrong, "wall back", -seconds)
        if abs(seconds) > SMALL_STEP_SECONDS:
            self._fault(self._now, self._now + wrong, sudden=True)
        self._wall_back(seconds)

    def _wall_back(self, seconds: float) -> None:
        self.clock.step_wall(seconds)
        self._blind_until = self._now + self.random.uniform(0, TICK_MAX_SECONDS)

    def _restart(self, empty_volume: float) -> None:
        """Start as the daemon does: with the saved credentials, later with the token."""
        now, served = self.clock.now(), self._served()
        self.summary.restarts += 1
        self._exchange = 0
        self.state = ProfileState()
        saved, self._saved = self._saved, None
        if empty_volume:
            self._fault(self._now, self._now, sudden=True)
        elif saved is not None:
            remaining = min(saved.credentials.expires_at - now.wall, saved.lifetime_seconds)
            if remaining > 0:
                self._step(Loaded(replace(saved, requested_mono=now.mono - (saved.lifetime_seconds - remaining))))
            assert not served or self._served(), "a restart lost valid credentials"
        self._at(self._now + self.random.uniform(0.1, 5.0), "token found")

    def _token_found(self, _: float) -> None:
        if self._token is not None and self.state.exchange_input is None:
            self._step(InputChanged(self._token))

    def _ends(self, exchange: float) -> None:
        if exchange == self._exchange:
            self._exchange = 0
            self._step(self._answer())

    def _answer(self) -> Event:
        assert self._token is not None
        if self._faults and self._faults[-1] is not None:
            return Failed(self._faults[-1])
        if self.true - self._token.expires_at > TOKEN_LEEWAY_SECONDS:
            return Failed(EXPIRED)
        self._number += 1
        sent_true, requested_mono = self._sent
        # False answers: credentials that have expired or expire before the current ones; lifetimes by the clock of STS.
        lifetime = self.random.choice((-60.0, 5.0, 45.0, 400.0)) if self._faults else LIFETIME
        return Succeeded(assume_role_result(self._number, lifetime=lifetime, wall=sent_true, mono=requested_mono))

    # --- the state machine ---

    def _next_check(self) -> float:
        """Return how long no state can change without an event, and count the checks of the clocks in between."""
        now = self.clock.now()
        wait = seconds_until_due(self.state, now)
        if wait < TICK_MAX_SECONDS:
            self.summary.checks += 1
            return max(wait, self._blind_until - self._now)
        if not self._idle(TICK_MAX_SECONDS):
            self.summary.checks += 1
            return wait
        # How often in a row it returns the longest wait: the next due time comes nearer by this much each time.
        most = int((self._events[0][0] - self._now) / TICK_MAX_SECONDS) if self._events else 1
        low, high = 1, max(1, most)
        while low < high:
            middle = (low + high + 1) // 2
            if seconds_until_due(self.state, self._later(TICK_MAX_SECONDS * (middle - 1))) == TICK_MAX_SECONDS:
                low = middle
            else:
                high = middle - 1
        assert low == 1 or self._idle(TICK_MAX_SECONDS * self.random.randrange(1, low)), "a check changed the state"
        self.summary.checks += low
        return TICK_MAX_SECONDS * low

    def _idle(self, seconds: float) -> bool:
        return step(self.state, Tick(), self._later(seconds), self.random.random) == (self.state, ())

    def _later(self, seconds: float) -> Instant:
        return Instant(self.clock.wall + seconds, self.clock.mono + seconds)

    def _step(self, event: Event) -> None:
        """Take one step, do its actions, and check the laws."""
        now, before = self.clock.now(), self.state
        self.state, actions = step(before, event, now, self.random.random)
        self.summary.steps += 1
        assert self.state.phase in {Phase.ACQUIRING, Phase.REFRESHING} or not self._exchange, "one exchange at a time"
        if before.held is not None and before.held.servable(now):
            assert self.state.held is not None, "valid credentials were lost"
            ends = (before.held.result.credentials.expires_at, self.state.held.result.credentials.expires_at)
            assert ends[0] <= ends[1], "credentials were replaced by others that expire earlier"
        if isinstance(event, Failed):
            self.summary.failures += 1
        elif isinstance(event, Succeeded):
            self.summary.refreshes += self.state.failure is None
            self.summary.failures += self.state.failure is not None
        for action in actions:
            held = self.state.held
            if action is Action.START:
                assert not self._exchange, "one exchange at a time"
                self._exchange = self._number = self._number + 1
                self._sent = (self.true, now.mono)
                self._at(self._now + (10.0 if self._faults else self.random.uniform(0.2, 3.0)), "ends", self._exchange)
            elif action is Action.PUBLISH:
                assert held is not None
                assert held.servable(now), "only servable credentials are served"
                self._saved = held.result
            else:
                assert before.held is not None
                assert not before.held.servable(now), "servable credentials were withdrawn"
                self._saved = None
        assert self.state.shown is (self._saved is not None), "the state does not match the published credentials"

    def _served(self) -> bool:
        held = self.state.held
        return self.state.shown and held is not None and held.servable(self.clock.now())

    def _pass(self, seconds: float) -> None:
        """Let time pass, and record the time without credentials."""
        held, now = self.state.held, self.clock.now()
        served = (
            min(held.stop_mono - now.mono, held.stop_at - now.wall) if held is not None and self.state.shown else 0.0
        )
        served = min(max(served, 0.0), seconds)
        if served < seconds:
            gaps = self.summary.gaps
            if gaps and gaps[-1].end >= self._now + served - 1e-3:
                gaps[-1].end = self._now + seconds
            else:
                gaps.append(Span(self._now + served, self._now + seconds))
        self.clock.advance(seconds)
        self.true += seconds
        if self._token is not None and self.true > (ends := self._token.expires_at + TOKEN_LEEWAY_SECONDS):
            self._fault(self._now - (self.true - ends), self._now)
        if self._now >= self._repaired_at:
            assert self._served(), "AWS answers, but there are no credentials"
            assert held is not None
            left = held.result.credentials.expires_at - self.true
            assert left >= WANTED_SECONDS, f"AWS answers, but only {left:.0f} s are left"

    def _fault(self, begin: float, end: float, *, sudden: bool = False) -> None:
        self._repaired_at = max(self._repaired_at, end + RECOVERY_SECONDS)
        self.summary.faults.append(Span(begin, end + RECOVERY_SECONDS, sudden))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_a_year_of_faults_no_time_without_credentials_is_unexplained(seed: int) -> None:
    summary = Year(seed).run()
    print(f"\nyear {seed}: {summary}")  # noqa: T201 - the summary of the year; shown with -s and if the test fails
    allowed = excused(summary)
    for gap in summary.gaps:
        assert any(span.begin <= gap.begin and gap.end <= span.end for span in allowed), f"no reason for {gap}"
    assert len(summary.gaps) > 20, "a year without faults proves nothing"
    faults = [Span(group[0].begin, max(one.end for one in group)) for group in merged(summary.faults)]
    # Each token can cause two refreshes: its rotation and the timer; a wrong clock makes all credentials look old.
    sudden = [span for span in summary.faults if span.sudden]
    assert YEAR / LIFETIME <= summary.refreshes <= 2 * YEAR / ROTATION_SECONDS + summary.restarts + total(sudden) / 120
    assert summary.failures <= 12 * len(faults) + total(faults) / 20
    assert summary.checks <= YEAR / TICK_MAX_SECONDS + 6 * summary.steps, "it checks the clocks more often than needed"
