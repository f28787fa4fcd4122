"""The volumes of the profiles: the files for the application in each, and their permissions."""

from collections.abc import Iterable
from pathlib import Path

from sidecar.model import Profile
from sidecar.volumes.auth_token import copy_auth_token, distrust_auth_token, ensure_auth_token, mode_for

__all__ = ("Volumes",)


class Volumes:
    """One directory for each served profile.

    Args:
        directory: has these directories, by profile name.
        mode: permissions of the files in them; None: each volume's setgid bit decides, see ``mode_for``.
        auth_token_file: path of the auth token, with ``{profile}`` for the profile's name; None: it is generated.
    """

    def __init__(self, directory: Path, mode: int | None, auth_token_file: Path | None) -> None:
        self.directory = directory
        self._mode = mode
        self._given = auth_token_file
        self.auth_tokens: dict[str, str] = {}
        """The auth token of each profile that was prepared."""
        self.modes: dict[str, int] = {}
        """The permissions of the files for the application, for each profile that was prepared."""

    def prepare(self, profiles: Iterable[Profile]) -> None:
        """Ensure that the volume of each served profile has an auth token.

        Raises:
            StartError: a volume is missing or cannot be written, or ``auth_token_file`` has no valid token;
                ``auth_tokens`` and ``modes`` are unchanged.
        """
        names = [profile.name for profile in profiles if profile.served]
        modes = {name: mode_for(self.directory / name) if self._mode is None else self._mode for name in names}
        tokens = {name: self._auth_token(name, mode) for name, mode in modes.items()}
        self.modes.update(modes)
        self.auth_tokens.update(tokens)

    def distrust(self) -> None:
        """Make the next ``prepare``, also that of a later process, create new auth tokens.

        Auth tokens of ``auth_token_file`` stay: their Secret is changed by a person.

        Raises:
            StartError: a volume cannot be written.
        """
        for name, mode in self.modes.items() if self._given is None else ():
            distrust_auth_token(self.directory / name, mode)

    def _auth_token(self, name: str, mode: int) -> str:
        directory = self.directory / name
        if self._given is None:
            return ensure_auth_token(directory, mode)
        return copy_auth_token(directory, mode, Path(str(self._given).replace("{profile}", name)))
