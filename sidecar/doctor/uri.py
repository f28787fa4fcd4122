"""Parses AWS_CONTAINER_CREDENTIALS_FULL_URI. Pure."""

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sidecar.limits import ENDPOINT_ADDRESS, ENDPOINT_PATH
from sidecar.settings.profile_keys import KEYS

__all__ = ("Endpoint", "endpoint_of")

_profile_name: Final = KEYS["source_profile"].parse


class Endpoint(NamedTuple):
    """The parts of a URI of the sidecar's endpoint.

    Attributes:
        port: the port; 0 if the URI has no port or another host.
        path: the path; "" if the URI has none.
        profile: the profile in the path; "" if the path has another form.
    """

    port: int
    path: str
    profile: str

    @property
    def bare(self) -> bool:
        """Whether the path names no profile, which means `default`, or the only profile."""
        return self.path == ENDPOINT_PATH


def endpoint_of(uri: str) -> Endpoint:
    """Return the parts of a URI; an invalid URI gives an endpoint without any."""
    try:
        parts = urlsplit(uri)
        # SDKs connect to both names, and the daemon accepts a slash at the end of the path.
        port = (parts.port or 0) if parts.hostname in {ENDPOINT_ADDRESS, "localhost"} else 0
    except ValueError:
        return Endpoint(0, "", "")
    path = parts.path.removesuffix("/")
    if path == ENDPOINT_PATH:
        return Endpoint(port, path, "default")
    before, _, name = path.rpartition("/")
    return Endpoint(port, path, name if before == ENDPOINT_PATH and _is_profile(name) else "")


def _is_profile(name: str) -> bool:
    try:
        _profile_name(name)
    except ValueError:
        return False
    return bool(name)
