"""What the probes of the kubelet get: whether the served profiles have credentials, and why not."""

from collections.abc import Callable, Sequence

from sidecar.clock import Clock
from sidecar.credentials.progress import why_none
from sidecar.credentials.states import ProfileState
from sidecar.credentials.store import Store
from sidecar.model import Profile

__all__ = ("Health",)


class Health:
    """The checks of ``/readyz`` and ``/startupz``; each returns whether it passes, and a line for people.

    Args:
        profiles: all profiles.
        store: has their credentials.
        state: returns the state of a profile.
        clock: gives the time.
    """

    def __init__(
        self, profiles: Sequence[Profile], store: Store, state: Callable[[str], ProfileState], clock: Clock
    ) -> None:
        self._profiles = profiles
        self._store, self._state, self._clock = store, state, clock
        self._started = False
        self.blocked = ""
        """Why the endpoint does not listen; "" if it does."""

    def set_profiles(self, profiles: Sequence[Profile]) -> None:
        """Replace the profiles; the store must have the new ones already."""
        self._profiles = profiles

    def why_none(self, profile: str) -> str:
        """Return why a profile serves no credentials, one line.

        Raises:
            KeyError: no such profile.
        """
        return why_none(self._state(profile), self._clock.now())

    def ready(self) -> tuple[bool, str]:
        """Whether the endpoint listens and each served profile has unexpired credentials."""
        if self.blocked:
            return False, self.blocked
        now = self._clock.now()
        for profile in self._profiles:
            held = self._store.get(profile.name)
            if profile.served and (held is None or not held.servable(now)):
                return False, f"{profile.name}: no unexpired credentials: {self.why_none(profile.name)}"
        self._started = True
        return True, "ready"

    def started(self) -> tuple[bool, str]:
        """Whether it was ready once: the startup probe gates the application's start, not later outages."""
        return (True, "started") if self._started else self.ready()
