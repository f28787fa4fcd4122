"""A year of one profile in seconds: every fault that is known, at random, and the laws at every step.

Time goes from one thing that happens to the next. Where the machine only wants to look at its clocks every few
seconds and nothing can come of it, those looks are counted and left out; one of each stretch is done all the same.
"""

import heapq
import itertools
import random
from dataclasses import replace

import pytest

from sidecar.clock import Instant
from sidecar.credentials.lifecycle import look_after, step
from sidecar.credentials.states import Action, Event, Failed, Granted, Loaded, Phase, State, Tick, TicketSeen
from sidecar.errors import Failure, Outcome, Retry
from sidecar.limits import LOOK_SECONDS
from sidecar.model import Grant, Token
from tests.helpers.clock import FakeClock
from tests.helpers.values import grant, token
from tests.property.accounts import WANTED_SECONDS, Span, Summary, excused, merged, total

DAY = 86_400.0
YEAR = 365 * DAY
LIFE = 3_600.0
ROTATION_SECONDS = 0.8 * LIFE - 10  # the kubelet's rule, at its earliest
# The longest backoff, the longest attempt, and the spread of a rotation: after this long all is as if nothing had been.
MEND_SECONDS = 330.0
# A step up to this much is what NTP does; a larger one makes a set look older or younger than it is.
SMALL_STEP_SECONDS = 60.0
# IAM takes a token this long after its exp (IAM User Guide, OIDC federation).
TOKEN_LEEWAY_SECONDS = 300.0

FAULTS = (
    Failure(Outcome.UNREACHABLE, Retry.TRANSIENT, "hint"),
    Failure(Outcome.ACCESS_DENIED, Retry.PROPAGATION, "hint"),
    Failure(Outcome.REGION_DISABLED, Retry.PERMANENT, "hint"),
    None,  # it lies: what it grants cannot be used
)
EXPIRED = Failure(Outcome.EXPIRED_TOKEN, Retry.TRANSIENT, "hint")


