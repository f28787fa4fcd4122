"""The volumes of the profiles: what the application finds in each, and with which permissions."""

from collections.abc import Iterable
from pathlib import Path

from sidecar.endpoint.files import copy_auth_token, ensure_auth_token, mode_for
from sidecar.model import Profile

__all__ = ("Volumes",)


class Volumes:
    """One directory for each profile that is served.

    Args:
        directory: holds them, by profile name.
        mode: of the files in them; None leaves it to each volume's group.
        auth_token_file: holds the auth token, with ``{profile}`` for the profile's name; None has one made.
    """

    def __init__(self, directory: Path, mode: int | None, auth_token_file: Path | None) -> None:
        self.directory = directory
        self._mode = mode
        self._given = auth_token_file

    def auth_tokens(self, profiles: Iterable[Profile]) -> dict[str, str]:
        """Return the auth token of each profile that is served, and have it in its volume.

        Raises:
            StartError: a volume is missing or cannot be written, or there is no usable token where one is given.
        """
        return {name: self._auth_token(name, mode) for name, mode in self.modes(profiles).items()}

    def modes(self, profiles: Iterable[Profile]) -> dict[str, int]:
        """Return the permissions of what the application reads, for each profile that is served.

        Raises:
            StartError: a volume is missing.
        """
        names = [profile.name for profile in profiles if profile.served]
        return {name: mode_for(self.directory / name) if self._mode is None else self._mode for name in names}

    def _auth_token(self, name: str, mode: int) -> str:
        directory = self.directory / name
        if self._given is None:
            return ensure_auth_token(directory, mode)
        return copy_auth_token(directory, mode, Path(str(self._given).replace("{profile}", name)))
