"""The credentials that each profile serves now; the one mutable value that the parts of the daemon share.

Everything runs on one event loop, and credentials are replaced whole, so no lock is needed and no reader gets a part.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from sidecar.model import Held, Profile

__all__ = ("CredentialSink", "ProfileHolder", "Store", "Subscriber")

Subscriber = Callable[[str, Held | None], None]
"""Called on the event loop with the profile and its new credentials, or None when they are withdrawn."""


class ProfileHolder(Protocol):
    """Holds something for each profile, and accepts new profiles while it runs."""

    def set_profiles(self, profiles: Sequence[Profile]) -> None:
        """Replace the profiles; a source comes before the profiles chained to it, and the store has them already."""


class CredentialSink(ProfileHolder, Protocol):
    """Writes credentials somewhere: a listener of the store."""

    def changed(self, profile: str, held: Held | None) -> None:
        """Process the new credentials of a profile, or None when they are withdrawn; must not raise."""


class Store:
    """Holds the credentials of each profile and calls listeners after each change.

    Args:
        profiles: all profile names.
    """

    def __init__(self, profiles: Iterable[str]) -> None:
        self._held: dict[str, Held | None] = dict.fromkeys(profiles)
        self._listeners: list[Subscriber] = []

    @property
    def profiles(self) -> tuple[str, ...]:
        """All profile names, in the order given."""
        return tuple(self._held)

    def set_profiles(self, profiles: Sequence[Profile]) -> None:
        """Replace the profiles: one that stays keeps its credentials; those of a removed one are withdrawn first."""
        names = [profile.name for profile in profiles]
        for removed in [name for name, held in self._held.items() if name not in names and held is not None]:
            self.publish(removed, None)
        self._held = {name: self._held.get(name) for name in names}

    def get(self, profile: str) -> Held | None:
        """Return the credentials of a profile; they may have expired since: check ``Held.servable``.

        Raises:
            KeyError: no such profile.
        """
        return self._held[profile]

    def subscribe(self, listener: Subscriber) -> None:
        """Call ``listener`` after each change from now on; it must not raise."""
        self._listeners.append(listener)

    def publish(self, profile: str, held: Held | None) -> None:
        """Replace the credentials of a profile; ``None`` withdraws them.

        Raises:
            KeyError: no such profile.
        """
        if profile not in self._held:
            raise KeyError(profile)
        self._held[profile] = held
        for listener in self._listeners:
            listener(profile, held)
