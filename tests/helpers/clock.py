"""A clock that a test sets."""

from sidecar.clock import Instant

__all__ = ("FakeClock",)


class FakeClock:
    """Implements ``sidecar.clock.Clock``; it moves only when a test moves it."""

    def __init__(self, wall: float = 1_800_000_000.0, mono: float = 1_000.0) -> None:
        self.wall, self.mono = wall, mono

    def now(self) -> Instant:
        """Return the time that was set."""
        return Instant(self.wall, self.mono)

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        self.wall += seconds
        self.mono += seconds

    def step_wall(self, seconds: float) -> None:
        """Step only the wall clock, in either direction, as NTP or a person does."""
        self.wall += seconds
