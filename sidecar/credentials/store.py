"""The one shared mutable: which set each profile serves right now.

Everything runs on one event loop, and a set is swapped whole, so there is no lock and no half of a set.
"""

from collections.abc import Callable, Iterable

from sidecar.model import Held

__all__ = ("Listener", "Store")

Listener = Callable[[str, Held | None], None]
"""Called on the event loop with the profile and its new set, or None when it has none to serve any more."""


class Store:
    """Holds at most one set per profile and tells listeners of each change.

    Args:
        profiles: every profile name there is.
    """

    def __init__(self, profiles: Iterable[str]) -> None:
        self._held: dict[str, Held | None] = dict.fromkeys(profiles)
        self._listeners: list[Listener] = []

    @property
    def profiles(self) -> tuple[str, ...]:
        """Every profile name, in the order given."""
        return tuple(self._held)

    def set_profiles(self, profiles: Iterable[str]) -> None:
        """Have these profiles from now on: one that stays keeps its set, one that goes is withdrawn first."""
        names = tuple(profiles)
        for gone in [name for name, held in self._held.items() if name not in names and held is not None]:
            self.publish(gone, None)
        self._held = {name: self._held.get(name) for name in names}

    def get(self, profile: str) -> Held | None:
        """Return the set of a profile, which may have expired since: ask ``Held.servable``.

        Raises:
            KeyError: no such profile.
        """
        return self._held[profile]

    def subscribe(self, listener: Listener) -> None:
        """Have ``listener`` called after every change; it must not raise."""
        self._listeners.append(listener)

    def publish(self, profile: str, held: Held | None) -> None:
        """Swap the set of a profile; ``None`` withdraws it.

        Raises:
            KeyError: no such profile.
        """
        if profile not in self._held:
            raise KeyError(profile)
        self._held[profile] = held
        for listener in self._listeners:
            listener(profile, held)
