"""One profile of the pure machine, its clock, and stories that have led it somewhere."""

from sidecar.credentials.lifecycle import step
from sidecar.credentials.states import Action, Event, Failed, Granted, Phase, State, Tick, TicketSeen
from sidecar.errors import Failure, Outcome, Retry
from tests.helpers.clock import FakeClock
from tests.helpers.values import grant, token

__all__ = ("DENIED", "PUBLISH", "START", "TRANSIENT", "WITHDRAW", "Story", "fresh", "keeping", "renewing")

TRANSIENT = Failure(Outcome.UNREACHABLE, Retry.TRANSIENT, "hint")
DENIED = Failure(Outcome.ACCESS_DENIED, Retry.PROPAGATION, "hint")
START, PUBLISH, WITHDRAW = Action.START, Action.PUBLISH, Action.WITHDRAW


class Story:
    """One profile, its clock, and the events that happen to it."""

    def __init__(self, *, refresh_on_rotation: bool = True, draw: float = 0.5) -> None:
        self.clock = FakeClock()
        self.draw = draw
        self.state = State(refresh_on_rotation=refresh_on_rotation)
        self.number = 0

    def happens(self, event: Event) -> tuple[Action, ...]:
        self.state, actions = step(self.state, event, self.clock.now(), lambda: self.draw)
        return actions

    def token(self) -> tuple[Action, ...]:
        self.number += 1
        return self.happens(TicketSeen(token(f"token.{self.number}.x")))

    def granted(self, life: float = 3_600.0) -> tuple[Action, ...]:
        self.number += 1
        return self.happens(Granted(grant(self.number, life=life, wall=self.clock.wall, mono=self.clock.mono)))

    def failed(self, failure: Failure = TRANSIENT) -> tuple[Action, ...]:
        return self.happens(Failed(failure))

    def tick(self, after: float = 0.0) -> tuple[Action, ...]:
        self.clock.advance(after)
        return self.happens(Tick())


def fresh(life: float = 3_600.0, *, refresh_on_rotation: bool = True) -> Story:
    story = Story(refresh_on_rotation=refresh_on_rotation)
    story.token()
    story.granted(life)
    return story


def renewing() -> Story:
    story = fresh()
    story.tick(2_400)
    assert story.state.phase is Phase.RENEWING
    return story


def keeping(failure: Failure = TRANSIENT) -> Story:
    story = renewing()
    story.failed(failure)
    return story