class Year:
    """One profile, its kubelet, its node's clocks and its AWS."""

    _token: Token | None = None
    _kept: Grant | None = None

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = FakeClock()
        self.true = self.clock.wall  # AWS's time; the node's wall clock may differ
        self.state = State()
        self.summary = Summary()
        self._events: list[tuple[float, int, str, float]] = []
        self._order = itertools.count()
        self._number = 0
        self._flight = 0  # the number of the exchange in flight, 0 for none
        self._asked = (0.0, 0.0)
        self._faults: list[Failure | None] = []
        self._kubelet_from = 0.0
        self._blind_until = 0.0  # a wall clock that was stepped is seen with the next look, not at once
        self._mended_at = 0.0

    # --- what the world does ---

    def plan(self) -> None:
        """Put a year of faults on the calendar."""
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
        self._trouble(0.0, 0.0, sudden=True)

    def run(self) -> Summary:
        """Live through the year."""
        self.plan()
        while True:
            # A millisecond at least: less than that is lost in the digits of a wall clock.
            wait = max(0.001, self._look())
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
                assert look_after(self.state, self.clock.now()) > 0, "no busy loop"
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
        self._token = token(f"head.{self._number}.sig", self.true + LIFE)
        # It looks every 60 to 90 s.
        self._at(self._now + ROTATION_SECONDS + self.random.uniform(0, 100), "rotate")
        self._step(TicketSeen(self._token))

    def _kubelet_stops(self, seconds: float) -> None:
        self._kubelet_from = max(self._kubelet_from, self._now + seconds)

    def _outage(self, seconds: float) -> None:
        number = self.random.randrange(len(FAULTS))
        self._faults.append(FAULTS[number])
        self._trouble(self._now, self._now + seconds)
        self._at(self._now + seconds, "mended", number)

    def _mended(self, fault: float) -> None:
        self._faults.remove(FAULTS[int(fault)])

    def _wall(self, seconds: float) -> None:
        # Somebody notices, sooner or later.
        wrong = self.random.uniform(60, 7_200)
        self._at(self._now + wrong, "wall back", -seconds)
        if abs(seconds) > SMALL_STEP_SECONDS:
            self._trouble(self._now, self._now + wrong, sudden=True)
        self._wall_back(seconds)

    def _wall_back(self, seconds: float) -> None:
        self.clock.step_wall(seconds)
        self._blind_until = self._now + self.random.uniform(0, LOOK_SECONDS)

    def _restart(self, empty_volume: float) -> None:
        """Start as the daemon does: from what was kept, then with the token, when it is found."""
        now, served = self.clock.now(), self._served()
        self.summary.restarts += 1
        self._flight = 0
        self.state = State()
        kept, self._kept = self._kept, None
        if empty_volume:
            self._trouble(self._now, self._now, sudden=True)
        elif kept is not None:
            remaining = min(kept.credentials.expires_at - now.wall, kept.life_seconds)
            if remaining > 0:
                self._step(Loaded(replace(kept, asked_mono=now.mono - (kept.life_seconds - remaining))))
            assert not served or self._served(), "a restart lost a valid set"
        self._at(self._now + self.random.uniform(0.1, 5.0), "token found")

    def _token_found(self, _: float) -> None:
        if self._token is not None and self.state.ticket is None:
            self._step(TicketSeen(self._token))

    def _ends(self, flight: float) -> None:
        if flight == self._flight:
            self._flight = 0
            self._step(self._answer())

    def _answer(self) -> Event:
        assert self._token is not None
        if self._faults and self._faults[-1] is not None:
            return Failed(self._faults[-1])
        if self.true - self._token.expires_at > TOKEN_LEEWAY_SECONDS:
            return Failed(EXPIRED)
        self._number += 1
        asked_true, asked_mono = self._asked
        # A lie is a set that has ended, or that ends before the one that is held; its life, by STS's own clock.
        life = self.random.choice((-60.0, 5.0, 45.0, 400.0)) if self._faults else LIFE
        return Granted(grant(self._number, life=life, wall=asked_true, mono=asked_mono))

    # --- what the machine does ---

    def _look(self) -> float:
        """Return how long nothing can happen by itself, and count the looks at the clocks in between."""
        now = self.clock.now()
        wait = look_after(self.state, now)
        if wait < LOOK_SECONDS:
            self.summary.looks += 1
            return max(wait, self._blind_until - self._now)
        if not self._idle(LOOK_SECONDS):
            self.summary.looks += 1
            return wait
        # How often in a row it asks for the longest wait: what it waits for comes nearer by as much each time.
        most = int((self._events[0][0] - self._now) / LOOK_SECONDS) if self._events else 1
        low, high = 1, max(1, most)
        while low < high:
            middle = (low + high + 1) // 2
            if look_after(self.state, self._later(LOOK_SECONDS * (middle - 1))) == LOOK_SECONDS:
                low = middle
            else:
                high = middle - 1
        assert low == 1 or self._idle(LOOK_SECONDS * self.random.randrange(1, low)), "a look changed something"
        self.summary.looks += low
        return LOOK_SECONDS * low

    def _idle(self, seconds: float) -> bool:
        return step(self.state, Tick(), self._later(seconds), self.random.random) == (self.state, ())

    def _later(self, seconds: float) -> Instant:
        return Instant(self.clock.wall + seconds, self.clock.mono + seconds)

    def _step(self, event: Event) -> None:
        """Take one step, do what it says, and look at its laws."""
        now, before = self.clock.now(), self.state
        self.state, actions = step(before, event, now, self.random.random)
        self.summary.steps += 1
        assert self.state.phase in {Phase.ACQUIRING, Phase.RENEWING} or not self._flight, "one exchange at a time"
        if before.held is not None and before.held.servable(now):
            assert self.state.held is not None, "a valid set was lost"
            lives = (before.held.grant.credentials.expires_at, self.state.held.grant.credentials.expires_at)
            assert lives[0] <= lives[1], "a set was replaced by one that ends sooner"
        if isinstance(event, Failed):
            self.summary.failures += 1
        elif isinstance(event, Granted):
            self.summary.renewals += self.state.failure is None
            self.summary.failures += self.state.failure is not None
        for action in actions:
            held = self.state.held
            if action is Action.START:
                assert not self._flight, "one exchange at a time"
                self._flight = self._number = self._number + 1
                self._asked = (self.true, now.mono)
                self._at(self._now + (10.0 if self._faults else self.random.uniform(0.2, 3.0)), "ends", self._flight)
            elif action is Action.PUBLISH:
                assert held is not None
                assert held.servable(now), "only what is servable is served"
                self._kept = held.grant
            else:
                assert before.held is not None
                assert not before.held.servable(now), "nothing is taken away that could still be served"
                self._kept = None
        assert self.state.shown is (self._kept is not None), "what is served is not what the state says"

    def _served(self) -> bool:
        held = self.state.held
        return self.state.shown and held is not None and held.servable(self.clock.now())

    def _pass(self, seconds: float) -> None:
        """Let time go by, and account for it."""
        held, now = self.state.held, self.clock.now()
        lit = min(held.stop_mono - now.mono, held.stop_at - now.wall) if held is not None and self.state.shown else 0.0
        lit = min(max(lit, 0.0), seconds)
        if lit < seconds:
            dark = self.summary.dark
            if dark and dark[-1].end >= self._now + lit - 1e-3:
                dark[-1].end = self._now + seconds
            else:
                dark.append(Span(self._now + lit, self._now + seconds))
        self.clock.advance(seconds)
        self.true += seconds
        if self._token is not None and self.true > (ends := self._token.expires_at + TOKEN_LEEWAY_SECONDS):
            self._trouble(self._now - (self.true - ends), self._now)
        if self._now >= self._mended_at:
            assert self._served(), "AWS answers, and yet there is no set"
            assert held is not None
            left = held.grant.credentials.expires_at - self.true
            assert left >= WANTED_SECONDS, f"AWS answers, and yet only {left:.0f} s are left"

    def _trouble(self, begin: float, end: float, *, sudden: bool = False) -> None:
        self._mended_at = max(self._mended_at, end + MEND_SECONDS)
        self.summary.trouble.append(Span(begin, end + MEND_SECONDS, sudden))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_year_of_faults_costs_no_more_than_it_must(seed: int) -> None:
    summary = Year(seed).run()
    print(f"\nyear {seed}: {summary}")  # noqa: T201 - what the year was like; shown with -s and where it fails
    allowed = excused(summary)
    for dark in summary.dark:
        assert any(span.begin <= dark.begin and dark.end <= span.end for span in allowed), f"no reason for {dark}"
    assert len(summary.dark) > 20, "a year in which nothing happens proves nothing"
    troubles = [Span(group[0].begin, max(one.end for one in group)) for group in merged(summary.trouble)]
    # Each token is good for two: its rotation and the timer; a clock that is wrong makes every set look old.
    sudden = [span for span in summary.trouble if span.sudden]
    assert YEAR / LIFE <= summary.renewals <= 2 * YEAR / ROTATION_SECONDS + summary.restarts + total(sudden) / 120
    assert summary.failures <= 12 * len(troubles) + total(troubles) / 20
    assert summary.looks <= YEAR / LOOK_SECONDS + 6 * summary.steps, "it looks more often than it must"
