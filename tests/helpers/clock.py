"""A clock that a test moves."""

from sidecar.clock import Instant

__all__ = ("FakeClock",)


class FakeClock:
    """Implements ``sidecar.clock.Clock``; stands still until told otherwise."""

    def __init__(self, wall: float = 1_800_000_000.0, mono: float = 1_000.0) -> None:
        self.wall, self.mono = wall, mono

    def now(self) -> Instant:
        """Return the moment that was set."""
        return Instant(self.wall, self.mono)

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall += seconds
        self.mono += seconds

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, in either direction, as NTP or a person does."""
        self.wall += seconds
