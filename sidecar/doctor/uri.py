"""What an AWS_CONTAINER_CREDENTIALS_FULL_URI means. Pure."""

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sidecar.limits import ENDPOINT_ADDRESS, ENDPOINT_PATH
from sidecar.profiles import KEYS

__all__ = ("Endpoint", "endpoint_of")

_profile_name: Final = KEYS["source_profile"].parse


class Endpoint(NamedTuple):
    """What a URI says, as far as it is one of the sidecar's.

    Attributes:
        port: 0 where it names none or another host.
        path: "" where it has none.
        profile: that of the path; "" where that is of another form.
    """

    port: int
    path: str
    profile: str

    @property
    def bare(self) -> bool:
        """Whether the path names no profile: `default` is meant, or the only one there is."""
        return self.path == ENDPOINT_PATH


def endpoint_of(uri: str) -> Endpoint:
    """Return what a URI says, whatever it is."""
    try:
        parts = urlsplit(uri)
        port = (parts.port or 0) if parts.hostname == ENDPOINT_ADDRESS else 0
    except ValueError:
        return Endpoint(0, "", "")
    if parts.path == ENDPOINT_PATH:
        return Endpoint(port, parts.path, "default")
    before, _, name = parts.path.rpartition("/")
    return Endpoint(port, parts.path, name if before == ENDPOINT_PATH and _is_profile(name) else "")


def _is_profile(name: str) -> bool:
    try:
        _profile_name(name)
    except ValueError:
        return False
    return bool(name)
