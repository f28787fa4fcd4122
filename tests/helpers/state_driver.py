"""One profile of the state machine with its clock, and drivers in the usual phases."""

from sidecar.credentials.lifecycle import step
from sidecar.credentials.states import Action, Event, Failed, InputChanged, Phase, ProfileState, Succeeded, Tick
from sidecar.errors import Failure, Outcome, Retry
from tests.helpers.clock import FakeClock
from tests.helpers.values import assume_role_result, token

__all__ = ("DENIED", "PUBLISH", "START", "TRANSIENT", "WITHDRAW", "StateDriver", "fresh", "refreshing", "stale")

TRANSIENT = Failure(Outcome.UNREACHABLE, Retry.TRANSIENT, "hint")
DENIED = Failure(Outcome.ACCESS_DENIED, Retry.PROPAGATION, "hint")
START, PUBLISH, WITHDRAW = Action.START, Action.PUBLISH, Action.WITHDRAW


class StateDriver:
    """One profile, its clock, and the events that happen to it."""

    def __init__(self, *, refresh_on_rotation: bool = True, draw: float = 0.5) -> None:
        self.clock = FakeClock()
        self.draw = draw
        self.state = ProfileState(refresh_on_rotation=refresh_on_rotation)
        self.number = 0

    def happens(self, event: Event) -> tuple[Action, ...]:
        self.state, actions = step(self.state, event, self.clock.now(), lambda: self.draw)
        return actions

    def token(self) -> tuple[Action, ...]:
        self.number += 1
        return self.happens(InputChanged(token(f"token.{self.number}.x")))

    def succeed(self, lifetime: float = 3_600.0) -> tuple[Action, ...]:
        self.number += 1
        return self.happens(
            Succeeded(assume_role_result(self.number, lifetime=lifetime, wall=self.clock.wall, mono=self.clock.mono))
        )

    def fail(self, failure: Failure = TRANSIENT) -> tuple[Action, ...]:
        return self.happens(Failed(failure))

    def tick(self, after: float = 0.0) -> tuple[Action, ...]:
        self.clock.advance(after)
        return self.happens(Tick())


def fresh(lifetime: float = 3_600.0, *, refresh_on_rotation: bool = True) -> StateDriver:
    driver = StateDriver(refresh_on_rotation=refresh_on_rotation)
    driver.token()
    driver.succeed(lifetime)
    return driver


def refreshing() -> StateDriver:
    driver = fresh()
    driver.tick(2_400)
    assert driver.state.phase is Phase.REFRESHING
    return driver


def stale(failure: Failure = TRANSIENT) -> StateDriver:
    driver = refreshing()
    driver.fail(failure)
    return driver
